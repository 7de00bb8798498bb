"""What there is to gain on this host: a secret in every place where an attack may look for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECRET = "secret-of-the-host"

_VICTIM = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.prctl(0x59616d61, ctypes.c_long(-1), 0, 0, 0)
secret = ctypes.create_string_buffer(b"secret-of-the-host")
segment = libc.shmget(int(sys.argv[1]), 4096, 0o1666)
file = os.memfd_create("victim")
os.write(file, secret.value)
print(ctypes.addressof(secret), segment, file, flush=True)
sys.stdin.read()
libc.shmctl(segment, 0, None)
"""


@contextmanager
def prepared() -> Iterator[dict[str, Any]]:
    """Arguments for the attacks: where the secrets are. Everybody may read them, as far as users go."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, _listeners(Path(name)) as addresses:
        folder = Path(name)
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o666)
        shared = Path("/dev/shm", folder.name)
        shared.write_text(SECRET)
        key = os.getpid() << 8
        try:
            with subprocess.Popen(
                [sys.executable, "-I", "-c", _VICTIM, str(key)],
                env={"SECRET": SECRET}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ) as victim:  # fmt: skip
                assert victim.stdout is not None
                address, _, descriptor = map(int, victim.stdout.readline().split())
                yield {
                    "folder": name, "secret": str(secret), "shared": str(shared), "key": key, "pid": victim.pid,
                    "address": address, "descriptor": descriptor, **addresses,
                }  # fmt: skip
                victim.communicate()
        finally:
            shared.unlink()


@contextmanager
def _listeners(folder: Path) -> Iterator[dict[str, Any]]:
    """Services of the host, on every kind of local address."""
    abstract, path = f"\0{folder.name}", str(folder / "socket")
    with (
        socket.create_server(("0.0.0.0", 0)) as ipv4,
        socket.create_server(("::", 0), family=socket.AF_INET6) as ipv6,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as nameless,
    ):
        named.bind(path)
        nameless.bind(abstract)
        os.chmod(path, 0o777)
        for listener in (named, nameless):
            listener.listen()
        yield {
            "port": ipv4.getsockname()[1], "port6": ipv6.getsockname()[1], "abstract": abstract, "path": path,
            "host": socket.gethostbyname(socket.gethostname()),
        }  # fmt: skip
