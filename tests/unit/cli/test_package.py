"""`wsk package`: namespaces' folders, and bindings to those of others."""

from typing import Any

import pytest

from tests.unit.cli.terminal import HINT, wsk


@pytest.mark.parametrize(
    ("command", "done", "overwrite"), [("create", "created", "false"), ("update", "updated", "true")]
)
def test_saving_a_package_sends_what_is_given(command: str, done: str, overwrite: str) -> None:
    run = wsk("package", command, "p", "-p", "a", "1", "-a", "b", "2", "--shared", "YES")
    assert run.lines == [f"PUT packages/p?overwrite={overwrite}"]
    assert run.body == {
        "namespace": "_",
        "name": "p",
        "publish": True,
        "annotations": [{"key": "b", "value": 2}],
        "parameters": [{"key": "a", "value": 1}],
    }
    assert (run.exit, run.stdout, run.stderr) == (0, f"ok: {done} package p\n", "")


def test_sharing_is_sent_only_when_given() -> None:
    assert wsk("package", "create", "/ns/p").body == {"namespace": "ns", "name": "p"}
    assert wsk("package", "update", "p", "--shared", "no").body == {"namespace": "_", "name": "p", "publish": False}


@pytest.mark.parametrize("command", ["create", "update"])
def test_sharing_takes_yes_or_no(command: str) -> None:
    run = wsk("package", command, "p", "--shared", "maybe")
    assert (run.exit, run.stderr, run.lines) == (1, f"error: Cannot use value 'maybe' for shared.\n{HINT}", [])


@pytest.mark.parametrize(
    ("source", "binding"),
    [
        ("/whisk.system/utils", {"namespace": "whisk.system", "name": "utils"}),
        ("utils", {"namespace": "_", "name": "utils"}),
    ],
)
def test_a_binding_points_to_its_package(source: str, binding: dict[str, str]) -> None:
    run = wsk("package", "bind", source, "u", "-p", "a", "1")
    assert run.lines == ["PUT packages/u?overwrite=false"]
    assert run.body == {"parameters": [{"key": "a", "value": 1}], "binding": binding}
    assert (run.exit, run.stdout) == (0, "ok: created binding u\n")


def test_a_binding_may_replace_one_and_is_named_as_typed() -> None:
    run = wsk("package", "bind", "utils", "/ns/u", "--overwrite")
    assert [request.target for request in run.requests] == ["/api/v1/namespaces/ns/packages/u?overwrite=true"]
    assert run.stdout == "ok: created binding /ns/u\n"


PACKAGE: dict[str, Any] = {
    "namespace": "guest",
    "name": "p",
    "parameters": [{"key": "host", "value": "h"}],
    "annotations": [{"key": "description", "value": "Tools"}],
    "actions": [
        {"name": "a1", "annotations": [{"key": "description", "value": "Does"}]},
        {"name": "a2", "annotations": [{"key": "parameters", "value": [{"name": "x"}]}]},
    ],
    "feeds": [{"name": "f1"}],
}


def test_a_summary_describes_a_package_and_what_is_in_it() -> None:
    run = wsk("package", "get", "p", "--summary", server={("GET", "packages/p"): (200, PACKAGE)})
    assert run.lines == ["GET packages/p"]
    blocks = run.stdout.splitlines()
    assert run.exit == 0
    assert blocks[:2] == ["package /guest/p: Tools", "   (parameters: *host)"]
    assert blocks[2] == " action /guest/p/a1: Does"
    assert blocks[4].startswith(" action /guest/p/a2: Returns a result based on parameter")
    assert blocks[6].startswith(" feed   /guest/p/f1")
    assert all(line.startswith("   (parameters: ") for line in blocks[3::2])
    assert len(blocks) == 8


def test_one_field_of_a_package_is_shown() -> None:
    run = wsk("package", "get", "p", "feeds", server={("GET", "packages/p"): (200, PACKAGE)})
    assert run.stdout == 'ok: got package p, displaying field feeds\n[\n    {\n        "name": "f1"\n    }\n]\n'


def test_deleting_a_package_deletes_it() -> None:
    run = wsk("package", "delete", "p")
    assert (run.exit, run.lines, run.stdout) == (0, ["DELETE packages/p"], "ok: deleted package p\n")


LISTED = [
    {"namespace": "guest", "name": "Zoo", "publish": True},
    {"namespace": "guest", "name": "ant", "publish": False},
]
ZOO = f"{'/guest/Zoo':<70} shared\n"
ANT = f"{'/guest/ant':<70} private\n"


@pytest.mark.parametrize(("flags", "rows"), [([], ZOO + ANT), (["-n"], ANT + ZOO)])
def test_packages_are_listed_in_the_order_of_the_server_or_by_name(flags: list[str], rows: str) -> None:
    run = wsk("package", "list", "-l", "9", *flags, server={("GET", "packages"): (200, LISTED)})
    assert (run.lines, run.stdout) == (["GET packages?limit=9&skip=0"], "packages\n" + rows)


def test_the_packages_of_another_namespace_are_listed() -> None:
    run = wsk("package", "list", "/ns")
    assert [request.target for request in run.requests] == ["/api/v1/namespaces/ns/packages?limit=30&skip=0"]


def test_refreshing_tells_which_bindings_changed() -> None:
    changes = {"added": ["b1", "b2"], "updated": [], "deleted": ["b3"]}
    run = wsk(
        "package", "refresh", "/guest", server={("POST", "/api/v1/namespaces/guest/packages/refresh"): (200, changes)}
    )
    assert [request.raw_body for request in run.requests] == [b""]
    lines = [
        "'guest' refreshed successfully",
        "created bindings:",
        "b1",
        "b2",
        "updated bindings:",
        "deleted bindings:",
        "b3",
    ]
    assert (run.exit, run.stdout) == (0, "\n".join(lines) + "\n")
