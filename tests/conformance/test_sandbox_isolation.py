"""What an action cannot see, reach or do."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sandbox_stage import Stage, run_body

SEES = """
import os
def main(args):
    def sees(path):
        try:
            if os.path.isdir(path): return sorted(os.listdir(path))
            with open(path, "rb") as file: return len(file.read(100))
        except OSError:
            return None
    return {path: sees(path) for path in args["paths"]}
"""


def test_files_of_the_host_cannot_be_seen(stage: Stage, tmp_path: Path) -> None:
    secret = tmp_path / "sabayon.db"
    secret.write_text("secret")
    hidden = [str(secret), str(tmp_path), "/home", "/var", "/etc/shadow", "/srv", "/opt", "/mnt", "/boot", "/run"]
    hidden += ["/proc/kcore", "/proc/sysrq-trigger", "/sys/fs/cgroup", "/sys/kernel", "/.old", "/dev/mem", "/dev/kmsg"]
    hidden += [path for path in os.environ.get("PATH", "").split(":") if path and not path.startswith(("/usr", "/bin"))]
    hidden += [str(Path.cwd()), str(Path.home() / ".ssh"), str(Path.home() / ".wskprops")]
    found = stage.run(stage.result(SEES, {"paths": [path for path in hidden if not _needed(path)]}))
    assert {path: seen for path, seen in found.items() if seen} == {}


def _needed(path: str) -> bool:
    """Whether the interpreter lives there or below, so that it has to be visible."""
    return sys.base_prefix.startswith(path) or path.startswith((sys.base_prefix, "/sbin"))


def test_the_root_folder_and_etc_hold_only_what_an_interpreter_needs(stage: Stage) -> None:
    found = stage.run(stage.result(SEES, {"paths": ["/", "/etc", "/tmp", "/dev/shm", "/dev/fd"]}))
    interpreter = Path(sys.base_prefix).parts[1]
    system = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr", "action", "root"}
    assert set(found["/"]) <= system | {interpreter}
    assert not {"shadow", "gshadow", "sudoers", "machine-id", "ssh"} & set(found["/etc"])
    assert found["/tmp"] == found["/dev/shm"] == []
    assert found["/dev/fd"] in (["0", "1", "2", "3"], ["0", "1", "2", "3", "4"])  # the last is the listing itself


def test_the_environment_tells_nothing_of_the_platform(stage: Stage) -> None:
    code = "import os\ndef main(args): return dict(os.environ)"
    found = stage.run(stage.result(code))
    assert set(found) <= {"PATH", "HOME", "LANG", "LC_CTYPE", "__OW_API_HOST"}


def test_only_its_own_processes_can_be_seen(stage: Stage) -> None:
    code = """
import os
def main(args):
    return {"pids": [p for p in os.listdir("/proc") if p.isdigit()], "pid": os.getpid(), "parent": os.getppid()}
"""
    assert stage.run(stage.result(code)) == {"pids": ["1"], "pid": 1, "parent": 0}


def test_only_its_own_memory_is_mounted_to_be_written_to(stage: Stage) -> None:
    code = """
def main(args):
    with open("/proc/self/mounts") as file: lines = [line.split() for line in file]
    return {"mounts": [[point, options.split(",")] for _, point, _, options, *_ in lines]}
"""
    mounts = stage.run(stage.result(code))["mounts"]
    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    masks = {point for point, _ in mounts if point.startswith("/proc/")}
    writable = {point for point, options in mounts if "rw" in options} - devices - masks
    assert writable == {"/proc", "/tmp", "/action/code", "/dev/shm"}
    assert {point for point, options in mounts if "nosuid" not in options} - masks == set()


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/usr/bin/x",
        "/bin/sh",
        "/etc/passwd",
        "/root/x",
        "/dev/x",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/overcommit_memory",
    ],
)
def test_no_other_file_can_be_written(stage: Stage, path: str) -> None:
    code = """
def main(args):
    try:
        open(args["path"], "ab").close()
    except OSError as error:
        return {"errno": error.errno}
"""
    found = stage.run(stage.result(code, {"path": path}))
    assert found["errno"] in (errno.EROFS, errno.EACCES)


@pytest.mark.usefixtures("as_root")
def test_the_user_is_not_root_and_has_no_privileges(stage: Stage) -> None:
    code = """
