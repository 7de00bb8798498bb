"""Retries, destinations, dead letters and delays on a real platform."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import BIN, Platform, await_value, environment_of, lines, running

FAILS_TWICE = {
    "python:default": """
import os

def main(args):
    attempt = int(os.environ["__OW_ATTEMPT"])
    print("this is attempt", attempt)
    return {"attempt": attempt} if attempt > 2 else {"error": f"attempt {attempt} is too early"}
""",
    "nodejs:default": """
function main() {
  const attempt = Number(process.env.__OW_ATTEMPT);
  console.log('this is attempt', attempt);
  return attempt > 2 ? { attempt } : { error: `attempt ${attempt} is too early` };
}
""",
}
FAILS = "def main(args):\n    return {'error': 'as always'}\n"
ECHO = "def main(args):\n    return args\n"
ATTEMPT = "import os\n\ndef main(args):\n    return {'attempt': os.environ['__OW_ATTEMPT']}\n"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("delivery")) as platform:
        yield platform


def annotations(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("_", "-"), "value": value} for key, value in values.items()]


def submitted(platform: Platform, name: str, payload: Any = None, query: str = "") -> str:
    answer = platform.request("POST", f"/namespaces/_/actions/{name}{query}", payload or {})
    assert answer.status == 202, answer.body
    activation_id: str = answer.json["activationId"]
    return activation_id


def annotation(record: Any, key: str) -> Any:
    return {entry["key"]: entry["value"] for entry in record["annotations"]}.get(key)


def records_of(platform: Platform, name: str) -> Any:
    return platform.request("GET", f"/namespaces/_/activations?name={name}&docs=true").json


def dead_letters(platform: Platform, *args: str) -> subprocess.CompletedProcess[str]:
    """`sabayon dead-letters ARGS` as an operator runs it: with what is in ~/.wskprops."""
    command = [BIN / "sabayon", "dead-letters", *args]
    return subprocess.run(command, env=environment_of(platform.home), capture_output=True, text=True, timeout=60)


def told(platform: Platform, *args: str) -> list[str]:
    result = dead_letters(platform, *args)
    assert (result.returncode, result.stderr) == (0, "")
    return list(lines(result.stdout))


@pytest.mark.parametrize("kind", FAILS_TWICE)
def test_a_function_that_fails_twice_has_one_record_of_success_that_tells_three_attempts(
    platform: Platform, kind: str
) -> None:
    name = f"flaky-{kind.partition(':')[0]}"
    platform.create_action(name, FAILS_TWICE[kind], kind, annotations=annotations(retries=3))
    record = platform.record(submitted(platform, name))
    assert (record["response"]["result"], record["response"]["status"]) == ({"attempt": 3}, "success")
    assert annotation(record, "attempts") == 3
    assert [line[31:] for line in record["logs"]] == [
        "stderr: Attempt 1 ended with application error: attempt 1 is too early",
        "stderr: Attempt 2 ended with application error: attempt 2 is too early",
        "stdout: this is attempt 3",
    ]
    assert len(records_of(platform, name)) == 1
    assert told(platform, "list") == []
    blocking = platform.invoke(name)  # in the same container
    assert (blocking.status, blocking.json["response"]["result"]["error"]) == (502, "attempt 1 is too early")


def test_one_that_always_fails_fires_its_trigger_once_and_is_a_dead_letter_until_it_is_fixed(
    platform: Platform,
) -> None:
    platform.create_action("note", ECHO)
    platform.request("PUT", "/namespaces/_/triggers/failed", {})
    platform.request("PUT", "/namespaces/_/rules/tell", {"trigger": "/_/failed", "action": "/_/note"})
    platform.create_action("broken", FAILS, annotations=annotations(retries=1, on_failure="failed"))
    activation_id = submitted(platform, "broken", {"x": 1})
    record = platform.record(activation_id)
    assert (record["response"]["result"], annotation(record, "attempts")) == ({"error": "as always"}, 2)

    [note] = await_value(lambda: records_of(platform, "note"))
    assert note["response"]["result"].pop("__ow_headers") == {}
    assert note["response"]["result"] == {**record, "logs": []}

    [line] = told(platform, "list")
    id, buried, action, attempts, reason = line.split("\t")
    assert (id, action, attempts) == (activation_id, "guest/broken", "2")
    assert (buried[-1], reason) == ("Z", "its function failed, and its retries are used up")
    assert any('"x": 1' in line for line in told(platform, "show", activation_id))

    platform.create_action("broken", ECHO)
    [line] = told(platform, "retry", activation_id)
    old, _, new = line.partition(" is retried as ")
    again = platform.record(new)
    assert (old, annotation(again, "retryOf")) == (activation_id, activation_id)
    assert again["response"]["result"] == {"x": 1}
    assert platform.record(activation_id) == record
    assert told(platform, "list") == []
    assert len(records_of(platform, "broken")) == 2
    assert len(records_of(platform, "note")) == len(records_of(platform, "failed")) == 1


def test_dead_letters_are_dropped_and_one_that_is_not_there_is_said_so(platform: Platform) -> None:
    platform.create_action("hopeless", FAILS, annotations=annotations(on_failure="nobody"))
    activation_id = submitted(platform, "hopeless")
    platform.record(activation_id)
    assert told(platform, "drop", activation_id) == [f"dropped {activation_id}"]
    for command in ("show", "retry", "drop"):
        refused = dead_letters(platform, command, activation_id)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == f"sabayon: {activation_id}: There is no dead letter with this id.\n"


def test_without_a_platform_or_a_key_one_line_says_so(platform: Platform, tmp_path: Path) -> None:
    refused = dead_letters(platform, "list", "--apihost", "http://127.0.0.1:9")
    assert (refused.returncode, refused.stdout, len(lines(refused.stderr))) == (1, "", 1)
    assert "connection refused" in refused.stderr
    command = [BIN / "sabayon", "dead-letters", "list"]
    lost = subprocess.run(command, env=environment_of(tmp_path), capture_output=True, text=True, timeout=60)
    text = "sabayon: which platform, and whose key? Give --apihost and --auth, or use: wsk property set\n"
    assert (lost.returncode, lost.stderr) == (1, text)


def test_dead_letters_are_those_of_the_key(platform: Platform) -> None:
    platform.create_action("hopeless", FAILS, annotations=annotations(on_failure="nobody"))
    activation_id = submitted(platform, "hopeless")
    platform.record(activation_id)
    other = platform.namespace("delivery-other")
    assert told(platform, "list", "--auth", other) == []
    assert told(platform, "list")[0].startswith(activation_id)
    assert told(platform, "drop", activation_id) == [f"dropped {activation_id}"]


def test_an_invocation_runs_when_its_delay_is_over(platform: Platform) -> None:
    platform.create_action("late", ATTEMPT)
    before = time.time()
    result = platform.wsk("action", "invoke", "late", "--delay", "2")
    assert result.returncode == 0, result.stderr
    activation_id = result.stdout.split()[-1]
    assert platform.request("GET", f"/namespaces/_/activations/{activation_id}").status == 404
    record = platform.record(activation_id)
    assert record["start"] / 1000 >= before + 2
    assert record["response"]["result"] == {"attempt": "1"}
    refused = platform.wsk("action", "invoke", "late", "--delay", "2", "--blocking")
    assert refused.returncode == 400 % 256
    assert "A blocking invocation cannot have a delay." in refused.stderr


def test_a_delayed_invocation_survives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        platform.create_action("late", ATTEMPT)
        soon, later = (submitted(platform, "late", query=f"?delay={delay}") for delay in (1, 3600))
        platform.stop()
    with running(tmp_path) as platform:
        assert platform.record(soon)["response"]["result"] == {"attempt": "1"}
        assert platform.request("GET", f"/namespaces/_/activations/{later}").status == 404


def test_overload_is_refused_before_anything_is_accepted(tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_ACCEPTED_IN_FLIGHT": "2"}) as platform:
        platform.create_action("slow", "import time\ndef main(args):\n    time.sleep(1)\n    return args\n")
        answers = [platform.request("POST", "/namespaces/_/actions/slow", {"n": n}) for n in range(4)]
        assert [answer.status for answer in answers] == [202, 202, 503, 503]
        assert answers[-1].headers["retry-after"] == "1"
        for answer in answers[:2]:
            assert platform.record(answer.json["activationId"])["response"]["success"]
        assert platform.invoke("slow").status == 200
        assert len(records_of(platform, "slow")) == 3
