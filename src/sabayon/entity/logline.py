"""A line of an activation's log as the contract writes it: a padded timestamp, the stream, the text."""

from __future__ import annotations

from datetime import UTC, datetime


def format_line(time_ns: int, stream: str, text: str) -> str:
    """One line: nanosecond timestamp in 30 columns, stream, text."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{nanoseconds:09d}Z {stream}: {text}"
