"""Logs: one structured line per event, on standard error.

A line is `time level logger message` followed by `key=value` pairs where the event has
them; the transaction id of a request is `tx`. Keys, parameters and code never appear.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


def configure_logging(level: str) -> None:
    """Send everything at `level` or above to standard error, times in UTC.

    A log that cannot be written (a full disk, a closed pipe) is dropped: it must not stop the platform.
    """
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.raiseExceptions = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
