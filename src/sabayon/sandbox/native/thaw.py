"""Thaws what a dead platform left frozen.

With control groups of version 1 a frozen process does not even die: when the platform is killed, its paused
sandboxes would stay, and the zygotes that wait for their end. A shell that outlives the platform for a
moment, because it reads from a pipe that ends with it, thaws them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

_SCRIPT: Final = 'read -r _; for state in "$0"/*/freezer.state; do echo THAWED > "$state"; done'


class Thawer:
    """Watches over the groups below `parent` in a hierarchy with a freezer of version 1. Raises OSError."""

    def __init__(self, parent: Path) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, parent],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,  # what ends the platform from the terminal is not meant for it
        )

    def close(self) -> None:
        """End it. Nothing may be left in the groups that is not to be thawed."""
        self._shell.communicate()
