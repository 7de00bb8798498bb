"""`wsk activation`: the record of what ran."""

import json
from typing import Any

import pytest

from tests.unit.cli.scripted_server import ACTIVATION_ID
from tests.unit.cli.terminal import HINT, wsk

START_MS = 1_700_000_000_000
START_UTC = "2023-11-14 22:13:20"
HEADER = "Datetime            Activation ID                    Kind      Start Duration   Status  Entity\n"
LOG = "2023-11-14T22:13:20.123456789Z stdout: hello"
ERROR_LOG = "2023-11-14T22:13:20.2Z  stderr: oh: no"
LOGS = [LOG, ERROR_LOG, "not a log line"]
STRIPPED = "hello\noh: no\nnot a log line\n"


def record(kind: str | None = "nodejs:20", duration: int | None = 5, **fields: Any) -> dict[str, Any]:
    annotations = [] if kind is None else [{"key": "kind", "value": kind}]
    return (
        {
            "namespace": "guest",
            "name": "h",
            "version": "0.0.1",
            "activationId": ACTIVATION_ID,
            "start": START_MS,
            "end": START_MS + (duration or 0),
            "statusCode": 0,
            "annotations": annotations,
        }
        | ({} if duration is None else {"duration": duration})
        | fields
    )


def listing(*records: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {("GET", "activations"): (200, list(records))}


@pytest.mark.parametrize(
    ("args", "query"),
    [
        ([], "limit=30&skip=0"),
        (["h"], "limit=30&name=h&skip=0"),
        (["pkg/act"], "limit=30&name=pkg%2Fact&skip=0"),
        (["/ns/x"], "limit=30&name=x&skip=0"),
        (["/ns"], "limit=30&skip=0"),
        (
            ["-f", "-l", "3", "-s", "4", "--since", "1700000000000", "--upto", "1700000000009"],
            "docs=true&limit=3&since=1700000000000&skip=4&upto=1700000000009",
        ),
    ],
)
def test_activations_are_asked_for(args: list[str], query: str) -> None:
    assert wsk("activation", "list", *args).lines == [f"GET activations?{query}"]


def test_an_empty_list_is_a_blank_line() -> None:
    run = wsk("activation", "list")
    assert (run.exit, run.stdout) == (0, "\n")


def test_the_columns_fit_the_widest_kind_and_status() -> None:
    records = [
        record(
            "python:3.11",
            2003,
            statusCode=1,
            annotations=[{"key": "kind", "value": "python:3.11"}, {"key": "initTime", "value": 9}],
        ),
        record(None, None, name="trg"),
    ]
    run = wsk("activation", "list", server=listing(*records))
    assert (run.exit, run.stderr) == (0, "")
    assert run.stdout == (
        "Datetime            Activation ID                    Kind        Start Duration   Status            Entity\n"
        f"{START_UTC} {ACTIVATION_ID} python:3.11 cold  2.003s     application error guest/h:0.0.1\n"
        f"{START_UTC} {ACTIVATION_ID} unknown     warm  0s         success           guest/trg:0.0.1\n"
    )


def test_a_duration_is_shown_in_its_shortest_form() -> None:
    shown = {
        0: "0s",
        5: "5ms",
        137: "137ms",
        1000: "1s",
        2500: "2.5s",
        60000: "1m0s",
        61234: "1m1.234s",
        3602500: "1h0m2.5s",
    }
    run = wsk("activation", "list", server=listing(*(record("nodejs:20", duration) for duration in shown)))
    rows = [
        f"{START_UTC} {ACTIVATION_ID} nodejs:20 warm  {text:<10} success guest/h:0.0.1\n" for text in shown.values()
    ]
    assert run.stdout == HEADER + "".join(rows)


def test_a_status_is_shown_in_words() -> None:
    words = {1: "application error", 2: "developer error", 3: "internal error", 9: "success"}
    run = wsk("activation", "list", server=listing(*(record(statusCode=code) for code in words)))
    rows = run.stdout.splitlines()[1:]
    assert [row[80:].strip() for row in rows] == [f"{text:<17} guest/h:0.0.1" for text in words.values()]


def test_times_are_shown_in_the_local_time_zone() -> None:
    run = wsk("activation", "list", server=listing(record()), env={"TZ": "Europe/Berlin"})
    assert run.stdout.splitlines()[1].startswith("2023-11-14 23:13:20 ")


@pytest.mark.parametrize(
    ("fields", "entity"),
    [
        ({"name": "abcdefghijklmnopqrstuvwxyz0123456789ABCD"}, "guest/abcdefghijklmno...23456789ABCD:0.0.1"),
        ({"namespace": "abcdefghijklmnopqrstuvwxyz"}, "abcdefghij...tuvwxyz/h:0.0.1"),
        ({"name": "n" * 30}, f"guest/{'n' * 30}:0.0.1"),
    ],
)
def test_a_long_name_is_shortened_in_the_middle(fields: dict[str, str], entity: str) -> None:
    run = wsk("activation", "list", server=listing(record(**fields)))
    assert run.stdout.splitlines()[1].endswith(f" success {entity}")


def test_a_full_list_shows_every_record() -> None:
    run = wsk("activation", "list", "--full", server=listing(record(), record(name="other")))
    head, _, rest = run.stdout.partition("\n")
    assert (run.exit, head) == (0, "activations")
    assert [json.loads(f"{{{part}")["name"] for part in ("\n" + rest).split("\n{")[1:]] == ["h", "other"]


@pytest.mark.parametrize(
    ("status", "code"),
    [("success", 0), ("application error", 1), ("action developer error", 2), ("whisk internal error", 3)],
)
def test_an_activation_is_shown_with_the_code_of_its_status(status: str, code: int) -> None:
    answer = record(response={"status": status, "success": code == 0, "result": {"a": 1}})
    run = wsk("activation", "get", "i", server={("GET", "activations/i"): (200, answer)})
    head, _, rest = run.stdout.partition("\n")
    assert (run.exit, head, run.lines) == (0, "ok: got activation i", ["GET activations/i"])
    assert json.loads(rest)["statusCode"] == code


def test_one_field_of_an_activation_is_shown() -> None:
    run = wsk("activation", "get", "i", "Logs", server={("GET", "activations/i"): (200, record(logs=["l"]))})
    assert run.stdout == 'ok: got activation i, displaying field Logs\n[\n    "l"\n]\n'


@pytest.mark.parametrize("field", ["result", "status"])
def test_a_part_of_the_response_is_no_field(field: str) -> None:
    run = wsk("activation", "get", "i", field, server={("GET", "activations/i"): (200, record())})
    assert (run.exit, run.stderr) == (1, f"error: Invalid field filter '{field}'.\n")


@pytest.mark.parametrize("flags", [["-s"], ["-s", "-g"]])
def test_a_summary_tells_the_result_and_when_it_was_there(flags: list[str]) -> None:
    answer = record(duration=1000, response={"status": "success", "success": True, "result": {"a": 1}}, logs=LOGS)
    run = wsk("activation", "get", "i", *flags, server={("GET", "activations/i"): (200, answer)})
    head = "activation result for '/guest/h' (success at 2023-11-14 22:13:21 +0000 UTC)\n"
    assert (run.exit, run.stdout) == (0, head + '{\n    "a": 1\n}\n')


def test_the_logs_of_an_activation_are_shown_without_their_stamps() -> None:
    run = wsk("activation", "get", "i", "--logs", server={("GET", "activations/i"): (200, record(logs=LOGS))})
    assert (run.exit, run.stdout) == (0, STRIPPED)


@pytest.mark.parametrize(
    ("flags", "stdout"), [([], "\n".join(LOGS) + "\n"), (["-r"], STRIPPED), (["--strip"], STRIPPED)]
)
def test_logs_are_shown_line_by_line(flags: list[str], stdout: str) -> None:
    run = wsk("activation", "logs", "i", *flags, server={("GET", "activations/i/logs"): (200, {"logs": LOGS})})
    assert (run.exit, run.lines, run.stdout) == (0, ["GET activations/i/logs"], stdout)


def test_a_result_is_shown_alone_even_when_it_is_a_failure() -> None:
    answer = {"status": "application error", "success": False, "result": {"error": "boom"}}
    run = wsk("activation", "result", "i", server={("GET", "activations/i/result"): (200, answer)})
    assert (run.exit, run.lines) == (0, ["GET activations/i/result"])
    assert run.stdout == '{\n    "error": "boom"\n}\n'


@pytest.mark.parametrize(("command", "suffix"), [("get", ""), ("logs", "/logs"), ("result", "/result")])
def test_the_last_activation_is_looked_up_first(command: str, suffix: str) -> None:
    run = wsk("activation", command, "--last", server=listing(record()))
    assert run.lines == ["GET activations?limit=1&skip=0", f"GET activations/{ACTIVATION_ID}{suffix}"]
    assert run.exit == 0


def test_a_field_of_the_last_activation_is_shown() -> None:
    server: Any = listing(record()) | {("GET", f"activations/{ACTIVATION_ID}"): (200, record())}
    run = wsk("activation", "get", "-l", "name", server=server)
    assert run.stdout == f'ok: got activation {ACTIVATION_ID}, displaying field name\n"h"\n'


@pytest.mark.parametrize(
    ("command", "what"),
    [("get", "get activation"), ("logs", "get logs for activation"), ("result", "get result for activation")],
)
def test_there_is_no_last_activation_where_nothing_ran(command: str, what: str) -> None:
    run = wsk("activation", command, "--last")
    assert (run.exit, run.lines) == (1, ["GET activations?limit=1&skip=0"])
    assert run.stderr == f"error: Unable to {what}: Activation list does not contain any activations.\n{HINT}"


def test_an_activation_is_cancelled_by_its_id() -> None:
    cancelled = record(response={"success": False, "status": "application error", "result": {}})
    run = wsk(
        "activation", "cancel", ACTIVATION_ID, server={("DELETE", f"activations/{ACTIVATION_ID}"): (200, cancelled)}
    )
    assert run.lines == [f"DELETE activations/{ACTIVATION_ID}"]
    assert (run.exit, run.stdout) == (0, f"ok: cancelled activation {ACTIVATION_ID}\n")


def test_what_cannot_be_cancelled_is_told() -> None:
    refusal = {"error": "The activation has finished already.", "code": "tx"}
    run = wsk(
        "activation", "cancel", ACTIVATION_ID, server={("DELETE", f"activations/{ACTIVATION_ID}"): (409, refusal)}
    )
    prefix = f"error: Unable to cancel activation '{ACTIVATION_ID}': "
    assert run.exit == 409 % 256
    assert run.stderr.startswith(f"{prefix}The activation has finished already. (code tx)")
    assert wsk("activation", "cancel").exit == 1
