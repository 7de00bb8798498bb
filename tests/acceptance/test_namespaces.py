"""`sabayon namespace …` against a running platform: every change is in force within a second."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.running import Answer, Platform, await_value

EFFECT_S = 1.0
"""How soon a change is in force."""
INVALID = "The supplied authentication is invalid"
ECHO = "def main(args):\n    return args\n"
MINUTE_S = 60


def told(platform: Platform, *args: str) -> str:
    """What `sabayon namespace ARGS` prints, without the last line's end; it has to succeed."""
    result = platform.sabayon("namespace", *args)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout.removesuffix("\n")


def complaint(platform: Platform, *args: str) -> str:
    """The one line in which `sabayon namespace ARGS` refuses."""
    result = platform.sabayon("namespace", *args)
    assert (result.returncode, result.stdout) == (1, ""), result
    [line] = result.stderr.splitlines()
    return line


def knock(platform: Platform, key: str) -> Answer:
    return platform.request("GET", "/namespaces", auth=key)


def await_status(platform: Platform, key: str, status: int) -> Answer:
    """The first answer with `status` to `key`, which is due within a second."""

    def probe() -> Answer | None:
        answer = knock(platform, key)
        return answer if answer.status == status else None

    answer: Answer = await_value(probe, within=EFFECT_S)
    return answer


def fresh_name() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def tenant(platform: Platform) -> str:
    """The name of a namespace of the test's own."""
    name = fresh_name()
    platform.namespace(name)
    return name


def early_in_a_minute() -> None:
    """Rates are counted by the minute of the clock: begin where none ends soon."""
    left = MINUTE_S - time.time() % MINUTE_S
    if left < 10:
        time.sleep(left + 0.1)


def test_a_new_namespace_is_printed_as_its_key_and_can_be_used_within_a_second(platform: Platform) -> None:
    name = fresh_name()
    key = told(platform, "create", name)
    assert await_status(platform, key, 200).json == [name]
    identifier, secret = key.split(":")
    assert (len(uuid.UUID(identifier).bytes), len(secret)) == (16, 64)


def test_the_key_of_a_namespace_is_printed_again_on_request(platform: Platform, tenant: str) -> None:
    assert knock(platform, told(platform, "get", tenant)).json == [tenant]


def test_a_namespace_can_be_given_its_key_and_its_subject(platform: Platform) -> None:
    name, key = fresh_name(), f"{uuid.uuid4()}:{'k' * 64}"
    assert told(platform, "create", name, "--auth", key, "--subject", "Somebody") == key
    assert await_status(platform, key, 200).json == [name]
    assert f"{name}\tSomebody" in told(platform, "list").splitlines()


def test_the_list_has_the_namespaces_there_are_and_says_which_are_blocked(platform: Platform, tenant: str) -> None:
    assert f"{tenant}\t{tenant}" in told(platform, "list").splitlines()
    told(platform, "block", tenant)
    listed = told(platform, "list").splitlines()
    assert f"{tenant}\t{tenant}\tblocked" in listed
    assert any(line.startswith("guest\t") and not line.endswith("blocked") for line in listed)


def test_the_key_of_a_blocked_namespace_is_refused_until_it_is_unblocked(platform: Platform, tenant: str) -> None:
    key = told(platform, "get", tenant)
    platform.create_action("kept", ECHO, auth=key)
    assert told(platform, "block", tenant) == f"blocked {tenant}"
    assert await_status(platform, key, 401).json["error"] == INVALID
    assert platform.invoke("kept", auth=key).status == 401
    assert told(platform, "unblock", tenant) == f"unblocked {tenant}"
    await_status(platform, key, 200)
    assert platform.invoke("kept", {"a": 1}, auth=key).json["response"]["result"] == {"a": 1}


def test_a_rotated_key_opens_what_the_old_one_no_longer_opens(platform: Platform, tenant: str) -> None:
    old = told(platform, "get", tenant)
    platform.create_action("kept", ECHO, auth=old)
    new = told(platform, "key", "rotate", tenant)
    assert await_status(platform, old, 401).json["error"] == INVALID
    assert platform.request("GET", "/namespaces/_/actions/kept", auth=new).status == 200
    assert told(platform, "get", tenant) == new != old


def test_who_rotates_the_key_that_wsk_was_given_is_told_what_to_do(fresh_platform: Platform) -> None:
    result = fresh_platform.sabayon("namespace", "key", "rotate", "guest")
    assert await_status(fresh_platform, result.stdout.strip(), 200).json == ["guest"]
    assert "wsk property set --auth" in result.stderr


