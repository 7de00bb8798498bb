"""The commands of a first acquaintance, typed as they are shown: an action, its record, a timer, its log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Platform, await_value, running

HELLO_WORLD = "function main() {\n  console.log('Hello World');\n  return { hello: 'world' };\n}\n"
IDENTIFIER = "[0-9a-f]{32}"
LOG_LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z +stdout: Hello World"
EVERY_TWENTY_SECONDS = "*/20 * * * * *"
PATIENCE_S = 45
"""Two periods of the timer, and some time for the runs."""


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform nobody has used yet, and the beginner's two files beside it."""
    home: Path = tmp_path_factory.mktemp("beginner")
    with running(home) as platform:
        for name in ("action", "handler"):
            (home / f"{name}.js").write_text(HELLO_WORLD)
        said(platform, "action create handler handler.js")
        yield platform


def said(platform: Platform, command: str, *more: str, timeout: float = 60) -> str:
    """What `wsk COMMAND` prints; it has to succeed without complaint."""
    result = platform.wsk(*command.split(), *more, timeout=timeout)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def document(output: str) -> Any:
    """The JSON below the line that tells of success."""
    return json.loads(output[output.index("{\n") :])


def annotations(record: Any) -> dict[str, Any]:
    return {annotation["key"]: annotation["value"] for annotation in record["annotations"]}


def test_an_action_is_created_from_a_file_and_invoked_without_waiting(beginner: Platform) -> None:
    assert said(beginner, "action create myAction action.js") == "ok: created action myAction\n"
    invoked = said(beginner, "action invoke myAction")
    match = re.fullmatch(f"ok: invoked /_/myAction with id ({IDENTIFIER})\n", invoked)
    assert match, invoked
    record = beginner.record(match[1])
    assert record["name"] == "myAction"
    assert record["response"]["result"] == {"hello": "world"}


def test_a_blocking_invocation_prints_the_record_with_the_result(beginner: Platform) -> None:
    output = said(beginner, "action invoke --blocking handler")
    first, _ = output.split("\n", 1)
    identifier = first.removeprefix("ok: invoked /_/handler with id ")
    record = document(output)
    assert record["activationId"] == identifier
    assert record["response"]["result"] == {"hello": "world"}
    assert (record["response"]["status"], record["response"]["success"]) == ("success", True)


def test_the_full_record_of_an_activation_has_its_log_and_its_circumstances(beginner: Platform) -> None:
    identifier = document(said(beginner, "action invoke --blocking handler"))["activationId"]
    beginner.record(identifier)
    output = said(beginner, f"activation get {identifier}")
    assert output.startswith(f"ok: got activation {identifier}\n")
    record = document(output)
    assert list(record) == [
        *("namespace", "name", "version", "subject", "activationId", "start", "end", "duration"),
        *("statusCode", "response", "logs", "annotations", "publish"),
    ]
    assert (record["namespace"], record["name"], record["version"]) == ("guest", "handler", "0.0.1")
    assert (record["statusCode"], record["publish"]) == (0, False)
    assert record["end"] - record["start"] == record["duration"]
    [line] = record["logs"]
    assert re.fullmatch(LOG_LINE, line)
    noted = annotations(record)
    assert noted.keys() - {"initTime"} == {"path", "kind", "limits", "waitTime", "timeout"}
    assert (noted["path"], noted["timeout"]) == ("guest/handler", False)
    assert re.fullmatch(r"nodejs:\d+", noted["kind"])
    assert noted["limits"] == {"concurrency": 1, "logs": 10, "memory": 256, "timeout": 60000}


def test_the_served_record_has_the_fields_of_the_interface_and_no_others(beginner: Platform) -> None:
    identifier = document(said(beginner, "action invoke --blocking handler"))["activationId"]
    record = beginner.record(identifier)
    assert record.keys() == {
        *("activationId", "namespace", "name", "version", "subject", "publish", "start", "end", "duration"),
        *("logs", "annotations", "response"),
    }
    assert record["response"].keys() - {"size"} == {"result", "status", "success"}


def test_only_the_first_run_of_an_action_is_a_cold_start(beginner: Platform) -> None:
    said(beginner, "action create coldThenWarm action.js")
    runs = [document(said(beginner, "action invoke --blocking coldThenWarm")) for _ in range(2)]
    assert ["initTime" in annotations(run) for run in runs] == [True, False]


@pytest.mark.timeout(180)
def test_a_timer_invokes_the_handler_and_polling_shows_its_log(beginner: Platform) -> None:
    feed = "trigger create every-20-seconds --feed /whisk.system/alarms/alarm --param cron"
    created = said(beginner, feed, EVERY_TWENTY_SECONDS)
    assert created.endswith("ok: created trigger every-20-seconds\n")
    rule = said(beginner, "rule create --enable invoke-periodically every-20-seconds handler")
    assert rule == "ok: created rule invoke-periodically\n"
    seen = beginner.request("GET", "/namespaces/_/activations?name=every-20-seconds").json

    def fired() -> Any:
        records = beginner.request("GET", "/namespaces/_/activations?name=every-20-seconds").json
        return [record for record in records if record not in seen]

    fire = await_value(fired, within=PATIENCE_S)[0]
    [line] = beginner.record(fire["activationId"])["logs"]
    told = json.loads(line)
    assert (told["rule"], told["action"], told["success"]) == (
        "guest/invoke-periodically",
        "guest/handler",
        True,
    )
    beginner.record(told["activationId"])
    polled = said(beginner, "activation poll --since-minutes 1 --exit 1")
    assert polled.startswith("Enter Ctrl-c to exit.\nPolling for activation logs\n")
    assert f"\nActivation: 'every-20-seconds' ({fire['activationId']})\n" in polled
    handled = polled.split(f"\nActivation: 'handler' ({told['activationId']})\n")[1]
    assert re.match(r'\[\n    "' + LOG_LINE + r'"\n\]\n', handled)


@pytest.mark.timeout(180)
def test_polling_waits_for_what_a_timer_will_do(beginner: Platform) -> None:
    said(beginner, "trigger create soon --feed /whisk.system/alarms/alarm --param cron", "* * * * * *")
    said(beginner, "rule create --enable soon-handled soon handler")
    polled = said(beginner, "activation poll --exit 4")
    assert re.search(r"\nActivation: 'handler' \([0-9a-f]{32}\)\n\[\n    \"" + LOG_LINE, polled)
    deleted = said(beginner, "trigger delete soon")
    assert deleted.endswith("ok: deleted trigger soon\n")
