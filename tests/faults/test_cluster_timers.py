"""Timers in a cluster: one controller at a time fires them, another one goes on, and feeds work at any."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.running import Platform, await_value
from tests.acceptance.test_timers import ECHO, EVERY_SECOND, create_heard, fires
from tests.faults.cluster import CONTROLLERS, Cluster, Member, cluster
from tests.faults.test_accepted import SCALE, UNTHROTTLED
from tests.servers.postgres import PostgresServer

FIRES = 13
TAKEN_OVER_MS = 10_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), postgres, UNTHROTTLED) as one:
        await_value(lambda: "alarm" in feeds(one.api))
        one.api.create_action("heard", ECHO)
        yield one


def feeds(platform: Platform) -> set[str]:
    answer = platform.request("GET", "/namespaces/whisk.system/packages/alarms")
    return {feed["name"] for feed in answer.json["feeds"]} if answer.status == 200 else set()


def ask(platform: Platform, method: str, trigger: str, **given: Any) -> Any:
    """One event in a feed's life, as the feed action sends it to the API host that its invoker knows."""
    request = urllib.request.Request(
        f"{platform.api_host}/provider/alarms/v1/triggers/_/{trigger}",
        method=method,
        data=json.dumps(given).encode(),
        headers={"Authorization": f"Basic {base64.b64encode(platform.auth.encode()).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def create(platform: Platform, trigger: str, **given: Any) -> None:
    """A trigger that somebody hears, and its timer."""
    rule = {"trigger": f"/_/{trigger}", "action": "/_/heard"}
    for route, body in ((f"triggers/{trigger}", {}), (f"rules/{trigger}-rule", rule)):
        assert platform.request("PUT", f"/namespaces/_/{route}", body).status == 200
    assert ask(platform, "POST", trigger, **given) == {"status": "success"}


def owner_and_other(one: Cluster) -> tuple[Member, Member]:
    """The owner is who took the timers last."""
    taken = await_value(lambda: {name: at for name in CONTROLLERS if (at := taken_at(one.controllers[name]))})
    owner = max(taken, key=taken.__getitem__)
    [other] = set(CONTROLLERS) - {owner}
    return one.controllers[owner], one.controllers[other]


def taken_at(member: Member) -> str:
    """When this controller took the timers for the last time, as its log writes time; empty when it never did."""
    return max(
        (line.split()[0] for line in member.log.splitlines() if line.endswith("fired from here now")), default=""
    )


def killed(owner: Member, platform: Platform, trigger: str) -> None:
    owner.kill()
    await_fires(platform, trigger, 8)
    owner.start()


def held_up(owner: Member, platform: Platform, trigger: str) -> None:
    owner.signal(signal.SIGSTOP)
    await_fires(platform, trigger, 8)
    owner.signal(signal.SIGCONT)


def stopped(owner: Member, platform: Platform, trigger: str) -> None:
    owner.stop()
    await_fires(platform, trigger, 8)
    owner.start()


def await_fires(platform: Platform, trigger: str, count: int) -> None:
    await_value(lambda: len(fires(platform, trigger)) >= count, within=40)


def test_feed_actions_are_in_the_catalog_and_reach_the_provider(running: Cluster) -> None:
    create_heard(running.api, "through-a-feed", "alarm", cron=EVERY_SECOND, maxTriggers=2)
    await_fires(running.api, "through-a-feed", 2)


AT_FULL_SIZE = [held_up, stopped] if SCALE >= 1 else []
"""Each takes a quarter of a minute: `make faults` has them all."""


@pytest.mark.parametrize("disturbed", [killed, *AT_FULL_SIZE])
def test_when_the_owner_of_timers_is_gone_another_goes_on_and_no_point_is_fired_twice(
    running: Cluster, disturbed: Callable[[Member, Platform, str], None]
) -> None:
    owner, other = owner_and_other(running)
    trigger, platform = f"tick-{disturbed.__name__}", other.platform
    create(platform, trigger, cron=EVERY_SECOND, maxTriggers=FIRES)
    await_fires(platform, trigger, 3)
    disturbed(owner, platform, trigger)
    await_value(lambda: not ask(platform, "GET", trigger)["status"]["active"], within=60)
    times = fires(platform, trigger)
    assert FIRES - 1 <= len(times) <= FIRES  # one that was begun and cut off is not fired again
    assert max(after - before for before, after in itertools.pairwise(times)) < TAKEN_OVER_MS
    assert owner_and_other(running)[0] is other


def test_a_timer_is_changed_and_deleted_at_the_controller_that_does_not_fire(running: Cluster) -> None:
    owner, other = owner_and_other(running)
    platform, trigger = other.platform, "elsewhere"
    create(platform, trigger, cron=EVERY_SECOND)
    await_fires(platform, trigger, 2)
    assert ask(platform, "PUT", trigger, cron="0 0 1 1 *") == {"status": "success"}
    await_value(lambda: is_quiet(platform, trigger))
    assert ask(owner.platform, "GET", trigger)["config"]["cron"] == "0 0 1 1 *"
    assert ask(platform, "PUT", trigger, cron=EVERY_SECOND) == {"status": "success"}
    await_value(lambda: not is_quiet(platform, trigger))
    assert ask(platform, "DELETE", trigger) == {"status": "success"}
    await_value(lambda: is_quiet(platform, trigger))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(owner.platform, "GET", trigger)


def is_quiet(platform: Platform, trigger: str) -> bool:
    """Whether the last fire was more than three seconds ago."""
    return bool(time.time() * 1000 - fires(platform, trigger)[-1] > 3000)
