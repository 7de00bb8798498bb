"""A whole platform on PostgreSQL: as on SQLite, and what only a server can do to it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.running import BIN, Platform, await_value, environment_of, running
from tests.servers.postgres import PostgresServer

ECHO = "def main(args):\n    return args\n"
INVOKE = "/namespaces/_/actions/echo?blocking=false"


def sabayon(home: Path, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**environment_of(home), **settings}
    return subprocess.run([BIN / "sabayon", *args], env=environment, capture_output=True, text=True, timeout=60)


def log_of(platform: Platform) -> str:
    return (platform.home / "platform.log").read_text()


def test_what_was_accepted_before_a_kill_is_run_after_it(postgres_url: str, tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_STORE": postgres_url}) as platform:
        platform.create_action("echo", ECHO)
        returned = platform.invoke("echo", {"n": 0}).json["activationId"]
        accepted = [platform.request("POST", INVOKE, {"n": n}).json["activationId"] for n in range(50)]
        platform.kill()
    with running(tmp_path, environment={"SABAYON_STORE": postgres_url}) as platform:
        for id in (returned, *accepted):
            assert platform.record(id)["response"]["success"]
        listed = platform.request("GET", "/namespaces/_/activations?name=echo&count=true").json
        assert listed == {"activations": 51}


def test_the_operators_commands_work_on_the_database_of_a_running_platform(postgres_url: str, tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_STORE": postgres_url}) as platform:
        created = sabayon(tmp_path, "namespace", "create", "team", "--store", postgres_url)
        key = created.stdout.strip()
        assert created.returncode == 0, created.stderr
        await_value(lambda: platform.request("GET", "/namespaces", auth=key).status == 200, within=1)
        limited = sabayon(
            tmp_path, "namespace", "limits", "set", "team", "--fires-per-minute", "7", SABAYON_STORE=postgres_url
        )
        assert limited.returncode == 0, limited.stderr
        shown = sabayon(tmp_path, "namespace", "limits", "get", "team", SABAYON_STORE=postgres_url)
        assert "fires-per-minute\t7\t(override)" in shown.stdout
        assert sabayon(tmp_path, "namespace", "block", "team", SABAYON_STORE=postgres_url).returncode == 0
        await_value(lambda: platform.request("GET", "/namespaces", auth=key).status == 401, within=1)


def test_a_server_that_restarts_is_a_time_of_503_and_no_more(own_postgres: PostgresServer, tmp_path: Path) -> None:
    url = own_postgres.create_database()
    with running(tmp_path, environment={"SABAYON_STORE": url}) as platform:
        platform.create_action("echo", ECHO)
        before = platform.request("POST", INVOKE, {"n": 1}).json["activationId"]
        own_postgres.stop()
        assert platform.request("POST", INVOKE, {"n": 2}).status == 503
        own_postgres.start()
        after = await_value(lambda: platform.request("POST", INVOKE, {"n": 3}).json.get("activationId"))
        assert platform.record(before)["activationId"] == before
        assert platform.record(after)["response"]["success"]
        assert "the database is not there" in log_of(platform)
        await_value(lambda: "the database is there again" in log_of(platform))
        assert own_postgres.password not in log_of(platform)


def test_the_doctor_says_whether_the_database_can_be_used(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.create_database()
    for store, status, said in (
        (url, "ok", f"PostgreSQL {postgres.sql('SHOW server_version', 'postgres')} at 127.0.0.1:"),
        (url + "x", "refused", "does not exist"),
        ("postgresql://u:secret@127.0.0.1:1/d", "refused", "127.0.0.1:1/d cannot be reached"),
    ):
        report = json.loads(sabayon(tmp_path, "doctor", "--json", "--port", "0", "--store", store).stdout)
        [found] = [finding for finding in report["findings"] if finding["check"] == "store"]
        assert found["status"] == status
        assert said in found["found"]
        assert "secret" not in str(report)
    assert postgres.sql("SELECT to_regnamespace('sabayon') IS NULL", urlsplit(url).path[1:]) == "t"


def test_two_platforms_do_not_get_one_database(postgres_url: str, tmp_path: Path) -> None:
    with running(tmp_path, environment={"SABAYON_STORE": postgres_url}):
        second = sabayon(
            tmp_path, "up", "--port", "0", "--data-dir", str(tmp_path / "second"), SABAYON_STORE=postgres_url
        )
        assert second.returncode == 1
        [line] = second.stderr.splitlines()
        assert line.endswith("is in use by another platform; stop that, or name another database")
        assert str(urlsplit(postgres_url).password) not in line
