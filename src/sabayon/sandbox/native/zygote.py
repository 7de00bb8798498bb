"""The zygote: a single-threaded process that becomes a new sandbox on request. No user code ever runs in it.

It is pid 1 of a pid namespace in which all its sandboxes are nested: when it ends, for
whatever reason, the kernel kills them all. It ends when the platform closes its end of
the control socket, also by dying.

Control socket (SOCK_SEQPACKET, one JSON object a packet):

- start-up: a recipe comes in (see `main`); out go, in any order, `{"pidfd": true}` with a pidfd of the zygote, and
  `{"ready": true}` or `{"error": text, "is_of_set"}`, which says whether a module of the dependency set is to blame
- a request `{"id", ...}` (the rest: see `handles.Start`) comes in, with descriptors: frame socket, stdout,
  stderr, the network namespace to enter, then one descriptor per cgroup hierarchy to join
- `PING` is sent back as it came
- the answer `{"id"}` with a pidfd of the sandbox, or `{"id", "error"}`
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from sabayon.sandbox.native import compact, filesystem, linux
from sabayon.sandbox.native.confinement import Confinement
from sabayon.sandbox.native.preload import PreloadError, preload

MAX_PACKET_BYTES: Final = 65536
MAX_DESCRIPTORS: Final = 16
PING: Final = b'{"id": 0}'
_DESCRIPTOR: Final = struct.Struct("i")


def main(control_fd: int) -> None:
    """Run until the control socket ends.

    The recipe: `binds` host paths to show, `argv` to execute as the launcher (empty: call `main` of `module`, which is
    imported and asked to `prepare` before any fork), `environment` what they all have, `dependencies` of what
    set it is (see `preload`; empty: of none), `user_namespace` a descriptor of the one to enter (-1: none, sandboxes
    have real users and cgroups), `resolv_conf` that file's text, `niceness` what they have of it at least.
    """
    os.umask(0o022)  # that of the platform may hide the prepared root from the sandboxes' users
    control = socket.socket(fileno=control_fd)
    recipe: dict[str, Any] = json.loads(control.recv(MAX_PACKET_BYTES))
    if os.getpriority(os.PRIO_PROCESS, 0) < recipe["niceness"]:
        os.setpriority(os.PRIO_PROCESS, 0, recipe["niceness"])  # the platform's own is not for what it runs
    sys.argv = [""]
    try:
        _isolate(control, recipe)
        linux.empty_bounding_set()
        if recipe["dependencies"]:
            preload(recipe["dependencies"])
    except (OSError, PreloadError) as error:
        control.send(json.dumps({"error": str(error), "is_of_set": isinstance(error, PreloadError)}).encode())
        return
    linux.ignore_children(is_ignoring=True)  # the kernel forgets them as they end
    confinement = _prepared(recipe)
    control.send(b'{"ready": true}')
    gc.collect()
    compact.fill_holes()
    gc.freeze()
    _serve(control, confinement)


def _prepared(recipe: dict[str, Any]) -> Confinement:
    """All that sandboxes have in common."""
    launch: Callable[[int], None] = os._exit
    if recipe["module"]:
        with _pipes_for_output():
            launch = sys.modules[recipe["module"]].prepare(has_dependencies=bool(recipe["dependencies"]))
    return Confinement(argv=recipe["argv"], launch=launch, is_root=recipe["user_namespace"] < 0)


@contextlib.contextmanager
def _pipes_for_output() -> Iterator[None]:
    """Descriptors 1 and 2 are of the kind that they are in sandboxes."""
    kept = os.dup(1)
    reader, writer = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writer, descriptor)
    yield
    for descriptor in (1, 2):
        os.dup2(kept, descriptor)
    for descriptor in (kept, reader, writer):
        os.close(descriptor)


def _isolate(control: socket.socket, recipe: dict[str, Any]) -> None:
    """Enter the namespaces of all sandboxes of this kind; returns in a child that is pid 1 of a new pid namespace."""
    if recipe["user_namespace"] >= 0:
        linux.setns(recipe["user_namespace"], linux.CLONE_NEWUSER)
        os.close(recipe["user_namespace"])
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET)
    child = os.fork()
    if child:
        socket.send_fds(control, [b'{"pidfd": true}'], [os.pidfd_open(child)])
        os._exit(0)
    os.setsid()
    if recipe["module"]:
        importlib.import_module(recipe["module"])
    filesystem.enter_prepared_root(recipe["binds"], recipe["resolv_conf"])
    sys.path[:] = [path for path in sys.path if os.path.exists(path)]
    os.environ.clear()
    os.environ.update(recipe["environment"])
    linux.set_hostname("sabayon")


def _serve(control: socket.socket, confinement: Confinement) -> None:
    """Fork a sandbox for each request, and do nothing else: what is touched here is no longer shared with the last."""
    namespaces = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    forker = linux.Forker(namespaces)
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * _DESCRIPTOR.size)
    while True:
        packet, ancillary, _, _ = control.recvmsg(MAX_PACKET_BYTES, room)
        if not packet:
            return
        if packet == PING:
            control.send(packet)
            continue
        descriptors = [descriptor for _, _, data in ancillary for (descriptor,) in _DESCRIPTOR.iter_unpack(data)]
        try:
            child = forker.fork()
        except OSError as error:
            control.send(json.dumps({"id": json.loads(packet)["id"], "error": str(error)}).encode())
        else:
            if not child:
                confinement.enter(control, json.loads(packet), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
