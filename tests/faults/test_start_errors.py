"""A platform that cannot start says why in one line, exits non-zero, and overwrites nothing."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.running import BIN, environment_of, running


def up(home: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [BIN / "sabayon", "up", *flags]
    return subprocess.run(
        command, env={**environment_of(home), **environment}, capture_output=True, text=True, timeout=30
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a start that was refused."""
    assert result.returncode != 0
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused(up(tmp_path, "--port", str(port), "--data-dir", str(tmp_path / "data")))
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in text


def test_a_second_start_with_the_same_settings_names_the_first_process(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        port = platform.api_host.rpartition(":")[2]
        text = refused(up(tmp_path, "--port", port, "--data-dir", str(platform.data_dir)))
    assert f"is in use by another instance (process {platform.process.pid})" in text


def test_a_data_directory_in_use(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        text = refused(up(tmp_path, "--port", "0", "--data-dir", str(platform.data_dir)))
        assert f"is in use by another instance (process {platform.process.pid})" in text
        assert platform.request("GET", "//ping").body == b"pong"


def test_a_damaged_database_is_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "sabayon.db").write_bytes(b"this is no database" * 1000)
    before = (data / "sabayon.db").read_bytes()
    assert "sabayon.db" in refused(up(tmp_path, "--port", "0", "--data-dir", str(data)))
    assert (data / "sabayon.db").read_bytes() == before


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    assert "cannot use the data directory" in refused(up(tmp_path, "--port", "0", "--data-dir", str(tmp_path / "data")))
    assert (tmp_path / "data").read_text() == "mine"


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    text = refused(up(tmp_path, "--port", "0", "--data-dir", "/proc/sabayon"))
    assert "cannot use the data directory /proc/sabayon" in text


def test_a_data_directory_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to("/dev/full")
    text = refused(up(tmp_path, "--port", "0", "--data-dir", str(tmp_path / "data")))
    assert f"cannot use the data directory {tmp_path / 'data'}:" in text


def test_a_file_that_the_platform_writes_itself_and_cannot(tmp_path: Path) -> None:
    (tmp_path / "data" / "wskprops").mkdir(parents=True)
    text = refused(up(tmp_path, "--port", "0", "--data-dir", str(tmp_path / "data")))
    assert f"cannot write {tmp_path / 'data' / 'wskprops'}: Is a directory" in text


def test_a_machine_without_nodejs_serves_python_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path, environment={"PATH": "/nowhere"}) as platform:
        assert "runtimes: python:" in platform.ready_line
        platform.create_action("hello", "def main(args): return {'ok': True}")
        assert platform.invoke("hello").json["response"]["result"] == {"ok": True}
    assert "there is no `node` on the PATH" in (tmp_path / "platform.log").read_text()


@pytest.mark.parametrize(
    ("flags", "environment", "text"),
    [
        ((), {"SABAYON_COLOUR": "red"}, "unknown setting 'colour'"),
        (("--config", "/nowhere.toml"), {}, "cannot read the settings file /nowhere.toml"),
        (("--sandbox", "hope"), {}, "there is no sandbox 'hope'"),
        (("--guest-key", "short"), {}, "a key has the form UUID:KEY"),
        (("--host", "198.51.100.7"), {}, "cannot listen on 198.51.100.7"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, flags: tuple[str, ...], environment: dict[str, str], text: str) -> None:
    result = up(tmp_path, "--port", "0", "--data-dir", str(tmp_path / "data"), *flags, **environment)
    assert text in refused(result)


def test_an_existing_wskprops_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / ".wskprops").write_text("APIHOST=https://elsewhere.example\nAUTH=a:b\n")
    with running(tmp_path) as platform:
        assert f"WSK_CONFIG_FILE={platform.data_dir / 'wskprops'}" in platform.ready_line
    assert (tmp_path / ".wskprops").read_text() == "APIHOST=https://elsewhere.example\nAUTH=a:b\n"


def test_keys_are_random_and_their_file_is_private(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        assert one.auth != other.auth
        for path in (one.data_dir / "wskprops", one.home / ".wskprops"):
            assert os.stat(path).st_mode & 0o777 == 0o600
        assert one.wsk("namespace", "list").returncode == 0


def test_a_guest_key_that_is_given_is_the_one_that_works(tmp_path: Path) -> None:
    key = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64
    with running(tmp_path, "--guest-key", key) as platform:
        assert platform.auth == key
        assert platform.request("GET", "/namespaces").json == ["guest"]
