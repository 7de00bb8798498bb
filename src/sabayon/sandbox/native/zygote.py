"""The zygote: a single-threaded process that becomes a new sandbox on request. No user code ever runs in it.

It is pid 1 of a pid namespace in which all its sandboxes are nested: when it ends, for
whatever reason, the kernel kills them all. It ends when the platform closes its end of
the control socket, also by dying.

Control socket (SOCK_SEQPACKET, one JSON object a packet):

- start-up: a recipe comes in (see `main`); out go, in any order, `{"pidfd": true}` with a pidfd of the zygote, and
  `{"ready": true}` or `{"error": text}`
- a request `{"id", ...}` (the rest: see `handles.Start`) comes in, with descriptors: frame socket, stdout,
  stderr, the network namespace to enter if `has_network`, then one descriptor per cgroup hierarchy to join
- the answer `{"id"}` with a pidfd of the sandbox and a listening socket inside it, or `{"id", "error"}`
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, Final, NoReturn

from sabayon.sandbox.native import filesystem, interfaces, linux, seccomp

MAX_PACKET_BYTES: Final = 65536
MAX_DESCRIPTORS: Final = 16
FRAME_FD: Final = 3
MAX_OPEN_FILES: Final = 1024

NO_USER_NAMESPACES: Final = (
    "this kernel does not let ordinary users make user namespaces; run as root, or set the sysctls "
    "user.max_user_namespaces > 0 and, where they exist, kernel.unprivileged_userns_clone = 1 and "
    "kernel.apparmor_restrict_unprivileged_userns = 0"
)


def main(control_fd: int) -> None:
    """Run until the control socket ends.

    The recipe: `binds` host paths to show, `argv` to execute as the launcher (empty: call `main` of `module`, which is
    imported before any fork), `is_root` whether sandboxes have real users and cgroups, `resolv_conf` that file's text.
    """
    os.umask(0o022)  # that of the platform may hide the prepared root from the sandboxes' users
    control = socket.socket(fileno=control_fd)
    recipe: dict[str, Any] = json.loads(control.recv(MAX_PACKET_BYTES))
    sys.argv = [""]
    try:
        _isolate(control, recipe)
    except OSError as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return
    linux.empty_bounding_set()
    control.send(b'{"ready": true}')
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()
    _serve(control, recipe, seccomp.program())


def _isolate(control: socket.socket, recipe: dict[str, Any]) -> None:
    """Enter the namespaces of all sandboxes of this kind; returns in a child that is pid 1 of a new pid namespace."""
    if not recipe["is_root"]:
        _enter_user_namespace()
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
    linux.set_hostname("sabayon")


def _enter_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(linux.CLONE_NEWUSER)
    except OSError as error:
        raise OSError(error.errno, NO_USER_NAMESPACES) from error
    _map_users(uid, gid)


def _map_users(uid: int, gid: int) -> None:
    """Make this process root of its user namespace, which it has been in all along as `uid` outside."""
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w") as handle:  # noqa: PTH123
            handle.write(text)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve(control: socket.socket, recipe: dict[str, Any], filter: bytes) -> None:
    namespaces = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if not recipe["is_root"]:
        namespaces |= linux.CLONE_NEWUSER  # in which its processes are counted apart from all others of this user
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
        if not packet:
            return
        request = json.loads(packet)
        try:
            child = linux.fork_into(namespaces | (0 if request["has_network"] else linux.CLONE_NEWNET))
        except OSError as error:
            control.send(json.dumps({"id": request["id"], "error": str(error)}).encode())
        else:
            if not child:
                _become_sandbox(control, recipe, filter, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_sandbox(
    control: socket.socket, recipe: dict[str, Any], filter: bytes, request: dict[str, Any], descriptors: list[int]
) -> NoReturn:
    """In pid 1 of a new sandbox: report, give up everything and run the launcher. Never returns."""
    frame, stdout, stderr, *others = descriptors
    try:
        try:
            _report(control, recipe, request, others)
        except OSError as error:
            control.send(json.dumps({"id": request["id"], "error": str(error)}).encode())
            os._exit(70)
        _arrange_descriptors(frame, stdout, stderr)
        os.setsid()
        filesystem.add_private_parts(request["tmp_bytes"], request["uid"], request["gid"])
        _limit(request)
        _give_up_privileges(recipe, request, filter)
        os.chdir(filesystem.ACTION)
        os.environ.clear()
        os.environ.update(request["environment"])
        _run_launcher(recipe)
    except BaseException as error:  # the last frame of this process: whatever it is must end it, and be seen
        with contextlib.suppress(OSError):
            os.write(2, f"the sandbox could not be set up: {error!r}\n".encode())
    os._exit(70)


def _report(control: socket.socket, recipe: dict[str, Any], request: dict[str, Any], descriptors: list[int]) -> None:
    """Join the control groups and the network, then hand out what the platform holds this sandbox by."""
    networks, groups = (descriptors[:1], descriptors[1:]) if request["has_network"] else ([], descriptors)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for group in groups:
        os.write(group, b"0")
    if groups:
        linux.unshare(linux.CLONE_NEWCGROUP)
    if not recipe["is_root"]:
        _map_users(0, 0)  # which is who the zygote is in its own
    for network in networks:
        linux.setns(network, linux.CLONE_NEWNET)
    with _listen(request["api_port"]) as listener:
        socket.send_fds(
            control, [json.dumps({"id": request["id"]}).encode()], [os.pidfd_open(os.getpid()), listener.fileno()]
        )


def _listen(port: int) -> socket.socket:
    """Bring the loopback up and listen on it, in this network namespace, for the platform to accept."""
    interfaces.bring_up("lo")
    return socket.create_server(("127.0.0.1", port), backlog=64)


def _arrange_descriptors(*stdio: int) -> None:
    """Frames at 3, output at 1 and 2, nothing else open."""
    frame, stdout, stderr = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in stdio)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2), (frame, FRAME_FD)):
        os.dup2(source, target, inheritable=target != FRAME_FD)
    os.closerange(FRAME_FD + 1, MAX_OPEN_FILES * 64)


def _limit(request: dict[str, Any]) -> None:
    _bound(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_MEMLOCK, 65536)
    if request["address_space_bytes"]:
        _bound(resource.RLIMIT_AS, request["address_space_bytes"])
    if request["processes"]:
        _bound(resource.RLIMIT_NPROC, request["processes"])


def _bound(kind: int, most: int) -> None:
    """At most that much, and never more than this process may have."""
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))


def _give_up_privileges(recipe: dict[str, Any], request: dict[str, Any], filter: bytes) -> None:
    if not recipe["is_root"]:
        linux.empty_bounding_set()  # a new user namespace has filled it again
    linux.empty_ambient_set()
    if recipe["is_root"]:
        os.setgroups([])
        os.setresgid(request["gid"], request["gid"], request["gid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    linux.clear_capability_sets()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # the change of user took it; without it /proc/self belongs to root
    seccomp.install(filter)


def _run_launcher(recipe: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if recipe["argv"]:
        os.set_inheritable(FRAME_FD, True)
        os.execve(recipe["argv"][0], recipe["argv"], dict(os.environ))
    sys.modules[recipe["module"]].main(FRAME_FD)
