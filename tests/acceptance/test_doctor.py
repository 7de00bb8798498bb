"""`sabayon doctor` here, and in processes that lack one feature after the other: it names that one, and it is right."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.lacking import cgroup_mounts
from tests.acceptance.running import Platform, environment_of
from tests.conformance.sandbox_stage import zipped

ROOT = Path(__file__).parents[2]
USER = 62_000 + os.getpid() % 1000
UNSTEADY = {"clock", "fsync", "memory"}
"""What may change from one second to the next, without a test's doing."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take features away")


def command(*steps: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "tests.acceptance.lacking", *steps, "--", "-m", "sabayon"]


def environment(home: Path) -> dict[str, str]:
    folders = [str(ROOT), str(ROOT / "src"), sysconfig.get_path("purelib")]
    return {**environment_of(home), "PYTHONPATH": ":".join(folders), "SABAYON_POOL_MEMORY_MB": "512"}


def doctor(
    home: Path, *steps: str, flags: tuple[str, ...] = (), python: str = sys.executable, **variables: str
) -> tuple[int, dict[str, Any]]:
    """Its exit code, and its findings by what they are about."""
    done = subprocess.run(
        [*command(*steps, python=python), "doctor", "--json", "--port", "0", "--data-dir", str(home / "data"), *flags],
        env={**environment(home), **variables}, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["exit_code"] == done.returncode
    return done.returncode, {finding["check"]: finding for finding in document["findings"]}


@contextlib.contextmanager
def started(home: Path, *steps: str, python: str = sys.executable) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`sabayon up`, and what it says first."""
    process = subprocess.Popen(
        [*command(*steps, python=python), "up", "--port", "0", "--data-dir", str(home / "data")],
        env=environment(home), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stderr is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.terminate()


def up(home: Path, *steps: str, python: str = sys.executable) -> str:
    """The line with which the platform says that it is ready, or why it does not start."""
    with started(home, *steps, python=python) as (process, ready):
        assert process.stderr is not None
        return ready or process.stderr.read()


def lacking(findings: dict[str, Any]) -> dict[str, str]:
    return {check: f["status"] for check, f in findings.items() if f["status"] != "ok" and check not in UNSTEADY}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str]]:
    """What is said of this machine as it is."""
    code, findings = doctor(tmp_path_factory.mktemp("plain"))
    return code, lacking(findings)


def added(findings: dict[str, Any], plain: tuple[int, dict[str, str]]) -> dict[str, str]:
    """What a test took away, and nothing that this machine lacks anyway."""
    return {check: status for check, status in lacking(findings).items() if plain[1].get(check) != status}


@pytest.fixture
def python() -> str:
    """A Python that every user may run, and that finds the platform."""
    for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [path, "-c", "import sabayon.standalone"], user=USER, group=USER, extra_groups=[],
                env=environment(Path("/")), cwd="/", capture_output=True,
            )  # fmt: skip
            if done.returncode == 0:
                return path
    pytest.skip("an ordinary user can run no Python here that finds the platform")


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home of the ordinary user's."""
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, USER, USER)
        yield Path(directory)


def test_it_says_of_this_machine_what_the_platform_says_of_itself(platform: Platform, tmp_path: Path) -> None:
    code, findings = doctor(tmp_path)
    assert code == (1 if "without" in platform.ready_line else 0)
    kinds = platform.ready_line.partition("runtimes: ")[2].partition(" · ")[0].split(", ")
    assert [kind for kind in findings if kind.startswith(("python:", "nodejs:"))] == sorted(kinds, reverse=True)


