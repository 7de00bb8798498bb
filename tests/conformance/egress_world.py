"""A host, the internet and what lies between, as network namespaces of one process: nothing leaves this machine.

Run as a program, it takes the host's place, puts the internet beyond its one interface and
runs a driver. Questions come in on stdin, one JSON object a line, answers go out.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sabayon.sandbox.base import Egress
from sabayon.sandbox.native import linux
from sabayon.sandbox.native.driver import NativeDriver
from tests.conformance.sandbox_stage import API_PORT, Stage, run_body

T = TypeVar("T")

HOST = "203.0.113.2"
INTERNET = "198.51.100.7"
USER = 62_000 + os.getpid() % 1000
NAME = "somewhere.example"
PORT = 8080
DENIED = {
    "private, of 10/8": "10.7.7.7",
    "private, of 172.16/12": "172.16.7.7",
    "private, the last of 172.16/12": "172.31.255.254",
    "private, of 192.168/16": "192.168.7.7",
    "shared by a provider's customers": "100.64.7.7",
    "link-local": "169.254.7.7",
    "the metadata service": "169.254.169.254",
    "of protocol assignments": "192.0.0.192",
    "of benchmarks": "198.18.200.200",
    "reserved": "240.7.7.7",
}
NEIGHBOURS = {"before 172.16/12": "172.15.255.254", "after 172.16/12": "172.32.0.1", "after 10/8": "11.0.0.1"}
RESOLVERS = {"public": "198.51.100.53", "private": "10.7.7.53", "on the host's loopback": "127.0.0.1"}

PROBE = """
import errno, socket
def main(args):
    found = {}
    for host, port in args["targets"]:
        with socket.socket() as client:
            client.settimeout(5)
            try:
                client.connect((host, port))
                found[f"{host}:{port}"] = client.recv(100).decode()
            except OSError as error:
                found[f"{host}:{port}"] = errno.errorcode.get(error.errno, str(error))
    return found
