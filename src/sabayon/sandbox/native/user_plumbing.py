"""The way out of a platform that runs as an ordinary user: a router in namespaces of its own, and a translator.

For one thread, like `plumbing`, in whose place it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import sabayon
from sabayon.runtimes.manifest import base_python
from sabayon.sandbox.base import Egress, SandboxUnavailable
from sabayon.sandbox.native import netadmin, network, translators
from sabayon.sandbox.native.plumbing import host_addresses, host_resolv_conf, most_connections, require_tools
from sabayon.sandbox.native.router import Prepared
from sabayon.sandbox.native.translators import Translator
from sabayon.sandbox.native.user_router import MAX_DESCRIPTORS, MAX_PACKET_BYTES

_ANSWER_S: Final = 20.0
_CONNECT_S: Final = 5.0
_LOOK_S: Final = 0.01
"""How often it is looked whether a translator has connected the router: neither tells."""

_PATH: Final = f"/usr/local/bin:{netadmin.SYSTEM_PATH}"
_CODE: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from sabayon.sandbox.native.user_router import main
main(int(sys.argv[2]))
"""


class UserPlumbing:
    """One platform's user namespace, the router in it, and the translator; no translator when `level` is none."""

    def __init__(self, level: Egress, *, api_port: int = 0) -> None:
        self._api_port = api_port
        self._levels = [egress for egress in (Egress.INTERNET, Egress.ALL) if level in (egress, Egress.ALL)]
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._namespaces: list[int] = []
        self._places = 0
        self._translator: Translator | None = None
        self._translating: subprocess.Popen[bytes] | None = None
        self._addresses: list[str] = []
        self.resolv_conf = ""
        self.obstacles: list[str] = []

    @property
    def user_namespace(self) -> int:
        """A descriptor, for as long as this is not closed."""
        return self._namespaces[0]

    def start(self) -> None:
        """Make the way out. Raises SandboxUnavailable with what is missing."""
        try:
            self._start_router()
            if self._levels:
                self._connect()
        except OSError as error:
            raise SandboxUnavailable(str(error)) from error

    def _connect(self) -> None:
        """Raises OSError, SandboxUnavailable."""
        require_tools()
        found = [known.program for known in translators.KNOWN if shutil.which(known.program, path=_PATH)]
        self._translator = translators.first_of(found)
        if self._translator is None:
            programs = " nor ".join(f"`{known.program}`" for known in translators.KNOWN)
            raise SandboxUnavailable(f"there is neither {programs} on this host")
        names = [translators.RESOLVER] if network.resolvers_of(host_resolv_conf()) else []
        self.resolv_conf = "".join(f"nameserver {name}\n" for name in names)
        rules = network.router_rules(names, dict.fromkeys(self._levels, translators.ROUTER), most_connections())
        self._ask("set_up", rules=rules, links=network.hub_links(self._levels))
        self._refuse_host()
        self._translate()

    def _start_router(self) -> None:
        """Start its process, or another one in the same namespaces. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_S)
        recipe = {"api_port": self._api_port, "first_place": self._places}
        socket.send_fds(ours, [json.dumps(recipe).encode()], self._namespaces)
        command = [base_python(), "-I", "-S", "-B", "-c", _CODE, str(Path(sabayon.__file__).parents[1])]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], env={}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._control = ours
        _, descriptors = self._answer()
        if self._namespaces:
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            self._namespaces = descriptors

    def _translate(self) -> None:
        """Start the translator, and wait until the router is connected. Raises OSError."""
        assert self._translator is not None
        # It ends with this thread, which is the platform's for as long as this is not closed.
        command = ["setpriv", "--pdeathsig", "KILL", *self._translator.command(*self._namespaces)]
        self._translating = subprocess.Popen(
            command, pass_fds=self._namespaces, env={"PATH": _PATH}, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + _CONNECT_S
        while not self._ask("is_connected"):
            if self._translating.poll() is not None:
                raise OSError(f"{self._translator.program}: {self._complaint(command)}")
            if time.monotonic() > end:
                raise OSError(f"{self._translator.program}: it has connected nothing after {_CONNECT_S:g} s")
            time.sleep(_LOOK_S)

    def _complaint(self, command: Sequence[str]) -> str:
        """What it says when it is tried once more; while it is at work nobody could read what it says."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            tried = subprocess.run(
                command, pass_fds=self._namespaces, env={"PATH": _PATH}, cwd="/", timeout=_CONNECT_S,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
            return translators.complaint(tried.stderr)
        return "it ended"

    def _refuse_host(self) -> None:
        addresses = sorted(host_addresses())
        if addresses != self._addresses:
            self._ask("refuse", addresses=addresses)
            self._addresses = addresses

    def mend(self) -> str:
        """Start the translator again if it has ended, and see what the host's addresses are.

        What was wrong, if anything. Raises OSError.
        """
        if not self._levels:
            return ""
        self._refuse_host()
        if self._translating is not None and self._translating.poll() is None:
            return ""
        self._translate()
        assert self._translator is not None
        return f"{self._translator.program} had ended"

    def prepare(self, egress: Egress, count: int) -> list[Prepared]:
        """Namespaces that reach what `egress` allows. Raises OSError."""
        _, descriptors = self._exchange({"do": "prepare", "egress": egress.value, "count": count})
        self._places += count
        return [
            Prepared(namespace, socket.socket(fileno=listener))
            for namespace, listener in zip(descriptors[::2], descriptors[1::2], strict=True)
        ]

    def _ask(self, do: str, **arguments: Any) -> bool:
        return bool(self._exchange({"do": do, **arguments})[0])

    def _exchange(self, question: dict[str, Any]) -> tuple[Any, list[int]]:
        """Raises OSError. A router that has died is replaced."""
        try:
            return self._sent(question)
        except ConnectionError:
            self._end_router()
            self._start_router()
            return self._sent(question)

    def _sent(self, question: dict[str, Any]) -> tuple[Any, list[int]]:
        if self._control is None:
            raise ConnectionError("the router has ended")
        self._control.send(json.dumps(question).encode())
        return self._answer()

    def _answer(self) -> tuple[Any, list[int]]:
        """Raises OSError with what the router complains of, ConnectionError when it has died."""
        assert self._control is not None
        packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not packet:
            raise ConnectionError("the router has ended")
        answer = json.loads(packet)
        if "error" in answer:
            raise OSError(answer["error"])
        return answer.get("value"), list(descriptors)

    def _end_router(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        _end(self._process)
        self._process = None

    def close(self) -> None:
        """End both. What is still in use, such as a namespace of a sandbox, ends with who uses it. Idempotent."""
        _end(self._translating)
        self._translating = None
        self._end_router()
        for descriptor in self._namespaces:
            os.close(descriptor)
        self._namespaces = []


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()
