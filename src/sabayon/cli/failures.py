"""How a command fails: what is printed, and the exit code that scripts rely on."""

from __future__ import annotations

from typing import Any, Final

HINT: Final = "Run 'wsk --help' for usage."

GENERAL: Final = 1
USAGE: Final = 2
NETWORK: Final = 3
NOT_ALLOWED: Final = 149


class CommandFailed(Exception):
    """Ends the command with `exit_code`, after `text` was printed on standard error.

    is_hinted: the line that points to the help follows. is_plain: `text` stands without `error: ` before it.
    """

    def __init__(self, text: str, exit_code: int = GENERAL, *, is_hinted: bool = False, is_plain: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
        self.is_hinted = is_hinted
        self.is_plain = is_plain


class RequestFailed(CommandFailed):
    """The server refused, or could not be asked. `cause`: without the command's own prefix."""

    def __init__(self, prefix: str, cause: str, exit_code: int, *, is_hinted: bool) -> None:
        super().__init__(prefix + cause, exit_code, is_hinted=is_hinted)
        self.cause = cause


class ActivationFailed(RequestFailed):
    """What was invoked ran and failed; `document` is its record, or its result."""

    def __init__(self, prefix: str, document: Any, exit_code: int, *, is_hinted: bool) -> None:
        super().__init__(prefix, _reason(document), exit_code, is_hinted=is_hinted)
        self.document = document


class NotYetFinished(CommandFailed):
    """A blocking call that was accepted and goes on without us."""

    def __init__(self, activation_id: str) -> None:
        super().__init__(f"activation {activation_id} has not yet finished", 202)
        self.activation_id = activation_id


def usage(text: str, exit_code: int = GENERAL) -> CommandFailed:
    """A mistake in the command line."""
    return CommandFailed(text, exit_code, is_hinted=True)


def status_exit_code(status: int) -> int:
    """HTTP status modulo 256: 404 is 148, 502 is 246."""
    return status % 256


def _reason(document: Any) -> str:
    """The failed activation's own words."""
    result = document
    if isinstance(result, dict) and isinstance(result.get("response"), dict):
        result = result["response"].get("result")
    if isinstance(result, dict) and result.get("error"):
        return str(result["error"])
    return "the action failed"