"""


class World:
    """The driver's side: what is asked of it in the name of a test."""

    def __init__(self, egress: str, resolver: str, *lacking: str) -> None:
        self.log = io.StringIO()
        linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
        _ip("link set lo up", "link add eth0 type veth peer name far", f"address add {HOST}/24 dev eth0")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"nameserver {RESOLVERS[resolver]}\n")
            file.flush()
            os.chmod(file.name, 0o644)
            linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
            linux.mount(file.name, "/etc/resolv.conf", None, linux.MS_BIND)
        self._internet = ThreadPoolExecutor(1)
        self._beyond(self._make_internet)
        _ip("link set eth0 up", "route add default via 203.0.113.1")
        _serve(socket.create_server(("0.0.0.0", PORT)), "the host")
        _answer_names(_datagrams("127.0.0.1", 53))
        for what in lacking:
            if what == "forwarding":
                rule = "{ type filter hook forward priority 0; policy drop; }"
                _out("nft", f"add table ip filter; add chain ip filter FORWARD {rule}")
            elif what not in ("root", "/dev/net/tun"):
                linux.mount("/dev/null", what, None, linux.MS_BIND)
        logging.basicConfig(stream=self.log)
        if "root" in lacking:
            _become_ordinary("/dev/net/tun" not in lacking)
        self.stage = Stage(egress=Egress(egress), serve_api=_serve_as("the api"))

    def _beyond(self, function: Callable[[], T]) -> T:
        """What it gives in the internet's namespace."""
        return self._internet.submit(function).result()

    def _make_internet(self) -> None:
        linux.unshare(linux.CLONE_NEWNET)
        far = f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"
        with Path("/proc/self/ns/net").open() as host:  # of the first thread: the host's
            subprocess.run(
                ["nsenter", f"--net=/proc/self/fd/{host.fileno()}", "ip", "link", "set", "far", "netns", far],
                check=True, pass_fds=[host.fileno()],
            )  # fmt: skip
        addresses = [INTERNET, *DENIED.values(), *NEIGHBOURS.values(), *RESOLVERS.values()]
        _ip("link set lo up", "link set far up", "address add 203.0.113.1/24 dev far")
        _ip(*(f"address add {address}/32 dev lo" for address in addresses if not address.startswith("127.")))
        _serve(socket.create_server(("0.0.0.0", PORT)), "beyond")
        for name in ("public", "private"):
            _answer_names(_datagrams(RESOLVERS[name], 53))
            _serve(socket.create_server((RESOLVERS[name], 53)), "resolver")

    def close(self) -> None:
        self.stage.close()

    async def about(self) -> Any:
        return {"egress": self.stage.driver.egress, "log": self.log.getvalue()}

    async def run(self, egress: str, code: str, value: Any, language: str = "python") -> Any:
        """What an action answers in a sandbox of that egress."""
        kind = next(kind for kind in self.stage.driver.kinds if kind.startswith(language))
        async with self.stage.action(code, kind=kind, egress=Egress(egress)) as sandbox:
            return json.loads((await sandbox.run(run_body(value), 60)).body)

    async def sibling(self, egress: str) -> Any:
        """What one sandbox gets from a server in another: by itself, and from the other one."""
        code = """
import socket, threading
server = socket.create_server(("0.0.0.0", 8080))
def serve():
    while True:
        with server.accept()[0] as client: client.sendall(b"the sandbox")
threading.Thread(target=serve, daemon=True).start()
def main(args):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
        any.connect((args["beyond"], 9))
        own = any.getsockname()[0]
    with socket.create_connection((own, 8080)) as client: return {"address": own, "itself": client.recv(100).decode()}
"""
        async with self.stage.action(code, egress=Egress(egress)) as sandbox:
            own = json.loads((await sandbox.run(run_body({"beyond": INTERNET}), 20)).body)
            other = await self.run(egress, PROBE, {"targets": [[own["address"], PORT]]})
            host = await asyncio.to_thread(_probe, own["address"])
            return {**own, "other": other[f"{own['address']}:{PORT}"], "host": host}

    async def ends(self) -> Any:
        """What is left of the driver's network after it has been closed, and what there was."""
        before = footprint()
        await self.stage.driver.aclose()
        return {"before": before, "after": footprint()}

    async def flushed(self) -> Any:
        """What an action reaches right after the host has lost all its rules, and once they are there again."""
        _out("nft", "flush", "ruleset")
        at_once = await self.run("internet", PROBE, {"targets": [[HOST, PORT], ["10.7.7.7", PORT]]})
        while not footprint()["tables"]:  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.05)
        later = await self.run("internet", PROBE, {"targets": [[HOST, PORT], [INTERNET, PORT]]})
        return {"at once": list(at_once.values()), "later": list(later.values())}

    async def moved(self, within_s: float) -> Any:
        """The last that an action reached at an address of the host's, tried for that long after it was given it."""
        with _as_root():
            _ip("address add 203.0.113.77/32 dev eth0")
        end = time.monotonic() + within_s
        while True:
            (found,) = (await self.run("internet", PROBE, {"targets": [["203.0.113.77", PORT]]})).values()
            if found == "EHOSTUNREACH" or time.monotonic() > end:
                return found

    async def translator_dies(self, *programs: str) -> Any:
        """What one sandbox reaches before its platform's translator is killed, and once there is another."""
        (first,) = _running(*programs)
        async with self.stage.action(PROBE, egress=Egress.INTERNET) as sandbox:
            targets = run_body({"targets": [[INTERNET, PORT]]})
            before = json.loads((await sandbox.run(targets, 20)).body)
            os.kill(first, 9)
            while _running(*programs) in ([], [first]):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.05)
            while "whole again" not in self.log.getvalue():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            after = json.loads((await sandbox.run(targets, 20)).body)
        return {"before": before, "after": after, "log": self.log.getvalue()}

    async def router_dies(self) -> Any:
        """What two sandboxes tell, one from before the platform's router process was killed, one from after it."""
        code = """
import socket
def main(args):
    with socket.create_connection((args["host"], args["port"]), 5) as client:
        return {"own": client.getsockname()[0], "heard": client.recv(100).decode()}
"""
        where = run_body({"host": INTERNET, "port": PORT})
        async with self.stage.action(code, egress=Egress.INTERNET) as first:
            for pid in _running("user_router"):
                os.kill(pid, 9)
            answers = []
            for _ in range(20):  # more than are kept ready
                async with self.stage.action(code, egress=Egress.INTERNET) as other:
                    answers.append(json.loads((await other.run(where, 20)).body))
            return [json.loads((await first.run(where, 20)).body), *answers]

    async def leaves(self, *programs: str) -> Any:
        """Which of the programs run for a driver, and which still do after it has been killed."""
        code = "import sys; from tests.conformance.egress_world import hold; hold()"
        await self.stage.driver.aclose()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        held = len(_running(*programs))
        process.kill()
        await process.wait()
        while _running(*programs):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.05)
        return held

    async def overlaps(self) -> Any:
        """What is there of two drivers, then of the second alone, then of none; and what an action reached."""
        second = _another()
        await second.start()
        both = footprint()
        reached = await self.run("internet", PROBE, {"targets": [[INTERNET, PORT]]})
        await self.stage.driver.aclose()
        one = footprint()
        await second.aclose()
        return {"both": both, "one": one, "none": footprint(), "reached": list(reached.values())}

    async def dies(self) -> Any:
        """What is left after a driver has been killed, and after another one has started and stopped."""
        await self.stage.driver.aclose()
        untouched = footprint()
        code = "import sys; from tests.conformance.egress_world import hold; hold()"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        held = footprint()
        process.kill()
        await process.wait()
        while any(name.startswith("sby") for name in footprint()["links"]):  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.01)
        killed = footprint()
        driver = _another()
        await driver.start()
        during = footprint()
        await driver.aclose()
        return {"untouched": untouched, "held": held, "killed": killed, "during": during, "after": footprint()}


