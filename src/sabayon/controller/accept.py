"""The `Accept` header, as far as it can exclude JSON."""

from __future__ import annotations


def accepts_json(header: str | None) -> bool:
    """Whether a client that sent `header` takes `application/json`. The most specific range decides."""
    if header is None or header in ("*/*", "application/json", ""):
        return True
    qualities = dict(_range(text) for text in header.lower().split(","))
    for name in ("application/json", "application/*", "*/*"):
        if name in qualities:
            return qualities[name] > 0
    return False


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 1.0
    return name, 1.0
