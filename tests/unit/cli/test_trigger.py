"""`wsk trigger` without feeds."""

from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import wsk

MISSING = (404, {"error": "Not found.", "code": "abc"})
MIXED = (
    "error: Incorrect usage. Cannot combine --feed-param or --trigger-param flag with neither --param nor "
    "--param-file flag\n"
)


@pytest.mark.parametrize("flag", ["-p", "-T", "--trigger-param"])
def test_creating_a_trigger_sends_its_parameters_and_annotations(flag: str) -> None:
    run = wsk("trigger", "create", "t", flag, "a", "1", "-a", "b", "2")
    assert run.lines == ["PUT triggers/t?overwrite=false"]
    assert run.body == {
        "name": "t",
        "annotations": [{"key": "b", "value": 2}],
        "parameters": [{"key": "a", "value": 1}],
    }
    assert (run.exit, run.stdout, run.stderr) == (0, "ok: created trigger t\n", "")


def test_a_bare_trigger_sends_its_name_only() -> None:
    assert wsk("trigger", "create", "t").body == {"name": "t"}


def test_a_trigger_is_created_in_the_namespace_it_names() -> None:
    run = wsk("trigger", "create", "/ns/t")
    assert [request.target for request in run.requests] == ["/api/v1/namespaces/ns/triggers/t?overwrite=false"]


def test_updating_a_trigger_looks_first() -> None:
    run = wsk("trigger", "update", "t", "-p", "a", "1")
    assert run.lines == ["GET triggers/t", "PUT triggers/t?overwrite=true"]
    assert run.body == {"name": "t", "parameters": [{"key": "a", "value": 1}]}
    assert (run.exit, run.stdout) == (0, "ok: updated trigger t\n")


def test_updating_a_trigger_that_is_not_there_creates_it() -> None:
    run = wsk("trigger", "update", "t", "-p", "a", "1", server={("GET", "triggers/t"): MISSING})
    assert run.lines == ["GET triggers/t", "PUT triggers/t?overwrite=false"]
    assert (run.exit, run.stdout) == (0, "ok: created trigger t\n")


@pytest.mark.parametrize("command", ["create", "update"])
@pytest.mark.parametrize("split", ["-F", "-T"])
def test_plain_parameters_do_not_mix_with_those_of_feed_and_trigger(command: str, split: str) -> None:
    run = wsk("trigger", command, "t", "-p", "a", "1", split, "b", "2")
    assert (run.exit, run.stderr, run.lines) == (149, MIXED, [])


def test_a_trigger_without_a_feed_has_no_feed_parameters() -> None:
    run = wsk("trigger", "create", "t", "-F", "a", "1")
    expected = "error: Incorrect usage. Trigger without a feed cannot have feed parameters\n"
    assert (run.exit, run.stderr, run.lines) == (149, expected, [])


def test_firing_a_trigger_posts_its_parameters() -> None:
    run = wsk("trigger", "fire", "t", "-p", "a", "1")
    assert (run.lines, run.body) == (["POST triggers/t"], {"a": 1})
    assert (run.exit, run.stdout) == (0, f"ok: triggered /_/t with id {ACTIVATION_ID}\n")
    assert wsk("trigger", "fire", "t").body == {}


def test_firing_a_trigger_without_rules_tells_no_id() -> None:
    run = wsk("trigger", "fire", "/ns/t", server={("POST", "/api/v1/namespaces/ns/triggers/t"): (204, None)})
    assert (run.exit, run.stdout) == (0, "ok: triggered /ns/t with id \n")


def test_deleting_a_trigger_looks_for_a_feed_first() -> None:
    run = wsk("trigger", "delete", "t")
    assert run.lines == ["GET triggers/t", "DELETE triggers/t"]
    assert (run.exit, run.stdout) == (0, "ok: deleted trigger t\n")


def test_one_field_of_a_trigger_is_shown() -> None:
    run = wsk("trigger", "get", "t", "name")
    assert (run.exit, run.stdout) == (0, 'ok: got trigger t, displaying field name\n"t"\n')


def test_a_summary_describes_a_trigger_and_its_parameters() -> None:
    answer = {"namespace": "guest", "name": "t", "parameters": [{"key": "a", "value": 1}], "annotations": []}
    run = wsk("trigger", "get", "t", "-s", server={("GET", "triggers/t"): (200, answer)})
    head, parameters = run.stdout.splitlines()
    assert head.startswith("trigger /guest/t")
    assert parameters == "   (parameters: *a)"


@pytest.mark.parametrize(("flags", "names"), [([], ["Zoo", "ant"]), (["-n"], ["ant", "Zoo"])])
def test_triggers_are_listed(flags: list[str], names: list[str]) -> None:
    server: Any = {("GET", "triggers"): (200, [{"namespace": "guest", "name": name} for name in ("Zoo", "ant")])}
    run = wsk("trigger", "list", *flags, server=server)
    assert run.lines == ["GET triggers?limit=30&skip=0"]
    assert run.stdout == "triggers\n" + "".join(f"{'/guest/' + name:<70} private\n" for name in names)


def test_an_idempotency_key_is_sent_along_with_a_fire() -> None:
    run = wsk("trigger", "fire", "t", "--idempotency-key", "order 17")
    assert run.requests[-1].headers["idempotency-key"] == "order 17"
    assert "idempotency-key" not in wsk("trigger", "fire", "t").requests[-1].headers
