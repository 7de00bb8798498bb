"""`--verbose` and `--debug`: the HTTP exchanges on standard output, secrets masked unless asked for."""

from __future__ import annotations

import json
import re
from typing import Final

from sabayon.cli.style import say
from sabayon.client import Exchange, Response
from sabayon.client.http import Headers

SHOWN_BYTES: Final = 1000
_MASK: Final = "******"
_SECRET = re.compile(
    r'("(?:password|authKey|authorization|require-whisk-auth)"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE
)
_SECRET_ENTRY = re.compile(
    r'("key"\s*:\s*"(?:password|authKey|require-whisk-auth)"\s*,\s*"value"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE
)


class Trace:
    """Prints what is sent and received. is_whole: no truncation. is_revealing: no masks."""

    def __init__(self, *, is_whole: bool, is_revealing: bool) -> None:
        self._is_whole = is_whole
        self._is_revealing = is_revealing

    def sent(self, exchange: Exchange) -> None:
        say("REQUEST:")
        say(f"[{exchange.method}]\t{exchange.url}")
        say("Req Headers")
        self._headers([(name, value) for name, value in exchange.headers if name != "Content-Length"])
        if exchange.body is not None:
            say("Req Body")
            self._body(exchange.body)

    def received(self, response: Response) -> None:
        say(f"RESPONSE:Got response with code {response.status}")
        say("Resp Headers")
        self._headers(response.headers)
        say(f"Response body size is {len(response.body)} bytes")
        say("Response body received:")
        self._body(response.body)

    def _headers(self, headers: Headers) -> None:
        shown: dict[str, list[str]] = {}
        for name, value in headers:
            canonical = "-".join(part.capitalize() for part in name.split("-"))
            shown.setdefault(canonical, []).append(self._masked_header(canonical, value))
        say(json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False))

    def _masked_header(self, name: str, value: str) -> str:
        if name != "Authorization" or self._is_revealing:
            return value
        return f"{value.partition(' ')[0]} {_MASK}"

    def _body(self, body: bytes) -> None:
        text = body.decode(errors="replace")
        if not self._is_revealing:
            text = _SECRET.sub(rf'\1"{_MASK}"', _SECRET_ENTRY.sub(rf'\1"{_MASK}"', text))
        if len(text) > SHOWN_BYTES and not self._is_whole:
            say(f"Body exceeds {SHOWN_BYTES} bytes and will be truncated")
            text = f"{text[:SHOWN_BYTES]}..."
        say(text)
