"""From a copy of the zygote to a confined launcher: what pid 1 of a new sandbox does before anything of a user's.

All that can be made ready once is made in the zygote. Little runs here, and plainly: each
function and object of the zygote that is used takes pages of memory that are this
sandbox's own from then on (see `docs/decisions/013-memory-of-an-idle-container.md`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn

from sabayon.sandbox.native import filesystem, landlock, linux, seccomp

FRAME_FD: Final = 3
MAX_OPEN_FILES: Final = 1024


class Confinement:
    """What is the same for all sandboxes of one zygote.

    argv: the program to execute as the launcher; `launch`, called with the frame socket, where it is empty.
    is_root: whether sandboxes have real users and cgroups.
    """

    def __init__(self, *, argv: list[str], launch: Callable[[int], None], is_root: bool) -> None:
        self._argv = argv
        self._launch = launch
        self._is_root = is_root
        self._filter = seccomp.Filter(seccomp.program())
        self._masks = filesystem.Masks()
        self._domain = landlock.Domain((filesystem.TMP, filesystem.ACTION_PARENT, "/dev/shm"))
        self._environment = dict(os.environ)

    def enter(self, control: socket.socket, request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        """Report, give up everything and run the launcher. Never returns."""
        frame, stdout, stderr, *others = descriptors
        try:
            try:
                self._report(control, request, others)
            except OSError as error:
                control.send(b'{"id": %d, "error": %s}' % (request["id"], _quoted(str(error))))
                os._exit(70)
            _arrange_descriptors(frame, stdout, stderr)
            os.setsid()
            filesystem.add_private_parts(self._masks, request["tmp_bytes"], request["uid"], request["gid"])
            if not self._is_root:
                _leave_user_namespace()
            _limit(request)
            self._give_up_privileges(request)
            os.chdir(filesystem.ACTION)
            self._run_launcher()
        except BaseException as error:  # the last frame of this process: whatever it is must end it, and be seen
            with contextlib.suppress(OSError):
                os.write(2, f"the sandbox could not be set up: {error!r}\n".encode())
        os._exit(70)

    def _report(self, control: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
        """Join the control groups and the network, then hand out what the platform holds this sandbox by."""
        linux.ignore_children(is_ignoring=False)
        network, *groups = descriptors
        for group in groups:
            os.write(group, b"0")
        if groups:
            linux.unshare(linux.CLONE_NEWCGROUP)
        linux.setns(network, linux.CLONE_NEWNET)
        socket.send_fds(control, [b'{"id": %d}' % request["id"]], [os.pidfd_open(1)])

    def _give_up_privileges(self, request: dict[str, Any]) -> None:
        if not self._is_root:
            linux.empty_bounding_set()  # a new user namespace has filled it again
        linux.empty_ambient_set()
        if self._is_root:
            os.setgroups([])
            os.setresgid(request["gid"], request["gid"], request["gid"])
            os.setresuid(request["uid"], request["uid"], request["uid"])
        linux.clear_capability_sets()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # the change of user took it; without it /proc/self belongs to root
        self._domain.enter()
        self._filter.install()

    def _run_launcher(self) -> None:
        if self._argv:
            os.set_inheritable(FRAME_FD, True)
            os.execve(self._argv[0], self._argv, self._environment)
        self._launch(FRAME_FD)


def _leave_user_namespace() -> None:
    """For one in which nothing else is, and in which this sandbox's processes are counted apart from all others.

    What was made in the one it leaves, mounts among it, is out of reach even for a capability it might gain.
    """
    linux.unshare(linux.CLONE_NEWUSER)
    map_users(0, 0)  # which is who it was in the one it left


def map_users(uid: int, gid: int) -> None:
    """Make this process root of its user namespace, which it has been in all along as `uid` outside."""
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w") as handle:  # noqa: PTH123
            handle.write(text)


def _quoted(text: str) -> bytes:
    return b'"%s"' % text.replace("\\", "/").replace('"', "'").encode()


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
    _bound(resource.RLIMIT_NICE, 0)
    _bound(resource.RLIMIT_RTPRIO, 0)
    if request["address_space_bytes"]:
        _bound(resource.RLIMIT_AS, request["address_space_bytes"])
    if request["processes"]:
        _bound(resource.RLIMIT_NPROC, request["processes"])


def _bound(kind: int, most: int) -> None:
    """At most that much, and never more than this process may have."""
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))