def test_the_text_names_every_check_and_ends_with_the_verdict(tmp_path: Path) -> None:
    _, findings = doctor(tmp_path)
    done = subprocess.run(
        [*command(), "doctor", "--port", "0", "--data-dir", str(tmp_path / "data")],
        env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    *_, verdict = done.stdout.strip().splitlines()
    assert [check for check in findings if f" {check} " not in done.stdout] == []
    assert verdict.startswith("The platform can")


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    groups = {path for point, _, _ in cgroup_mounts() for path in Path(point).glob("sabayon-*")}
    doctor(tmp_path)
    left = {path for point, _, _ in cgroup_mounts() for path in Path(point).glob("sabayon-*")} - groups
    assert [path for path in left if not Path(f"/proc/{path.name.split('-')[1]}").exists()] == []
    assert list(tmp_path.iterdir()) == []


@needs_root
@pytest.mark.parametrize("name", ["mount", "pid", "network", "ipc", "uts"])
def test_without_a_namespace_it_says_that_the_platform_does_not_start(
    name: str, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    code, findings = doctor(tmp_path, f"no-namespace:{name}")
    assert (code, added(findings, plain)) == (2, {f"{name} namespace": "refused"})
    assert "Operation not permitted" in findings[f"{name} namespace"]["found"]
    assert "cannot isolate actions" in up(tmp_path, f"no-namespace:{name}")


@needs_root
def test_root_does_without_user_namespaces(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    code, findings = doctor(tmp_path, "no-namespace:user")
    assert (code, added(findings, plain)) == (plain[0], {})
    assert findings["user namespace"]["found"].startswith("missing")
    assert "is ready" in up(tmp_path, "no-namespace:user")


@needs_root
def test_without_cgroup_mounts_it_names_the_limits_that_do_not_hold(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    code, findings = doctor(tmp_path, "no-cgroups")
    controllers = ("memory", "pids", "cpu", "freezer")
    expected = {"cgroups": "weaker", **{f"{name} cgroup": "weaker" for name in controllers}}
    assert (code, added(findings, plain)) == (1, expected)
    ready = up(tmp_path, "no-cgroups")
    assert all(f"the {name} cgroup" in ready for name in controllers)


@needs_root
@pytest.mark.parametrize(
    ("name", "lost"),
    [("memory", "memory limit"), ("pids", "counted by user"), ("cpu", "processor"), ("freezer", "suspended")],
)
def test_without_one_controller_it_names_what_depends_on_it(
    name: str, lost: str, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    if not any(kind == "cgroup" and name in options.split(",") for _, kind, options in cgroup_mounts()):
        pytest.skip(f"the {name} controller is not in a mount of its own")
    code, findings = doctor(tmp_path, f"no-controller:{name}")
    assert (code, added(findings, plain)) == (1, {f"{name} cgroup": "weaker"})
    assert lost in findings[f"{name} cgroup"]["consequence"]
    assert f"without the {name} cgroup" in up(tmp_path, f"no-controller:{name}")


GREEDY = {
    "memory": """
def main(args):
    try:
        return {"got": len(bytes(600 << 20))}
    except MemoryError:
        return {"got": "refused"}
""",
    "pids": """
import os, signal
def main(args):
    children = []
    try:
        while len(children) < 300:
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        return {"got": "refused"}
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    return {"got": len(children)}
""",
}


@needs_root
@pytest.mark.parametrize("name", GREEDY)
def test_without_cgroups_python_is_bounded_all_the_same(name: str, tmp_path: Path) -> None:
    with started(tmp_path, "no-cgroups") as (process, ready):
        platform = Platform(tmp_path, process, ready)
        platform.create_action("greedy", GREEDY[name])
        assert platform.invoke("greedy").json["response"]["result"] == {"got": "refused"}


@needs_root
def test_with_cgroups_that_cannot_be_written_the_platform_does_not_start(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    if not cgroup_mounts():
        pytest.skip("no cgroups are mounted")
    code, findings = doctor(tmp_path, "read-only-cgroups")
    assert (code, added(findings, plain)) == (2, {"cgroups": "refused"})
    assert "Read-only" in findings["cgroups"]["found"]
    assert "cgroups cannot be used" in up(tmp_path, "read-only-cgroups")


@needs_root
@pytest.mark.parametrize(
    ("step", "check"),
    [("no-seccomp", "seccomp"), ("no-namespace:cgroup", "cgroup namespace")],
    ids=["seccomp", "cgroup"],
)
def test_without_a_filter_or_a_view_of_its_own_on_groups_no_action_runs(
    step: str, check: str, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    if check == "cgroup namespace" and not cgroup_mounts():
        pytest.skip("no cgroups are mounted")
    code, findings = doctor(tmp_path, step)
    assert (code, added(findings, plain)) == (2, {check: "refused"})
    with started(tmp_path, step) as (process, ready):
        platform = Platform(tmp_path, process, ready)
        platform.create_action("hello", "def main(args): return {'ran': True}")
        response = platform.invoke("hello").json["response"]
    assert (response["status"], "ran" in response["result"]) == ("whisk internal error", False)


@needs_root
def test_without_process_descriptors_the_platform_does_not_start(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    code, findings = doctor(tmp_path, "no-pidfd")
    assert (code, added(findings, plain)["kernel"]) == (2, "refused")
    assert "cannot isolate actions" in up(tmp_path, "no-pidfd")


@needs_root
def test_without_owners_of_mounts_containers_share_no_code_and_run_it_all_the_same(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    code, findings = doctor(tmp_path, "no-mount-attributes")
    assert (code, added(findings, plain)) == (plain[0], {"shared code": "limited"})
    assert "mount_setattr" in findings["shared code"]["found"]
    archive = zipped({"__main__.py": "def main(args): return {'n': 1}", "data": os.urandom(32768)})
    with started(tmp_path, "no-mount-attributes") as (process, ready):
        platform = Platform(tmp_path, process, ready)
        for name in ("one", "other"):
            platform.create_action(name, base64.b64encode(archive).decode())
            assert platform.invoke(name).json["response"]["result"] == {"n": 1}


@needs_root
def test_without_landlock_there_is_one_wall_less(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    code, findings = doctor(tmp_path, "no-landlock")
    assert (code, added(findings, plain)) == (plain[0], {"landlock": "limited"})
    with started(tmp_path, "no-landlock") as (_, ready):
        assert "Landlock" in ready


@needs_root
def test_an_ordinary_user_gets_less_isolation(python: str, open_home: Path) -> None:
    code, findings = doctor(open_home, f"as-user:{USER}", python=python)
    if findings["user namespace"]["status"] != "ok":
        pytest.skip("this kernel does not let ordinary users make user namespaces")
    found = lacking(findings)
    assert (code, {check for check, status in found.items() if status == "weaker"}) == (1, {"user", "cgroups"})
    assert "without memory and process limits" in up(open_home, f"as-user:{USER}", python=python)


@needs_root
def test_an_ordinary_user_without_user_namespaces_cannot_start_it(python: str, open_home: Path) -> None:
    steps = ("no-namespace:user", f"as-user:{USER}")
    code, findings = doctor(open_home, *steps, python=python)
    refused = {check for check, status in lacking(findings).items() if status == "refused"}
    assert (code, refused) == (2, {"user namespace"})
    assert "user.max_user_namespaces" in findings["user namespace"]["remedy"]
    assert "user.max_user_namespaces" in up(open_home, *steps, python=python)


def test_without_node_javascript_is_missing_and_isolation_is_not(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    code, findings = doctor(tmp_path, PATH=str(empty))
    assert (code, lacking(findings)) == (plain[0], {**plain[1], "nodejs": "limited"})
    assert "JavaScript" in findings["nodejs"]["consequence"]


@needs_root
@pytest.mark.parametrize("tool", ["nft", "ip"])
def test_without_a_tool_of_the_network_it_names_it_and_actions_reach_the_api_alone(
    tool: str, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    if "egress" in plain[1]:
        pytest.skip("on this machine actions reach nothing anyway")
    code, findings = doctor(tmp_path, f"no-tool:{tool}")
    assert (code, added(findings, plain)) == (plain[0], {"egress": "limited"})
    assert f"`{tool}`" in findings["egress"]["found"]
    assert "egress: none" in up(tmp_path, f"no-tool:{tool}")


@needs_root
def test_a_container_that_allows_less_memory_than_the_machine_has_is_told(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    with limited_group(256) as group:
        code, findings = doctor(tmp_path, f"memory-group:{group}")
    assert (code, added(findings, plain), findings["memory"]["status"]) == (plain[0], {}, "limited")
    assert "512 MB for containers; the control group that it runs in allows 256 MB" in findings["memory"]["found"]


@contextlib.contextmanager
def limited_group(memory_mb: int) -> Iterator[Path]:
    """A control group of its own that allows that much."""
    points = [point for point, kind, options in cgroup_mounts() if kind == "cgroup" and "memory" in options.split(",")]
    if not points:
        pytest.skip("the memory controller is not in a mount of its own")
    group = Path(points[0], f"test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
        yield group
    finally:
        group.rmdir()


def test_an_old_kernel_is_named(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    code, findings = doctor(tmp_path, "old-release")
    assert (code, added(findings, plain)) == (plain[0], {})
    assert findings["kernel"]["found"].startswith("Linux 2.6.")


@needs_root
def test_an_old_kernel_does_not_count_the_processes_of_an_ordinary_user_s_sandbox(python: str, open_home: Path) -> None:
    _, findings = doctor(open_home, "old-release", f"as-user:{USER}", python=python)
    assert "before Linux 5.14 no number of processes" in findings["cgroups"]["consequence"]


def test_a_kernel_that_does_not_tell_about_the_clock_is_no_fault(tmp_path: Path) -> None:
    _, findings = doctor(tmp_path, "no-clock-state")
    assert findings["clock"]["status"] == "ok"
    assert "synchronised" not in findings["clock"]["found"]


@needs_root
def test_a_read_only_data_directory_keeps_the_platform_from_starting(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    step = f"read-only:{tmp_path / 'data'}"
    code, findings = doctor(tmp_path, step)
    assert (code, added(findings, plain)) == (2, {"data directory": "refused"})
    assert "Read-only file system" in findings["data directory"]["found"]
    assert "Read-only file system" in up(tmp_path, step)


@needs_root
def test_a_full_disk_keeps_the_platform_from_starting(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    step = f"full:{tmp_path / 'data'}"
    code, findings = doctor(tmp_path, step)
    assert (code, added(findings, plain)) == (2, {"data directory": "refused"})
    assert "No space left" in findings["data directory"]["found"]
    assert "is ready" not in up(tmp_path, step)


@needs_root
def test_a_disk_too_small_for_what_is_made_at_first_keeps_the_platform_from_starting(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    step = f"too-small:{tmp_path / 'data'}"
    code, findings = doctor(tmp_path, step)
    assert (code, added(findings, plain)) == (2, {"disk space": "refused"})
    assert "needs 1024 KB more" in findings["disk space"]["consequence"]
    assert "8 MiB are needed" in up(tmp_path, step)


@needs_root
def test_a_disk_that_became_full_does_not_keep_the_platform_from_starting(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    assert "is ready" in up(tmp_path)
    step = f"nearly-full:{tmp_path / 'data'}"
    code, findings = doctor(tmp_path, step)
    assert (code, added(findings, plain)) == (plain[0], {"disk space": "limited"})
    with started(tmp_path, step) as (process, ready):
        assert "is ready" in ready
        process.terminate()
        assert process.stderr is not None
        assert "WARNING sabayon there is no room on the disk of" in process.stderr.read()


@needs_root
def test_a_small_disk_in_memory_is_told_to_be_small_and_to_forget(
    plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    code, findings = doctor(tmp_path, f"in-memory:{tmp_path / 'data'}")
    assert (code, added(findings, plain)) == (plain[0], {"disk space": "limited"})
    assert findings["disk space"]["found"].startswith("16 MB")
    assert (findings["fsync"]["status"], findings["data directory"]["status"]) == ("limited", "ok")
    assert "machine restarts" in findings["fsync"]["consequence"]


@needs_root
def test_a_directory_of_another_user_cannot_be_used(python: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    code, findings = doctor(tmp_path, f"as-user:{USER}", python=python)
    assert (code, findings["data directory"]["status"]) == (2, "refused")
    assert "Permission denied" in findings["data directory"]["found"]
    assert "cannot use the data directory" in up(tmp_path, f"as-user:{USER}", python=python)


def test_a_directory_that_others_can_read_is_told(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    code, findings = doctor(tmp_path)
    assert (code, added(findings, plain)) == (plain[0], {"data directory": "limited"})
    assert findings["data directory"]["remedy"] == f"chmod 700 {tmp_path / 'data'}"


@pytest.mark.parametrize(("most", "status", "exit_code"), [("100", "refused", 2), ("1000", "limited", None)])
def test_a_low_limit_of_open_files_is_told(
    most: str, status: str, exit_code: int | None, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    code, findings = doctor(tmp_path, f"open-files:{most}")
    assert (code, added(findings, plain)) == (exit_code or plain[0], {"open files": status})


def test_a_port_that_is_taken_is_told(plain: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, findings = doctor(tmp_path, flags=("--port", port))
    assert (code, added(findings, plain)) == (2, {"port": "refused"})
    assert port in findings["port"]["found"]


def test_beside_a_running_platform_its_own_port_is_no_fault(
    platform: Platform, plain: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    port = platform.api_host.rpartition(":")[2]
    code, findings = doctor(tmp_path, flags=("--port", port, "--data-dir", str(platform.data_dir)))
    assert (code, added(findings, plain)) == (plain[0], {"data directory": "limited"})
    assert str(platform.process.pid) in findings["data directory"]["found"]


def test_settings_come_from_where_the_platform_takes_them(tmp_path: Path) -> None:
    code, findings = doctor(tmp_path, SABAYON_DEFAULT_MEMORY_MB="512", SABAYON_POOL_MEMORY_MB="300")
    assert code < 2
    assert findings["memory"]["status"] == "limited"
    assert "300 MB for containers" in findings["memory"]["found"]
