"""The feed protocol: a trigger's event source is told of its life by invoking an action."""

from __future__ import annotations

from typing import Any

from sabayon.cli.context import session
from sabayon.cli.failures import ActivationFailed, CommandFailed, NotYetFinished
from sabayon.cli.invoking import banner, post_activation, print_activation, shown_failure
from sabayon.cli.models import annotation
from sabayon.cli.names import QualifiedName
from sabayon.cli.style import say


def feed_of(trigger: Any) -> str | None:
    """The full name of a trigger's feed, None when it has none."""
    feed = annotation(trigger, "feed")
    return feed if isinstance(feed, str) and feed else None


def call(
    feed: QualifiedName,
    trigger: QualifiedName,
    event: str,
    parameters: dict[str, Any],
    *,
    prefix: str,
    has_banner: bool = True,
    is_hinted: bool = False,
) -> None:
    """Invoke the feed action and show its record. Raises CommandFailed."""
    payload = {
        **parameters,
        "authKey": session().config.auth,
        "lifecycleEvent": event,
        "triggerName": trigger.full,
    }
    answer = post_activation(feed, payload, is_blocking=True, is_result=False, prefix=prefix, is_hinted=is_hinted)
    if has_banner:
        say(banner(feed, answer.get("activationId", "") if isinstance(answer, dict) else ""))
    print_activation(answer)


def tell(feed: QualifiedName, trigger: QualifiedName, event: str) -> None:
    """The same where the command goes on, and succeeds, whatever the feed says."""
    try:
        call(feed, trigger, event, {}, prefix=f"Unable to configure feed '{feed.full}': ", has_banner=False)
    except CommandFailed as failure:
        reported = shown_failure(failure, feed, is_result=False, has_banner=False)
        if reported.text:
            from sabayon.cli.style import complain

            complain(f"warning: {reported.text}")


def show_failure(failure: CommandFailed, feed: QualifiedName, *, is_hinted: bool = False) -> CommandFailed:
    """What a failed feed call leaves to report after its record was shown."""
    reported = shown_failure(failure, feed, is_result=False, has_banner=False)
    if isinstance(failure, NotYetFinished | ActivationFailed):
        return CommandFailed("", reported.exit_code, is_hinted=is_hinted)
    return reported
