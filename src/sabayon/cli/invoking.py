"""Invoking from the command line, also on behalf of feeds, and showing what came of it."""

from __future__ import annotations

import sys
from typing import Any

from sabayon.cli.context import session
from sabayon.cli.failures import ActivationFailed, CommandFailed, NotYetFinished, usage
from sabayon.cli.names import QualifiedName
from sabayon.cli.style import bold, complain, ok, say, say_json
from sabayon.cli.values import pretty


def post_activation(
    name: QualifiedName,
    payload: dict[str, Any],
    *,
    is_blocking: bool,
    is_result: bool,
    prefix: str,
    is_hinted: bool,
    key: str | None = None,
) -> Any:
    """The answer to an invocation. key: its idempotency key. Raises what `Session.call` raises."""
    ordered = {key: payload[key] for key in sorted(payload)}
    return session().call(
        "POST",
        f"actions/{name.quoted}",
        query={"blocking": is_blocking, "result": is_result},
        body=ordered,
        headers=key_header(key),
        namespace=name.namespace,
        prefix=prefix,
        is_hinted=is_hinted,
        is_blocking=is_blocking,
    )


def key_header(key: str | None) -> dict[str, str]:
    """The header for an idempotency key. Raises CommandFailed for one that cannot be sent in a header."""
    if key is None:
        return {}
    if not key or any(character < " " or character == "\x7f" for character in key):
        raise usage("The idempotency key must have 1 to 255 bytes and no control characters.")
    return {"Idempotency-Key": key.encode(errors="surrogateescape").decode("latin-1")}


def banner(name: QualifiedName, activation_id: object) -> str:
    return ok(f"invoked {bold(name.full)} with id {bold(activation_id)}")


def print_activation(document: Any) -> None:
    say_json(document, sort=True)


def shown_failure(failure: CommandFailed, name: QualifiedName, *, is_result: bool, has_banner: bool) -> CommandFailed:
    """Show a failed blocking call on standard error; what is left to report is its exit code."""
    if isinstance(failure, NotYetFinished):
        text = f"invoked {bold(name.full)}, but the request has not yet finished, with id {bold(failure.activation_id)}"
        complain(ok(text))
    elif isinstance(failure, ActivationFailed):
        if has_banner and not is_result:
            complain(banner(name, failure.document.get("activationId", "")))
        complain(pretty(failure.document, sort=True))
    else:
        return failure
    return CommandFailed("", failure.exit_code)


def print_invoked(name: QualifiedName, answer: Any, *, is_blocking: bool, is_result: bool) -> None:
    """The outcome of an invocation that did not fail."""
    if is_result:
        print_activation(answer)
        return
    activation_id = answer.get("activationId", "") if isinstance(answer, dict) else ""
    say(banner(name, activation_id))
    if is_blocking:
        print_activation(answer)
    sys.stdout.flush()