import os
def main(args):
    with open("/proc/self/status") as file:
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {"ids": [*os.getresuid(), *os.getresgid()], "groups": os.getgroups(), "status": status}
"""
    first, second = stage.run(stage.result(code)), stage.run(stage.result(code))
    assert min(first["ids"]) == max(first["ids"]) >= 100_000
    assert first["ids"] != second["ids"]
    assert first["groups"] == []
    status = first["status"]
    assert {int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.usefixtures("as_root")
def test_a_nodejs_sandbox_is_no_less_confined(stage: Stage, nodejs: str) -> None:
    code = """
const fs = require('fs');
const status = fs.readFileSync('/proc/self/status', 'utf8');
const field = (name) => new RegExp(`^${name}:\\\\t(.*)$`, 'm').exec(status)[1];
function main() {
  return {
    caps: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(field),
    secured: [field('NoNewPrivs'), field('Seccomp')],
    uid: process.getuid(),
    pids: fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)),
    environment: Object.keys(process.env),
    seen: ['/boot', '/var', '/etc/shadow'].filter((path) => fs.existsSync(path)),
  };
}
"""
    found = stage.run(stage.result(code, kind=nodejs))
    assert {int(value, 16) for value in found["caps"]} == {0}
    assert (found["secured"], found["pids"], found["seen"]) == (["1", "2"], ["1"], [])
    assert found["uid"] >= 100_000
    assert set(found["environment"]) <= {"PATH", "HOME", "LANG", "__OW_API_HOST"}


SYSTEM_CALLS = {
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "umount": "libc.umount2(b'/tmp', 2)",
    "unshare user": "libc.unshare(0x10000000)",
    "unshare network": "libc.unshare(0x40000000)",
    "setns": "libc.setns(os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "clone into a user namespace": "libc.syscall(NUMBERS['clone'], 0x10000000 | 17, 0, 0, 0, 0)",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "process_vm_readv": "libc.process_vm_readv(1, None, 0, None, 0, 0)",
    "bpf": "libc.syscall(NUMBERS['bpf'], 0, 0, 0)",
    "keyctl": "libc.syscall(NUMBERS['keyctl'], 0, -3, 0)",
    "add_key": "libc.syscall(NUMBERS['add_key'], b'user', b'a', b'b', 1, -3)",
    "io_uring_setup": "libc.syscall(425, 1, 0)",
    "perf_event_open": "libc.syscall(NUMBERS['perf_event_open'], 0, 0, -1, -1, 0)",
    "userfaultfd": "libc.syscall(NUMBERS['userfaultfd'], 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "sethostname": "libc.sethostname(b'x', 1)",
    "reboot": "libc.reboot(0)",
    "init_module": "libc.syscall(NUMBERS['init_module'], 0, 0, 0)",
    "mknod": "libc.mknod(b'/tmp/x', 0o60600, 0x800)",
    "open_by_handle_at": "libc.open_by_handle_at(0, None, 0)",
    "personality": "libc.personality(0x0040000)",
    "socket to the hypervisor": "libc.socket(40, 1, 0)",
    "socket to the kernel's cryptography": "libc.socket(38, 5, 0)",
    "socket of packets": "libc.socket(17, 3, 0)",
}
NUMBERS = {
    "x86_64": {
        "clone": 56, "bpf": 321, "keyctl": 250, "add_key": 248, "perf_event_open": 298, "userfaultfd": 323,
        "init_module": 175,
    },
    "aarch64": {
        "clone": 220, "bpf": 280, "keyctl": 219, "add_key": 217, "perf_event_open": 241, "userfaultfd": 282,
        "init_module": 105,
    },
}  # fmt: skip


@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_dangerous_system_calls_are_refused(stage: Stage, call: str) -> None:
    code = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {NUMBERS[os.uname().machine]}
def main(args):
    result = {SYSTEM_CALLS[call]}
    return {{"result": result, "errno": ctypes.get_errno()}}
"""
    found = stage.run(stage.result(code))
    assert found["result"] == -1
    assert found["errno"] in (errno.EPERM, *([errno.EACCES] if call == "mknod" else []))  # Landlock is asked earlier


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK])
def test_sockets_that_stay_in_the_sandbox_can_be_made(stage: Stage, family: int) -> None:
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_STREAM
    code = f"import socket\ndef main(args): return {{'family': socket.socket({int(family)}, {int(kind)}).family}}"
    assert stage.run(stage.result(code)) == {"family": family}


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("call", ["setuid(0)", "setgid(0)", "setresuid(0, 0, 0)", "setgroups([0])"])
def test_it_cannot_become_another_user(stage: Stage, call: str) -> None:
    code = f"""
import os
def main(args):
    try: os.{call}
    except PermissionError: return {{"refused": True}}
"""
    assert stage.run(stage.result(code)) == {"refused": True}


