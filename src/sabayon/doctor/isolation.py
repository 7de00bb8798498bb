"""From facts to findings: what keeps actions from the machine and from each other. Pure."""

from __future__ import annotations

import re
from typing import Final

from sabayon.doctor.facts import Facts
from sabayon.doctor.finding import Finding, Status

NAMESPACES: Final = {
    "mount": "actions would see the host's files",
    "pid": "actions would see and could signal the host's processes, and leave their own behind",
    "network": "actions would reach the host's network and the services on its loopback",
    "ipc": "actions would share memory and message queues with the host",
    "uts": "actions would see the host's name, and could change it",
}
"""What each namespace keeps apart."""

CONTROLLERS: Final = {
    "memory": "the memory limit of an action does not hold: one in JavaScript can take all memory of the machine, "
    "of Python each process has a bound",
    "pids": "processes are counted by user instead of by sandbox, which holds while no other program uses those users",
    "cpu": "processor time is not shared by memory limit: a busy action slows all others down",
    "freezer": "idle containers are not suspended: what an action left running goes on between its activations",
}
"""What is lost without each cgroup controller."""

LANDLOCK_NEEDED: Final = 2

PROCESSES_COUNTED: Final = (5, 14)
"""Since this kernel the processes of an ordinary user's sandbox are counted apart from all others of that user."""

CALLS: Final = "a system call filter is missing: actions reach all of the kernel that an ordinary process reaches"


_GRANT_USER_NAMESPACES: Final = (
    "run the platform as root, or set the sysctls user.max_user_namespaces > 0 and, where they exist, "
    "kernel.unprivileged_userns_clone = 1 and kernel.apparmor_restrict_unprivileged_userns = 0"
)
_MOUNT_CGROUPS: Final = "mount them: mount -t cgroup2 none /sys/fs/cgroup"


def isolation(facts: Facts) -> list[Finding]:
    """Everything that makes isolation weaker, or without which the platform does not start."""
    return [
        kernel(facts),
        user(facts),
        *namespaces(facts),
        *cgroups(facts),
        seccomp(facts),
        landlock(facts),
        *sandboxes(facts),
        *egress(facts),
    ]


def kernel(facts: Facts) -> Finding:
    found = f"{facts.kernel.system} {facts.kernel.release} on {facts.kernel.machine}"
    if facts.kernel.pidfd_error:
        return Finding(
            "kernel", Status.REFUSED, f"{found}, without process descriptors: {facts.kernel.pidfd_error}",
            "the platform refuses to start: it could not be sure to end the sandboxes it started",
            "use Linux 5.3 or newer",
        )  # fmt: skip
    return Finding("kernel", Status.OK, found)


def user(facts: Facts) -> Finding:
    if facts.is_root:
        return Finding("user", Status.OK, "root")
    return Finding(
        "user", Status.WEAKER, "an ordinary user",
        "sandboxes have no users of their own: they all act as this one, kept apart by their namespaces alone",
        "run the platform as root",
    )  # fmt: skip


def namespaces(facts: Facts) -> list[Finding]:
    """One each; that of an ordinary user alone where it is missing, since all others are made inside of it."""
    found = [_user_namespace(facts)]
    if found[0].status is not Status.OK:
        return found
    for name, consequence in NAMESPACES.items():
        check, error = f"{name} namespace", facts.namespaces[name]
        if not error:
            found.append(Finding(check, Status.OK, "can be made"))
        else:
            refusal = f"the platform refuses to start: without it {consequence}"
            found.append(Finding(check, Status.REFUSED, f"missing: {error}", refusal, _namespace_remedy(facts)))
    return found


def _namespace_remedy(facts: Facts) -> str:
    if facts.is_root:
        return "start it with the capability CAP_SYS_ADMIN; inside of a container, as a privileged one"
    return _GRANT_USER_NAMESPACES


def _user_namespace(facts: Facts) -> Finding:
    check, error = "user namespace", facts.namespaces["user"]
    if not error:
        return Finding(check, Status.OK, "can be made")
    if facts.is_root:
        return Finding(check, Status.OK, "missing, and not needed by root")
    return Finding(
        check, Status.REFUSED, f"missing: {error}",
        "the platform refuses to start: an ordinary user can make no other namespace without one",
        _GRANT_USER_NAMESPACES,
    )  # fmt: skip


