"""How a host's network is changed: by `ip`, `nft` and sysctls, one platform at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

_TOOL_S: Final = 10.0
SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
"""For the network namespace of who opens it, as all sysctls of networks are."""

CONF: Final = Path("/proc/sys/net/ipv4/conf")


def is_forwarding(name: str) -> bool:
    """Whether what comes in by that interface is passed on."""
    return read(CONF / name / "forwarding").strip() == "1"


def forbid_ipv6(*names: str) -> None:
    """On these interfaces, where the kernel has IPv6 at all. Raises OSError."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            write(Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), "1")


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One platform at a time changes the network of this host."""
    descriptor = os.open(FORWARDING, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ip(commands: str, *descriptors: int) -> None:
    """Run commands, one a line, with these descriptors open. Raises OSError."""
    tool(["ip", "-batch", "-"], commands, descriptors)


def nft(rules: str) -> None:
    """Change rules, all of them or none. Raises OSError."""
    tool(["nft", "-f", "-"], rules)


def listed(*what: str) -> list[dict[str, Any]]:
    """What `nft` tells of tables, chains or sets. Raises OSError."""
    text = tool(["nft", "-j", "list", *what])
    found: list[dict[str, Any]] = json.loads(text)["nftables"] if text else []
    return found


def tool(command: list[str], text: str = "", descriptors: Sequence[int] = ()) -> str:
    """What it prints. Raises OSError with what it complains of."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_TOOL_S,
            pass_fds=descriptors, env={"PATH": SYSTEM_PATH, "LC_ALL": "C"}, cwd="/", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]}: no end after {_TOOL_S:g} s") from error
    if done.returncode:
        raise OSError(f"{command[0]}: {(done.stderr.strip() or f'exit code {done.returncode}').splitlines()[0]}")
    return done.stdout


def read(path: Path) -> str:
    """Nothing when it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def write(path: Path, text: str) -> None:
    """Raises OSError."""
    with open(path, "w") as file:  # noqa: PTH123  the whole of it in one call
        file.write(text)