def test_a_system_call_of_another_architecture_ends_the_process(stage: Stage) -> None:
    """The filter knows one table of numbers only."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second table of system calls that a number can select")
    code = """
import ctypes, os
def main(args):
    child = os.fork()
    if not child:
        ctypes.CDLL(None).syscall(0x40000000 | 39)
        os._exit(0)
    return {"signal": os.WTERMSIG(os.waitpid(child, 0)[1])}
"""
    assert stage.run(stage.result(code)) == {"signal": 31}


def test_the_network_is_the_loopback_with_the_platforms_api_on_it_and_nothing_else(stage: Stage) -> None:
    code = """
import os, socket, urllib.request
def main(args):
    reached = []
    for host, port in args["others"]:
        try:
            socket.create_connection((host, port), 0.2).close()
            reached.append([host, port])
        except OSError:
            pass
    return {
        "body": urllib.request.urlopen(os.environ["__OW_API_HOST"]).read().decode(),
        "reached": reached,
        "interfaces": [name for _, name in socket.if_nameindex()],
    }
"""

    async def answer(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await loop.sock_recv(connection, 4096)
            await loop.sock_sendall(connection, b"HTTP/1.0 200 OK\r\n\r\nplatform")

    async def scenario() -> dict[str, Any]:
        with socket.create_server(("0.0.0.0", 0)) as foreign:
            port = foreign.getsockname()[1]
            own = socket.gethostbyname(socket.gethostname())
            others = [("127.0.0.1", port), (own, port), ("192.0.2.1", 80), ("198.51.100.1", 53)]
            async with stage.action(code) as sandbox:
                answering = asyncio.ensure_future(answer(stage.listeners[-1]))
                reply = await sandbox.run(run_body({"others": others}), 10)
                await answering
                found: dict[str, Any] = json.loads(reply.body)
                return found

    found = stage.run(scenario())
    assert (found["body"], found["reached"]) == ("platform", [])
    assert "lo" in found["interfaces"]
    assert not {name for name in found["interfaces"] if name.startswith(("eth", "en", "wl", "veth", "docker", "br"))}


def test_sandboxes_of_different_actions_share_neither_files_nor_processes_nor_sockets(stage: Stage) -> None:
    leave = """
import os, socket, subprocess
subprocess.Popen(["/bin/sleep", "1000"])
held = socket.socket(socket.AF_UNIX)
held.bind("\\0meeting")
server = socket.create_server(("127.0.0.1", 4000))
def main(args):
    for path in ("/tmp/x", "/action/code/x", "/dev/shm/x"): open(path, "w").close()
    return {}
"""
    look = """
import os, socket
def main(args):
    def connects(family, address):
        with socket.socket(family) as client: return client.connect_ex(address) == 0
    def kills(pid):
        try:
            os.kill(pid, 0)
            return True
        except ProcessLookupError:
            return False
    return {
        "files": [path for path in ("/tmp/x", "/action/code/x", "/dev/shm/x") if os.path.exists(path)],
        "processes": [pid for pid in range(2, 300_000) if kills(pid)],
        "sockets": [connects(socket.AF_UNIX, "\\0meeting"), connects(socket.AF_INET, ("127.0.0.1", 4000))],
    }
"""

    async def scenario() -> None:
        async with stage.action(leave) as one:
            await one.run(run_body(), 5)
            found = await stage.result(look)
            assert found == {"files": [], "processes": [], "sockets": [False, False]}

    stage.run(scenario())
