"""The subjects of one installation on the bus. Their prefix keeps installations that share a server apart."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sabayon.errors import OperatorError

WIRE: Final = "v1"
"""Of what is said on them: who speaks another version is not heard, and hears nothing."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Subjects(NamedTuple):
    """installation: a name as `check_name` lets it through, as are those of invokers and controllers."""

    installation: str

    @property
    def _prefix(self) -> str:
        return f"sabayon.{self.installation}.{WIRE}"

    def invoker(self, name: str, started_ms: int) -> str:
        """To one start of an invoker: what was meant for an earlier one must not reach the next."""
        return f"{self._prefix}.invoker.{name}.{started_ms}"

    @property
    def invokers(self) -> str:
        """To all invokers."""
        return f"{self._prefix}.invokers"

    def controller(self, name: str) -> str:
        """To one controller."""
        return f"{self._prefix}.controller.{name}"

    def returned(self, name: str, number: int | None = None) -> str:
        """Where the server says that nobody takes the message with that number of a controller, or with any."""
        return f"{self._prefix}.returned.{name}.{'*' if number is None else number}"

    @property
    def heartbeats(self) -> str:
        """From invokers to all controllers."""
        return f"{self._prefix}.heartbeats"

    @property
    def announcements(self) -> str:
        """From controllers to everybody."""
        return f"{self._prefix}.announcements"


def check_name(name: str, what: str) -> str:
    """`name`, fit to be a part of a subject. Raises OperatorError. what: the setting it is from."""
    if not _NAME.fullmatch(name):
        raise OperatorError(f"the setting {what} must be 1 to 64 letters, digits, _ and -, not {name!r}")
    return name
