"""What a run printed, as the lines of its record."""

from __future__ import annotations

from sabayon import messages
from sabayon.entity.limits import MB
from sabayon.entity.logline import format_line
from sabayon.sandbox.base import Logs


def format_logs(logs: Logs, *, limit_mb: int, now_ns: int, is_unreliable: bool) -> tuple[str, ...]:
    """The record's lines. is_unreliable: the action did not end as it should; a line says that logs may be missing."""
    if limit_mb == 0:
        return ()
    lines = [format_line(line.time_ns, line.stream, line.text) for line in logs.lines]
    if logs.is_truncated:
        lines.append(format_line(now_ns, "stderr", messages.logs_truncated(limit_mb * MB)))
    if is_unreliable:
        lines.append(format_line(now_ns, "stderr", messages.LOGS_MAY_BE_MISSING))
    return tuple(lines)