def cgroups(facts: Facts) -> list[Finding]:
    """One about the mounts, and one for each controller that is missing."""
    layout = _layout(facts.cgroups.versions)
    if not facts.is_root:
        return [
            Finding(
                "cgroups", Status.WEAKER, f"{layout}; not used without root",
                "limits of memory and processor time hold for no sandbox as a whole: bounded "
                + _unprivileged_bounds(facts.kernel.release),
                "run the platform as root",
            )
        ]  # fmt: skip
    if facts.cgroups.error:
        return [
            Finding(
                "cgroups", Status.REFUSED, f"{layout}; no group can be made: {facts.cgroups.error}",
                "the platform refuses to start: no limit would hold",
                "give it a writable cgroup file system: Delegate=yes in its systemd unit; a privileged container",
            )
        ]  # fmt: skip
    usable = ", ".join(name for name in CONTROLLERS if name in facts.cgroups.controllers) or "no controller"
    return [
        *_cgroup_namespace(facts),
        Finding("cgroups", Status.OK, f"{layout}, with {usable}")
        if facts.cgroups.versions
        else Finding("cgroups", Status.WEAKER, layout, "no sandbox has limits; see the controllers", _MOUNT_CGROUPS),
        *(
            Finding(f"{name} cgroup", Status.WEAKER, "missing", lost, _controller_remedy(facts, name))
            for name, lost in CONTROLLERS.items()
            if name not in facts.cgroups.controllers
        ),
    ]


def _cgroup_namespace(facts: Facts) -> list[Finding]:
    """Nothing where there are no groups: only a sandbox that is in one gets a view of its own."""
    if not facts.cgroups.versions:
        return []
    check, error = "cgroup namespace", facts.namespaces["cgroup"]
    if not error:
        return [Finding(check, Status.OK, "can be made")]
    return [
        Finding(
            check, Status.REFUSED, f"missing: {error}",
            "the platform starts, and no action runs: it would see the groups of the platform and of the host",
            _namespace_remedy(facts),
        )
    ]  # fmt: skip


def _unprivileged_bounds(release: str) -> str:
    numbers = re.findall(r"\d+", release)[:2]
    if tuple(map(int, numbers)) >= PROCESSES_COUNTED:
        return "are the address space of each Python process and the number of processes"
    return "is the address space of each Python process, and before Linux 5.14 no number of processes"


def egress(facts: Facts) -> list[Finding]:
    """Nothing where sandboxes cannot have a network at all."""
    if facts.namespaces["network"]:
        return []
    if not facts.egress_error:
        return [Finding("egress", Status.OK, facts.egress)]
    return [
        Finding(
            "egress", Status.LIMITED, f"actions cannot be given it: {facts.egress_error}",
            "actions reach the platform's API and nothing else",
            _egress_remedy(is_root=facts.is_root),
        )
    ]  # fmt: skip


def _egress_remedy(*, is_root: bool) -> str:
    if is_root:
        return "install the Debian packages nftables and iproute2; or set egress = none"
    return (
        "install the Debian packages passt, nftables and iproute2, and let this user open /dev/net/tun; "
        "or run the platform as root; or set egress = none"
    )


def _layout(versions: frozenset[int]) -> str:
    if versions == {1, 2}:
        return "versions 1 and 2 side by side (hybrid)"
    return f"version {min(versions)}" if versions else "not mounted"


def _controller_remedy(facts: Facts, name: str) -> str:
    if not facts.cgroups.versions:
        return _MOUNT_CGROUPS
    if 1 in facts.cgroups.versions:
        return f"mount it: mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} {name} /sys/fs/cgroup/{name}"
    return f"let the group above hand it down: echo +{name} > cgroup.subtree_control; or use a kernel built with it"


def seccomp(facts: Facts) -> Finding:
    if not facts.seccomp.is_known:
        return Finding(
            "seccomp", Status.WEAKER, f"no filter for {facts.kernel.machine}", CALLS, "use an x86_64 or aarch64 machine"
        )
    if facts.seccomp.error:
        return Finding(
            "seccomp", Status.REFUSED, f"missing: {facts.seccomp.error}",
            "the platform starts, and no action runs: a sandbox does not start without its filter",
            "use a kernel built with CONFIG_SECCOMP_FILTER",
        )  # fmt: skip
    return Finding("seccomp", Status.OK, "filters can be installed")


def landlock(facts: Facts) -> Finding:
    """The second of two walls: without it the first holds alone."""
    if facts.landlock >= LANDLOCK_NEEDED:
        return Finding("landlock", Status.OK, f"version {facts.landlock} of its interface")
    found = f"version {facts.landlock} of its interface is too old" if facts.landlock else "missing"
    return Finding(
        "landlock", Status.LIMITED, found,
        "actions are kept from writing to files by their prepared root alone, not by a second wall behind it",
        "optional: use Linux 5.19 or newer with landlock among the security modules (lsm= on its command line)",
    )  # fmt: skip


def sandboxes(facts: Facts) -> list[Finding]:
    """Whether the first process of each kind starts; silent about what a missing namespace explains already."""
    if any(finding.status is Status.REFUSED for finding in namespaces(facts)):
        return []
    return [
        Finding(f"sandbox {kind}", Status.OK, "its prepared root can be made")
        if not error
        else Finding(
            f"sandbox {kind}", Status.REFUSED, error,
            "the platform refuses to start: the file system that actions see cannot be put together",
            "run it where it may mount tmpfs and proc: not in a container, or in a privileged one",
        )
        for kind, error in facts.zygotes.items()
    ]  # fmt: skip
