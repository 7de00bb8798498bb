"""What timers ask of the REST API, and the provider as a whole on top of it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from sabayon.client import ConnectionFailed, Response
from sabayon.provider.alarms.app import AlarmsProvider
from sabayon.provider.alarms.clock import SystemClock
from sabayon.provider.alarms.firing import UNREACHABLE
from sabayon.provider.alarms.platform import RestPlatform
from sabayon.store.memory import MemoryLedger
from tests.unit.alarms import START_MS, timer
from tests.unit.asgi import AsgiClient

KEY = "uuid:key"


class Api:
    """The REST API: answers requests by method and path with what is scripted, the last answer for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, deque[tuple[int, Any]]] = {}
        self.headers: Mapping[str, str] | None = None
        self.asked: list[tuple[str, str, Any]] = []
        self.key = ""
        self.has_fired = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def script(self, request: str, *answers: tuple[int, Any]) -> None:
        self.answers[request] = deque(answers)

    def with_key(self, auth_key: str) -> Api:
        self.key = auth_key
        return self

    def request(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        self.headers = headers
        self.asked.append((f"{method} {path}", self.key, body))
        if method == "POST":
            self._loop.call_soon_threadsafe(self.has_fired.set)
        answers = self.answers.get(f"{method} {path}")
        if not answers:
            raise ConnectionFailed(f"{method} {path}: connection refused")
        status, document = answers.popleft() if len(answers) > 1 else answers[0]
        return Response(status, [], document if isinstance(document, bytes) else json.dumps(document).encode())

    @property
    def requests(self) -> list[str]:
        return [request for request, _, _ in self.asked]


class ImpatientClock(SystemClock):
    """Waits between attempts take no time, and are written down."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


def on_api(test: Callable[[Api, RestPlatform, ImpatientClock], Awaitable[None]]) -> None:
    async def play() -> None:
        api, clock = Api(), ImpatientClock()
        platform = RestPlatform(api, clock)
        try:
            await test(api, platform, clock)
        finally:
            platform.close()

    asyncio.run(play())


def test_a_trigger_is_fired_with_payload_and_key() -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("POST namespaces/acme/triggers/the%20tick", (202, {"activationId": "1"}))
        status = await platform.fire(timer("the tick", cron="* * * * *", trigger_payload={"a": 1}))
        assert status == 202
        assert api.asked == [("POST namespaces/acme/triggers/the%20tick", "key-of-acme", {"a": 1})]

    on_api(test)


def test_a_timer_that_fires_only_once_says_so_that_a_second_try_is_known_as_one() -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("POST namespaces/acme/triggers/tick", (202, {}))
        once = timer(at_s=1, fireOnce=True, date=START_MS + 60_000)
        await platform.fire(once)
        assert api.headers == {"Idempotency-Key": f"alarm-{once.changed_ms}"}
        await platform.fire(timer(cron="* * * * *"))
        assert api.headers is None

    on_api(test)


def test_no_answer_is_no_status(caplog: pytest.LogCaptureFixture) -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        assert await platform.fire(timer(cron="* * * * *")) == UNREACHABLE
        assert await platform.check_trigger("acme", "tick", KEY) == UNREACHABLE
        assert await platform.namespace_of(KEY) == (UNREACHABLE, "")

    on_api(test)
    assert "connection refused" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, ["acme"]), (200, "acme")),
        ((200, []), (200, "")),
        ((200, b"noise"), (200, "")),
        ((401, {"error": "no"}), (401, "")),
    ],
)
def test_the_namespace_of_a_key_is_the_first_that_is_listed(answer: tuple[int, Any], expected: tuple[int, str]) -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("GET namespaces", answer)
        assert await platform.namespace_of(KEY) == expected
        assert api.asked == [("GET namespaces", KEY, None)]

    on_api(test)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_a_trigger_is_read_with_the_key_that_asks_for_it(status: int) -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("GET namespaces/acme/triggers/a%2Fb", (status, {}))
        assert await platform.check_trigger("acme", "a/b", KEY) == status
        assert api.asked == [("GET namespaces/acme/triggers/a%2Fb", KEY, None)]

    on_api(test)


def test_a_trigger_is_removed_alone() -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("DELETE namespaces/acme/triggers/tick", (200, {}))
        await platform.remove_trigger(timer(cron="* * * * *"), with_rules=False)
        assert api.requests == ["DELETE namespaces/acme/triggers/tick"]

    on_api(test)


def test_a_trigger_is_removed_after_its_rules() -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("GET namespaces/acme/triggers/tick", (200, {"rules": {"acme/one": {}, "acme/two b": {}}}))
        for path in ("rules/one", "rules/two%20b", "triggers/tick"):
            api.script(f"DELETE namespaces/acme/{path}", (200, {}))
        await platform.remove_trigger(timer(cron="* * * * *"), with_rules=True)
        assert api.requests == [
            "GET namespaces/acme/triggers/tick",
            "DELETE namespaces/acme/rules/one",
            "DELETE namespaces/acme/rules/two%20b",
            "DELETE namespaces/acme/triggers/tick",
        ]

    on_api(test)


@pytest.mark.parametrize("trigger", [(200, {}), (200, {"rules": None}), (404, {}), (200, b"noise"), (200, ["rules"])])
def test_a_trigger_whose_rules_are_not_known_is_removed_nevertheless(trigger: tuple[int, Any]) -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("GET namespaces/acme/triggers/tick", trigger)
        api.script("DELETE namespaces/acme/triggers/tick", (200, {}))
        await platform.remove_trigger(timer(cron="* * * * *"), with_rules=True)
        assert api.requests[-1] == "DELETE namespaces/acme/triggers/tick"

    on_api(test)


@pytest.mark.parametrize(
    ("answers", "tries", "waits"), [([409, 409, 200], 3, 2), ([409], 6, 5), ([404], 1, 0), ([500], 1, 0)]
)
def test_removal_is_tried_again_while_others_change_the_trigger(answers: list[int], tries: int, waits: int) -> None:
    async def test(api: Api, platform: RestPlatform, clock: ImpatientClock) -> None:
        api.script("DELETE namespaces/acme/triggers/tick", *((status, {}) for status in answers))
        await platform.remove_trigger(timer(cron="* * * * *"), with_rules=False)
        assert len(api.asked) == tries
        assert clock.slept_s == [1] * waits

    on_api(test)


def test_the_provider_serves_its_api_and_fires_triggers() -> None:
    async def test() -> None:
        api = Api()
        api.script("GET namespaces/acme/triggers/tick", (200, {}))
        api.script("POST namespaces/acme/triggers/tick", (202, {}))
        ledger = MemoryLedger()
        provider = AlarmsProvider(ledger, api)
        await provider.start()
        given = {"cron": "* * * * * *", "trigger_payload": "now"}
        path = "/provider/alarms/v1/triggers/acme/tick"
        answer = await AsgiClient(provider.app).request("POST", path, json=given, auth=KEY)
        assert (answer.status, answer.json) == (200, {"status": "success"})
        await asyncio.wait_for(api.has_fired.wait(), 10)
        await provider.aclose()
        assert api.asked[1] == ("POST namespaces/acme/triggers/tick", KEY, {"payload": "now"})
        assert [key for key, _ in await ledger.load()] == ["acme/tick"]

    asyncio.run(test())


class FailingLedger(MemoryLedger):
    """Can neither keep nor forget."""

    async def put(self, key: str, document: bytes) -> None:
        raise OSError("disk full")

    async def delete(self, key: str) -> None:
        raise OSError("disk full")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("POST", "error creating alarm trigger."),
        ("PUT", "there was an error while updating the trigger in the database."),
        ("DELETE", "there was an error while deleting the trigger from the database."),
    ],
)
def test_a_ledger_that_fails_is_told_in_the_words_of_the_event(
    method: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        api = Api()
        api.script("GET namespaces/acme/triggers/tick", (200, {}))
        provider = AlarmsProvider(FailingLedger(), api)
        await provider.start()
        client = AsgiClient(provider.app)
        path = "/provider/alarms/v1/triggers/acme/tick"
        if method != "POST":
            await client.request("POST", path, json={"cron": "0 0 1 1 *"}, auth=KEY)
        answer = await client.request(method, path, json={"cron": "0 0 1 2 *"}, auth=KEY)
        assert (answer.status, answer.error) == (500, message)
        await provider.aclose()

    asyncio.run(test())
    assert f"{method} /provider/alarms/v1/triggers/acme/tick failed" in caplog.messages
    assert KEY not in caplog.text
