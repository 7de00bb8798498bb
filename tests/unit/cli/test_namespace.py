"""`wsk namespace` and `wsk list`: all there is in a namespace."""

import json
from typing import Any

import pytest

from tests.unit.cli.terminal import wsk


def test_namespaces_are_listed() -> None:
    run = wsk("namespace", "list", server={("GET", "/api/v1/namespaces"): (200, ["one", "two"])})
    assert [request.target for request in run.requests] == ["/api/v1/namespaces"]
    assert (run.exit, run.stdout, run.stderr) == (0, "namespaces\none\ntwo\n", "")


def entity(name: str, namespace: str = "guest", **fields: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name} | fields


EVERYTHING: dict[tuple[str, str], Any] = {
    ("GET", "actions"): (200, [entity("z"), entity("a", "guest/pkg")]),
    ("GET", "packages"): (200, [entity("pkg", publish=False), entity("Base", publish=True)]),
    ("GET", "triggers"): (200, [entity("t")]),
    ("GET", "rules"): (200, [entity("r", status="active")]),
}
REQUESTS = [f"GET {collection}?limit=0&skip=0" for collection in ("actions", "packages", "triggers", "rules")]


def row(name: str, rest: str) -> str:
    return f"{name:<70} {rest}\n"


@pytest.mark.parametrize("command", [["list"], ["namespace", "get"], ["list", "/_"], ["namespace", "get", "/_"]])
def test_everything_in_the_namespace_is_listed(command: list[str]) -> None:
    run = wsk(*command, server=EVERYTHING)
    assert run.lines == REQUESTS
    assert (run.exit, run.stderr) == (0, "")
    assert run.stdout == (
        "Entities in namespace: default\n"
        "packages\n" + row("/guest/pkg", "private") + row("/guest/Base", "shared") + "actions\n"
        "" + row("/guest/z", "private ") + row("/guest/pkg/a", "private ") + "triggers\n"
        "" + row("/guest/t", "private") + "rules\n" + row("/guest/r", f"{'private':<20} active")
    )


def test_everything_is_listed_by_name() -> None:
    stdout = wsk("list", "--name-sort", server=EVERYTHING).stdout
    assert stdout.index("/guest/Base") < stdout.index("/guest/pkg")


def test_an_empty_namespace_shows_the_headers() -> None:
    run = wsk("list")
    assert run.stdout == "Entities in namespace: default\npackages\nactions\ntriggers\nrules\n"


def test_everything_is_to_be_had_as_json() -> None:
    run = wsk("list", "--output", "json", server=EVERYTHING)
    shown = json.loads(run.stdout)
    assert {kind: [item["name"] for item in items] for kind, items in shown.items()} == {
        "actions": ["z", "a"],
        "packages": ["pkg", "Base"],
        "triggers": ["t"],
        "rules": ["r"],
    }
