"""`wsk rule`: ties triggers to actions."""

from typing import Any

import pytest

from tests.unit.cli.terminal import wsk


@pytest.mark.parametrize(
    ("command", "done", "overwrite"), [("create", "created", "false"), ("update", "updated", "true")]
)
def test_saving_a_rule_names_trigger_and_action_in_full(command: str, done: str, overwrite: str) -> None:
    run = wsk("rule", command, "r", "t", "pkg/a")
    assert run.lines == [f"PUT rules/r?overwrite={overwrite}"]
    assert {key: run.body[key] for key in ("name", "trigger", "action")} == {
        "name": "r",
        "trigger": "/_/t",
        "action": "/_/pkg/a",
    }
    assert run.body.get("status", "") == ""
    assert (run.exit, run.stdout, run.stderr) == (0, f"ok: {done} rule r\n", "")


def test_names_with_a_namespace_are_kept_as_typed() -> None:
    body = wsk("rule", "create", "/ns/r", "/ns/t", "/other/p/a").body
    assert (body["trigger"], body["action"]) == ("/ns/t", "/other/p/a")


def test_a_rule_may_be_created_active() -> None:
    run = wsk("rule", "create", "r", "t", "a", "--enable")
    assert run.lines[0] == "PUT rules/r?overwrite=false"
    assert (run.exit, run.stdout) == (0, "ok: created rule r\n")
    assert all(request.body["status"] == "active" for request in run.requests[1:])


@pytest.mark.parametrize(("command", "status"), [("enable", "active"), ("disable", "inactive")])
def test_a_rule_is_switched_by_its_status(command: str, status: str) -> None:
    run = wsk("rule", command, "r")
    assert run.lines == ["POST rules/r"]
    assert run.body["status"] == status
    assert (run.exit, run.stdout) == (0, f"ok: {command}d rule r\n")


def rule(name: str, **fields: Any) -> dict[str, Any]:
    return {"namespace": "guest", "name": name, "trigger": {"name": "t"}, "action": {"name": "a"}} | fields


RULE = {("GET", "rules/r"): (200, rule("r", status="inactive"))}


def test_the_status_of_a_rule_is_told() -> None:
    run = wsk("rule", "status", "r", server=RULE)
    assert (run.exit, run.lines, run.stdout) == (0, ["GET rules/r"], "ok: rule r is inactive\n")


def test_a_summary_tells_the_status_of_a_rule() -> None:
    run = wsk("rule", "get", "r", "--summary", server=RULE)
    assert (run.exit, run.stdout) == (0, "rule /guest/r\n   (status: inactive)\n")


def test_one_field_of_a_rule_is_shown() -> None:
    run = wsk("rule", "get", "r", "status", server=RULE)
    assert (run.exit, run.stdout) == (0, 'ok: got rule r, displaying field status\n"inactive"\n')


def test_deleting_a_rule_deletes_it() -> None:
    run = wsk("rule", "delete", "r")
    assert (run.exit, run.lines, run.stdout) == (0, ["DELETE rules/r"], "ok: deleted rule r\n")


def test_deleting_a_rule_may_switch_it_off_first() -> None:
    run = wsk("rule", "delete", "r", "--disable")
    assert run.lines == ["POST rules/r", "DELETE rules/r"]
    assert run.body["status"] == "inactive"
    assert run.stdout == "ok: deleted rule r\n"


def row(name: str, status: str) -> str:
    return f"{'/guest/' + name:<70} {'private':<20} {status}\n"


@pytest.mark.parametrize(("flags", "names"), [([], ["Zoo", "ant"]), (["-n"], ["ant", "Zoo"])])
def test_rules_are_listed_with_the_status_that_each_one_has(flags: list[str], names: list[str]) -> None:
    server: Any = {
        ("GET", "rules"): (200, [rule("Zoo"), rule("ant")]),
        ("GET", "rules/Zoo"): (200, rule("Zoo", status="active")),
        ("GET", "rules/ant"): (200, rule("ant", status="inactive")),
    }
    status = {"Zoo": "active", "ant": "inactive"}
    run = wsk("rule", "list", *flags, server=server)
    assert (run.exit, run.stdout) == (0, "rules\n" + "".join(row(name, status[name]) for name in names))
    assert run.lines[0] == "GET rules?limit=30&skip=0"
    assert sorted(run.lines[1:]) == ["GET rules/Zoo", "GET rules/ant"]


def test_the_status_in_the_list_is_used_where_the_server_gives_it() -> None:
    server: Any = {("GET", "rules"): (200, [rule("r", status="active")])}
    run = wsk("rule", "list", server=server)
    assert run.lines == ["GET rules?limit=30&skip=0"]
    assert run.stdout == "rules\n" + row("r", "active")


def test_a_rule_whose_status_cannot_be_had_is_told() -> None:
    refusal = (403, {"error": "Not yours.", "code": "abc"})
    server: Any = {("GET", "rules"): (200, [rule("r")]), ("GET", "rules/r"): refusal}
    run = wsk("rule", "list", server=server)
    assert run.exit == 147
    assert "Unable to get status of rule 'r': Not yours. (code abc)\n" in run.stderr


def test_a_rule_that_is_deleted_while_rules_are_listed_is_listed_without_a_status() -> None:
    missing = (404, {"error": "Not found.", "code": "abc"})
    run = wsk("rule", "list", server={("GET", "rules"): (200, [rule("r")]), ("GET", "rules/r"): missing})
    assert (run.exit, run.stdout) == (0, "rules\n" + row("r", ""))