def test_a_limit_that_is_set_is_enforced_within_a_second(platform: Platform, tenant: str) -> None:
    key = told(platform, "get", tenant)
    platform.create_action("echo", ECHO, auth=key)
    assert told(platform, "limits", "set", tenant, "--invocations-per-minute", "2") == f"updated limits of {tenant}"
    await_value(
        lambda: platform.request("GET", "/namespaces/_/limits", auth=key).json["invocationsPerMinute"] == 2,
        within=EFFECT_S,
    )
    early_in_a_minute()
    answers = [platform.invoke("echo", auth=key) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert answers[3].json["error"] == "Too many requests in the last minute (count: 4, allowed: 2)."


def test_a_limit_of_fires_holds_triggers_back_and_leaves_invocations_alone(platform: Platform, tenant: str) -> None:
    key = told(platform, "get", tenant)
    platform.create_action("echo", ECHO, auth=key)
    assert platform.request("PUT", "/namespaces/_/triggers/bell", {}, auth=key).status == 200
    told(platform, "limits", "set", tenant, "--fires-per-minute", "0")
    path = "/namespaces/_/triggers/bell"
    answer = await_value(lambda: (a := platform.request("POST", path, {}, auth=key)).status == 429 and a, EFFECT_S)
    assert "Too many requests in the last minute" in answer.json["error"]
    assert platform.invoke("echo", auth=key).status == 200


def test_a_limit_of_concurrency_refuses_what_is_too_much_at_once(platform: Platform, tenant: str) -> None:
    key = told(platform, "get", tenant)
    platform.create_action("echo", ECHO, auth=key)
    told(platform, "limits", "set", tenant, "--concurrent-invocations", "0")
    answer = await_value(lambda: (a := platform.invoke("echo", auth=key)).status == 429 and a, EFFECT_S)
    assert answer.json["error"] == "Too many concurrent requests in flight (count: 0, allowed: 0)."
    told(platform, "limits", "set", tenant, "--concurrent-invocations", "1")
    await_value(lambda: platform.invoke("echo", auth=key).status == 200, EFFECT_S)


def test_the_limits_in_force_are_printed_with_those_that_are_overridden_marked(platform: Platform, tenant: str) -> None:
    told(platform, "limits", "set", tenant, "--invocations-per-minute", "7")
    told(platform, "limits", "set", tenant, "--fires-per-minute", "8")
    assert told(platform, "limits", "get", tenant).splitlines()[:3] == [
        "invocations-per-minute\t7\t(override)",
        "concurrent-invocations\t1000",
        "fires-per-minute\t8\t(override)",
    ]


def test_a_deleted_namespace_is_gone_with_all_that_was_in_it(platform: Platform, tenant: str) -> None:
    old = told(platform, "get", tenant)
    platform.create_action("lost", ECHO, auth=old)
    activation = platform.invoke("lost", auth=old).json["activationId"]
    platform.record(activation, auth=old)
    assert told(platform, "delete", tenant) == f"deleted {tenant}"
    await_status(platform, old, 401)
    assert tenant not in told(platform, "list")
    new = platform.namespace(tenant)
    assert platform.request("GET", "/namespaces/_/actions", auth=new).json == []
    assert platform.request("GET", "/namespaces/_/activations", auth=new).json == []


def test_what_ran_on_while_its_namespace_was_deleted_is_not_shown_to_the_next_owner(
    platform: Platform, tenant: str
) -> None:
    old = told(platform, "get", tenant)
    platform.create_action("lasting", "import time\ndef main(args):\n    time.sleep(3)\n    return {}\n", auth=old)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(platform.invoke, "lasting", auth=old)
        told(platform, "delete", tenant)
        assert running.result().status == 200
    new = platform.namespace(tenant)
    assert platform.request("GET", "/namespaces/_/activations", auth=new).json == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("create", "guest"), "the namespace 'guest' exists already"),
        (("create", "_hidden"), "'_hidden' is not a valid namespace name"),
        (("create", "a/b"), "'a/b' is not a valid namespace name"),
        (("create", "short-owner", "--subject", "abcd"), "a subject has at least 5 characters"),
        (("get", "nobody"), "there is no namespace 'nobody'"),
        (("delete", "nobody"), "there is no namespace 'nobody'"),
        (("block", "nobody"), "there is no namespace 'nobody'"),
        (("unblock", "nobody"), "there is no namespace 'nobody'"),
        (("key", "rotate", "nobody"), "there is no namespace 'nobody'"),
        (("limits", "get", "nobody"), "there is no namespace 'nobody'"),
        (("limits", "set", "nobody", "--fires-per-minute", "1"), "there is no namespace 'nobody'"),
        (("limits", "set", "guest"), "no limit given"),
        (("delete", "whisk.system"), "the namespace 'whisk.system' is the platform's own"),
        (("block", "whisk.system"), "the namespace 'whisk.system' is the platform's own"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(platform: Platform, command: tuple[str, ...], reason: str) -> None:
    assert complaint(platform, *command).startswith(f"sabayon: {reason}")


def test_the_key_of_another_namespace_cannot_be_given_a_second_time(platform: Platform, tenant: str) -> None:
    key = told(platform, "get", tenant)
    other = fresh_name()
    refusal = f"sabayon: the namespace {tenant!r} has a key with this UUID already"
    assert complaint(platform, "create", other, "--auth", key) == refusal
    assert knock(platform, key).json == [tenant]
    assert other not in told(platform, "list")
