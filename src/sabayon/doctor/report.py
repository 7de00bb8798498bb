"""Findings as a text for people and as JSON for programs. Pure."""

from __future__ import annotations

import json
import textwrap
from typing import Final

from sabayon.doctor.finding import Finding, Status
from sabayon.doctor.findings import exit_code, worst

_MARKS: Final = {
    Status.OK: "ok",
    Status.LIMITED: "limited",
    Status.WEAKER: "weaker",
    Status.REFUSED: "refused",
}
_VERDICTS: Final = {
    Status.OK: "The platform can start here, with full isolation.",
    Status.LIMITED: "The platform can start here, with full isolation; what is limited is said above.",
    Status.WEAKER: "The platform can start here, with less isolation than it can give.",
    Status.REFUSED: "The platform cannot run here.",
}
_MARK_WIDTH: Final = 9
_CHECK_WIDTH: Final = 21
_WIDTH: Final = 120


def as_text(findings: list[Finding]) -> str:
    """One line a finding, below it what follows from it and what to do; the verdict last."""
    lines = [line for finding in findings for line in _lines(finding)]
    return "\n".join([*lines, "", _VERDICTS[worst(findings)]])


def _lines(finding: Finding) -> list[str]:
    lines = [f"{_MARKS[finding.status]:<{_MARK_WIDTH}}{finding.check:<{_CHECK_WIDTH}}{finding.found}"]
    for mark, text in (("→ ", finding.consequence), ("do: ", finding.remedy)):
        indent = " " * (_MARK_WIDTH + _CHECK_WIDTH)
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=indent + mark, subsequent_indent=indent + " " * len(mark),
            break_long_words=False, break_on_hyphens=False,
        ) if text else []  # fmt: skip
    return lines


def as_json(findings: list[Finding]) -> str:
    """An object with the exit code, the status as a whole and all findings."""
    status = worst(findings)
    document = {
        "exit_code": exit_code(status),
        "status": _MARKS[status],
        "findings": [
            {
                "check": finding.check,
                "status": _MARKS[finding.status],
                "found": finding.found,
                "consequence": finding.consequence,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
