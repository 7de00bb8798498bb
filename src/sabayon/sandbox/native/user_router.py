"""The process that is the router of an ordinary user's platform, and makes the namespaces of its sandboxes.

All of them belong to one user namespace, which it makes as well, and which all zygotes of the
platform enter: whoever holds capabilities in there may join what was made in there. The
platform holds both namespaces, so this process can be started again without loss. It ends
when the platform closes its end of the control socket, also by dying.

Control socket (SOCK_SEQPACKET, one JSON object a packet, an answer for each question):

- start-up: `{"api_port", "first_place"}` comes in, with descriptors of the user namespace and the router's, if there
  are any already; the answer has descriptors of both
- `{"do": "set_up", "rules", "links"}`, `{"do": "refuse", "addresses"}`: see `router.Router`
- `{"do": "is_connected"}`: the answer's `value` is whether the router's way out has its address
- `{"do": "prepare", "egress", "count"}`: the answer has as many namespaces and listeners, in pairs
- an answer `{"error": text}` says what went wrong
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Final

from sabayon.sandbox.base import Egress
from sabayon.sandbox.native import interfaces, linux, network
from sabayon.sandbox.native.confinement import map_users
from sabayon.sandbox.native.router import Router, current_namespace

MAX_PACKET_BYTES: Final = 65536
MAX_DESCRIPTORS: Final = 64

NO_USER_NAMESPACES: Final = (
    "this kernel does not let ordinary users make user namespaces; run as root, or set the sysctls "
    "user.max_user_namespaces > 0 and, where they exist, kernel.unprivileged_userns_clone = 1 and "
    "kernel.apparmor_restrict_unprivileged_userns = 0"
)


def main(control_fd: int) -> None:
    """Answer until the control socket ends."""
    control = socket.socket(fileno=control_fd)
    recipe, descriptors = _received(control)
    try:
        user_namespace, namespace = descriptors or _make()
        if descriptors:
            linux.setns(user_namespace, linux.CLONE_NEWUSER)
            linux.setns(namespace, linux.CLONE_NEWNET)
    except OSError as error:
        control.send(_failure(error))
        return
    router = Router(namespace, api_port=recipe["api_port"], first_place=recipe["first_place"])
    router.adopt(namespace)
    socket.send_fds(control, [b"{}"], [user_namespace, namespace])
    while True:
        question, _ = _received(control)
        if not question:
            return
        _answer(control, router, question)


def _received(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A packet, empty at the end."""
    packet, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
    return (json.loads(packet) if packet else {}), list(descriptors)


def _make() -> tuple[int, int]:
    """Descriptors of a new user namespace and of a new network namespace in it, both entered. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(linux.CLONE_NEWUSER)
    except OSError as error:
        raise OSError(error.errno, NO_USER_NAMESPACES) from error
    map_users(uid, gid)
    linux.unshare(linux.CLONE_NEWNET)
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC), current_namespace()


def _answer(control: socket.socket, router: Router, question: dict[str, Any]) -> None:
    try:
        if question["do"] == "prepare":
            prepared = router.prepare(Egress(question["egress"]), question["count"])
            handles = [number for one in prepared for number in (one.namespace, one.listener.fileno())]
            socket.send_fds(control, [b"{}"], handles)
            for one in prepared:
                one.close()
            return
        control.send(json.dumps({"value": _done(router, question)}).encode())
    except OSError as error:
        control.send(_failure(error))


def _done(router: Router, question: dict[str, Any]) -> bool:
    """Raises OSError."""
    match question["do"]:
        case "set_up":
            router.set_up(router.home, question["rules"], question["links"])
        case "refuse":
            router.refuse(question["addresses"])
        case "is_connected":
            return interfaces.has_address(network.OUT)
    return True


def _failure(error: OSError) -> bytes:
    return json.dumps({"error": error.strerror or str(error)}).encode()