def _become_ordinary(is_tun_open: bool) -> None:
    """Act as a user without rights from now on, with the devices and permissions that Debian gives users."""
    Path("/dev/net").mkdir(exist_ok=True)
    linux.mount("tmpfs", "/dev/net", "tmpfs", linux.MS_NOSUID, "mode=0755")
    os.mknod("/dev/net/tun", stat.S_IFCHR | 0o600, os.makedev(10, 200))
    os.chmod("/dev/net/tun", 0o666 if is_tun_open else 0o600)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, 0)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


@contextmanager
def _as_root() -> Iterator[None]:
    """What changes the host, of which the platform is to know nothing."""
    before = os.geteuid()
    os.seteuid(0)
    yield
    os.seteuid(before)


def _running(*programs: str) -> list[int]:
    """The processes of this user that run one of the programs, or a Python that runs a module of that name."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line, owner = (entry / "cmdline").read_text(), entry.stat().st_uid
            except OSError:
                continue
            is_one = line.split("\0")[0] in programs or any(f"native.{name} import" in line for name in programs)
            if is_one and owner == os.geteuid():
                found.append(int(entry.name))
    return found


def _another() -> NativeDriver:
    return NativeDriver(
        api_port=API_PORT, serve_api=_serve_as("another api"), result_limit_bytes=0, egress=Egress.INTERNET
    )


def footprint() -> dict[str, list[str]]:
    """The platform's traces in the network of this host."""
    links = [entry["ifname"] for entry in json.loads(_out("ip", "-json", "link"))]
    tables = [entry["table"]["name"] for entry in json.loads(_out("nft", "-j", "list", "tables"))["nftables"][1:]]
    forwarding = [name for name in links if _conf(name, "forwarding") == "1"]
    return {"links": sorted(links), "tables": sorted(tables), "forwarding": sorted(forwarding)}


def hold() -> None:
    """A driver that runs until it is killed."""
    stage = Stage(egress=Egress.INTERNET)
    stage.run(_hold(stage))


async def _hold(stage: Stage) -> None:
    async with stage.action("def main(args): return {}", egress=Egress.INTERNET):
        print("ready", flush=True)
        await asyncio.Event().wait()


def _conf(link: str, name: str) -> str:
    try:
        return Path(f"/proc/sys/net/ipv4/conf/{link}/{name}").read_text().strip()
    except FileNotFoundError:
        return ""  # it has gone in between


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _out(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _probe(address: str) -> str:
    try:
        with socket.create_connection((address, PORT), 2) as client:
            return client.recv(100).decode()
    except OSError as error:
        return str(error)


def _serve_as(name: str) -> Callable[[socket.socket], Callable[[], None]]:
    def serve(listener: socket.socket) -> Callable[[], None]:
        _serve(listener, name)
        return lambda: listener.shutdown(socket.SHUT_RDWR)

    return serve


def _serve(listener: socket.socket, name: str) -> None:
    """Tell who connects what this is, and from which address it was asked."""

    def run() -> None:
        with listener:
            while True:
                try:
                    client, address = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(f"{name}, asked by {address[0]}".encode())

    listener.setblocking(True)
    threading.Thread(target=run, daemon=True).start()


def _datagrams(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, port))
    return listener


def _answer_names(listener: socket.socket) -> None:
    """A name server that knows one address, which all names have."""

    def run() -> None:
        while True:
            query, asker = listener.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            is_ipv4 = query[end - 4 : end - 2] == b"\0\x01"
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, is_ipv4, 0, 0)
            record = struct.pack(">HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton(INTERNET)) if is_ipv4 else b""
            listener.sendto(head + query[12:end] + record, asker)

    threading.Thread(target=run, daemon=True).start()


class Remote:
    """A world in a process of its own, asked by name."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, what: str, *args: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([what, *args]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def probe(self, egress: str, *targets: tuple[str, int]) -> dict[str, str]:
        """What each target (host, port) answers a sandbox of that egress, or the name of the error."""
        answer: dict[str, str] = self.ask("run", egress, PROBE, {"targets": targets})
        return answer


@contextmanager
def world(
    egress: str, resolver: str = "public", *lacking: str, python: str = sys.executable, python_path: str = ""
) -> Iterator[Remote]:
    """A world whose platform allows at most that egress, and which lacks forwarding, root or the files named."""
    command = [python, "-m", "tests.conformance.egress_world", egress, resolver, *lacking]
    environment = {**os.environ, "PYTHONPATH": python_path} if python_path else None
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield Remote(process)
        process.communicate()
    assert process.returncode == 0


def main() -> None:
    world = World(*sys.argv[1:])
    for line in sys.stdin:
        what, *args = json.loads(line)
        print(json.dumps(world.stage.run(getattr(world, what)(*args))), flush=True)
    world.close()


if __name__ == "__main__":
    main()
