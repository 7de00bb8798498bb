"""The catalog as it is put into a platform, and left alone there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sabayon.bootstrap import SYSTEM
from sabayon.catalog.install import install_catalog
from sabayon.client import ConnectionFailed, Response
from sabayon.entity.identity import Identity, new_identity
from tests.unit.stage import Stage, annotation, on_stage

FEEDS = {"alarm", "once", "interval"}


class CatalogClient:
    """A client of `stage`, to be used in a thread beside its event loop; writes down what it changes.

    overtaken: the route that another one writes, the same, just before this one does.
    """

    def __init__(self, stage: Stage, identity: Identity) -> None:
        self._stage = stage
        self._identity = identity
        self._loop = asyncio.get_running_loop()
        self.changed: list[str] = []
        self.overtaken = ""
        self.is_broken: Callable[[str], bool] = lambda route: False

    def request(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None
    ) -> Response:
        route = path.removeprefix("namespaces/")
        if self.is_broken(route):
            raise ConnectionFailed("connection refused")
        if method != "GET":
            self.changed.append(route)
        suffix = "?overwrite=true" if query == {"overwrite": True} else ""
        asked = self._stage.request(method, route + suffix, body, by=self._identity)
        answer = asyncio.run_coroutine_threadsafe(asked, self._loop).result(10)
        if method == "PUT" and route == self.overtaken:
            return Response(409, [], b"{}")
        return Response(answer.status, list(answer.headers.items()), answer.body)

    async def install(self) -> list[str]:
        """The routes that an installation changes."""
        self.changed = []
        await asyncio.to_thread(install_catalog, self)
        return self.changed


async def client_of(stage: Stage) -> CatalogClient:
    system = new_identity(SYSTEM)
    await stage.store.identities.put(system)
    return CatalogClient(stage, system)


async def feed(stage: Stage, name: str) -> Any:
    return (await stage.request("GET", f"{SYSTEM}/actions/alarms/{name}")).json


@on_stage
async def test_everybody_sees_the_alarms_package_and_its_feeds(stage: Stage) -> None:
    await (await client_of(stage)).install()
    package = (await stage.request("GET", f"{SYSTEM}/packages/alarms")).json
    assert package["publish"] is True
    assert annotation(package, "description") == "Alarms and periodic utility"
    assert [(entry["key"], entry["value"]) for entry in package["parameters"]] == [("trigger_payload", "")]
    assert {entry["name"] for entry in package["feeds"]} == FEEDS
    assert package["actions"] == []


@on_stage
async def test_feeds_share_their_code_and_differ_by_what_is_bound_to_them(stage: Stage) -> None:
    await (await client_of(stage)).install()
    feeds = {name: await feed(stage, name) for name in FEEDS}
    bound = {
        name: {entry["key"]: entry["value"] for entry in action["parameters"] if entry["key"] != "trigger_payload"}
        for name, action in feeds.items()
    }
    assert bound == {"alarm": {}, "once": {"fireOnce": True}, "interval": {"isInterval": True}}
    assert len({action["exec"]["code"] for action in feeds.values()}) == 1
    assert {action["exec"]["kind"] for action in feeds.values()} == {"python:3.11"}
    assert {name: annotation(action, "description") for name, action in feeds.items()} == {
        "alarm": "Fire trigger when alarm occurs",
        "once": "Fire trigger once when alarm occurs",
        "interval": "Fire trigger at specified interval",
    }


@pytest.mark.parametrize(("name", "required"), [("alarm", {"cron"}), ("once", {"date"}), ("interval", {"minutes"})])
def test_a_feed_says_which_parameters_it_takes(name: str, required: set[str]) -> None:
    async def test(stage: Stage) -> None:
        await (await client_of(stage)).install()
        described = annotation(await feed(stage, name), "parameters")
        assert {entry["name"] for entry in described if entry["required"]} == required
        assert "trigger_payload" in {entry["name"] for entry in described}
        assert required <= set(annotation(await feed(stage, name), "sampleInput"))

    on_stage(test)()


@on_stage
async def test_a_second_installation_changes_nothing(stage: Stage) -> None:
    client = await client_of(stage)
    assert await client.install() == [
        "_/packages/alarms",
        "_/actions/alarms/alarm",
        "_/actions/alarms/once",
        "_/actions/alarms/interval",
    ]
    assert await client.install() == []


@on_stage
async def test_two_that_install_at_once_do_not_hinder_each_other(stage: Stage) -> None:
    client = await client_of(stage)
    both = (asyncio.to_thread(install_catalog, client) for _ in range(2))
    assert await asyncio.gather(*both) == [True, True]
    assert await client.install() == []


@on_stage
async def test_what_somebody_writes_at_the_same_moment_is_looked_at_again(stage: Stage) -> None:
    client = await client_of(stage)
    client.overtaken = "_/packages/alarms"
    assert await asyncio.to_thread(install_catalog, client)
    assert client.changed.count("_/packages/alarms") == 1


@pytest.mark.parametrize(
    ("route", "change"),
    [
        ("packages/alarms", {"publish": False}),
        ("packages/alarms", {"parameters": []}),
        ("actions/alarms/once", {"exec": {"kind": "python:3.11", "code": "def main(args): return {}"}}),
        ("actions/alarms/once", {"parameters": [{"key": "fireOnce", "value": 1}]}),
        ("actions/alarms/alarm", {"annotations": [{"key": "feed", "value": False}]}),
        ("actions/alarms/alarm", {"limits": {"memory": 256}}),
    ],
)
def test_what_differs_is_put_right_and_the_rest_left_alone(route: str, change: dict[str, Any]) -> None:
    async def test(stage: Stage) -> None:
        client = await client_of(stage)
        await client.install()
        answer = await asyncio.to_thread(
            client.request, "PUT", f"namespaces/_/{route}", query={"overwrite": True}, body=change
        )
        assert answer.is_success
        assert await client.install() == [f"_/{route}"]
        assert await client.install() == []

    on_stage(test)()


@on_stage
async def test_what_an_operator_has_added_stays(stage: Stage) -> None:
    client = await client_of(stage)
    await client.install()
    parameters = [{"key": "workers", "value": ["worker0"]}, {"key": "trigger_payload", "value": ""}]
    await asyncio.to_thread(
        client.request,
        "PUT",
        "namespaces/_/packages/alarms",
        query={"overwrite": True},
        body={"parameters": parameters},
    )
    assert await client.install() == []


def test_a_failure_is_logged_and_does_not_keep_the_rest_from_being_installed(caplog: pytest.LogCaptureFixture) -> None:
    async def test(stage: Stage) -> None:
        client = await client_of(stage)
        client.is_broken = lambda route: route == "_/actions/alarms/alarm"
        await client.install()
        package = (await stage.request("GET", f"{SYSTEM}/packages/alarms")).json
        assert {entry["name"] for entry in package["feeds"]} == {"once", "interval"}

    on_stage(test)()
    assert caplog.messages == ["the catalog's actions/alarms/alarm cannot be installed: connection refused"]


def test_a_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test(stage: Stage) -> None:
        stranger = new_identity("nobody")
        await CatalogClient(stage, stranger).install()

    on_stage(test)()
    assert caplog.messages[0] == "the catalog's packages/alarms cannot be installed: HTTP 401"
    assert len(caplog.messages) == 4
