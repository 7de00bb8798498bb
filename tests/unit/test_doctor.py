"""What is made of the facts about a machine: findings, what follows from them, exit code, text and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sabayon.doctor import report
from sabayon.doctor.facts import Cgroups, Clock, DataDirectory, Facts, Kernel, Memory, Seccomp
from sabayon.doctor.finding import Finding, Status
from sabayon.doctor.findings import diagnose, exit_code, worst

NAMESPACES = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
CONTROLLERS = frozenset({"memory", "pids", "cpu", "freezer"})
GOOD = Facts(
    is_root=True,
    kernel=Kernel(system="Linux", release="6.1.0", machine="x86_64", pidfd_error=""),
    namespaces=dict.fromkeys(NAMESPACES, ""),
    store="",
    store_error="",
    cgroups=Cgroups(versions=frozenset({2}), controllers=CONTROLLERS, error=""),
    seccomp=Seccomp(is_known=True, error=""),
    landlock=3,
    interpreters={"python:3.11": "/usr/bin/python3.11 3.11.2", "nodejs:20": "/usr/bin/node 20.1.0"},
    zygotes={"python:3.11": "", "nodejs:20": ""},
    memory=Memory(
        total_mb=4096, available_mb=3000, group_mb=None, pool_mb=2048, min_mb=128, default_mb=256, max_mb=512
    ),
    data=DataDirectory(
        path="/data",
        filesystem="ext4",
        mode=0o700,
        free_mb=9000,
        free_inodes=9000,
        lacking_kb=0,
        fsync_ms=2.0,
        error="",
        owner="",
    ),
    clock=Clock(wall_s=1.8e9, jump_s=0.0, is_synchronised=True),
    egress="internet",
    egress_error="",
    sharing_error="",
    open_files=4096,
    address="127.0.0.1:3233",
    address_error="",
)


def changed(facts: Facts = GOOD, **changes: Any) -> Facts:
    """`facts` with other values: `data__free_mb=0` for one inside of a part."""
    for name, value in changes.items():
        part, _, field = name.partition("__")
        current = getattr(facts, part)
        if field:
            new = {**current, field: value} if isinstance(current, dict) else replace(current, **{field: value})
        else:
            new = value
        facts = replace(facts, **{part: new})
    return facts


def lacking(facts: Facts) -> dict[str, str]:
    return {f.check: f.status.name for f in diagnose(facts) if f.status is not Status.OK}


def code(facts: Facts) -> int:
    return exit_code(worst(diagnose(facts)))


def finding(facts: Facts, check: str) -> Finding:
    return next(f for f in diagnose(facts) if f.check == check)


def test_a_machine_that_has_everything_lacks_nothing() -> None:
    assert (lacking(GOOD), code(GOOD)) == ({}, 0)


LIMITED: list[tuple[dict[str, Any], str, str]] = [
    ({"interpreters": {"python:3.11": "python"}}, "nodejs", "JavaScript actions cannot be created"),
    ({"sharing_error": "mount_setattr: Function not implemented"}, "shared code", "unpacks its archive itself"),
    ({"memory__pool_mb": 255}, "memory", "default limit of 256 MB"),
    ({"memory__pool_mb": 511}, "memory", "up to 512 MB"),
    ({"memory__available_mb": 2047}, "memory", "bring the machine to kill processes"),
    ({"memory__group_mb": 2047}, "memory", "before they have used up their limits"),
    ({"data__owner": "77"}, "data directory", "a second platform refuses"),
    ({"data__filesystem": "nfs4"}, "data directory", "it can be damaged"),
    ({"data__mode": 0o750}, "data directory", "may be able to read"),
    ({"data__mode": 0o701}, "data directory", "may be able to read"),
    ({"data__free_mb": 1023}, "disk space", "fill it up"),
    ({"data__free_mb": 0}, "disk space", "non-blocking ones wait, and run again at each start"),
    ({"data__filesystem": "tmpfs"}, "fsync", "lost when the machine restarts"),
    ({"data__fsync_ms": 20.1}, "fsync", "accepted without waiting"),
    ({"clock__wall_s": 86_400.0}, "clock", "alarms fire at wrong times"),
    ({"clock__jump_s": 0.2}, "clock", "alarms fire early or late"),
    ({"clock__jump_s": -0.2}, "clock", "end before they start"),
    ({"clock__is_synchronised": False}, "clock", "alarms off by its drift"),
    ({"open_files": 1095}, "open files", "16 containers and their callers need 1096"),
]


@pytest.mark.parametrize(("changes", "check", "consequence"), LIMITED)
def test_what_leaves_isolation_whole_is_told_with_exit_code_0(
    changes: dict[str, Any], check: str, consequence: str
) -> None:
    facts = changed(**changes)
    assert (lacking(facts), code(facts)) == ({check: "LIMITED"}, 0)
    assert consequence in finding(facts, check).consequence


@pytest.mark.parametrize(
    "changes",
    [
        {"memory__pool_mb": 512},
        {"memory__available_mb": 2048},
        {"memory__group_mb": 2048},
        {"data__mode": 0},
        {"data__free_mb": 1024},
        {"data__free_inodes": None},
        {"data__free_inodes": 16},
        {"data__fsync_ms": 20.0},
        {"clock__is_synchronised": None},
        {"clock__jump_s": -0.1},
        {"open_files": 1096},
        {"landlock": 2},
        {"namespaces__user": "Operation not permitted"},
        {"data__filesystem": "btrfs"},
    ],
    ids=str,
)
def test_what_is_just_enough_or_not_needed_is_no_fault(changes: dict[str, Any]) -> None:
    assert lacking(changed(**changes)) == {}


@pytest.mark.parametrize(
    ("name", "consequence"),
    [
        ("memory", "take all memory"),
        ("pids", "counted by user"),
        ("cpu", "slows all others down"),
        ("freezer", "goes on between its activations"),
    ],
)
def test_a_missing_controller_makes_isolation_weaker(name: str, consequence: str) -> None:
    facts = changed(cgroups__controllers=CONTROLLERS - {name})
    assert (lacking(facts), code(facts)) == ({f"{name} cgroup": "WEAKER"}, 1)
    assert consequence in finding(facts, f"{name} cgroup").consequence


@pytest.mark.parametrize(
    ("versions", "layout", "remedy"),
    [
        ({1}, "version 1, with", "mount -t cgroup -o pids pids"),
        ({2}, "version 2, with", "+pids > cgroup.subtree_control"),
        ({1, 2}, "(hybrid), with", "mount -t cgroup -o pids pids"),
    ],
)
def test_the_remedy_for_a_missing_controller_suits_the_version(versions: set[int], layout: str, remedy: str) -> None:
    facts = changed(cgroups__versions=frozenset(versions), cgroups__controllers=CONTROLLERS - {"pids"})
    assert layout in finding(facts, "cgroups").found
    assert finding(facts, "cgroups").found.endswith("memory, cpu, freezer")
    assert remedy in finding(facts, "pids cgroup").remedy


def test_without_a_way_out_isolation_is_whole_and_it_is_said_what_is_lacking() -> None:
    facts = changed(egress_error="there is no `nft` on this host")
    assert (lacking(facts), code(facts)) == ({"egress": "LIMITED"}, 0)
    assert "there is no `nft`" in finding(facts, "egress").found


def test_an_ordinary_user_is_told_what_else_a_way_out_needs() -> None:
    facts = changed(is_root=False, egress_error="there is neither `pasta` nor `slirp4netns` on this host")
    assert "`pasta`" in finding(facts, "egress").found
    assert "passt" in finding(facts, "egress").remedy
    assert "/dev/net/tun" in finding(facts, "egress").remedy


def test_without_cgroups_every_limit_is_named() -> None:
    facts = changed(cgroups=Cgroups(versions=frozenset(), controllers=frozenset(), error=""), namespaces__cgroup="no")
    expected = {"cgroups": "WEAKER", **{f"{name} cgroup": "WEAKER" for name in CONTROLLERS}}
    assert (lacking(facts), code(facts)) == (expected, 1)
    assert "mount -t cgroup2" in finding(facts, "memory cgroup").remedy


def test_a_processor_without_a_known_filter_makes_isolation_weaker() -> None:
    facts = changed(seccomp__is_known=False, kernel__machine="riscv64")
    assert (lacking(facts), code(facts)) == ({"seccomp": "WEAKER"}, 1)
    assert "riscv64" in finding(facts, "seccomp").found


def test_an_ordinary_user_has_neither_users_nor_cgroups_for_sandboxes() -> None:
    facts = changed(is_root=False)
    assert (lacking(facts), code(facts)) == ({"user": "WEAKER", "cgroups": "WEAKER"}, 1)


@pytest.mark.parametrize(
    ("release", "is_bounded"), [("5.13.19", False), ("5.14.0-1", True), ("6.1.0-21-amd64", True), ("4.19.0", False)]
)
def test_an_ordinary_user_is_told_whether_the_kernel_counts_a_sandbox_s_processes(
    release: str, is_bounded: bool
) -> None:
    consequence = finding(changed(is_root=False, kernel__release=release), "cgroups").consequence
    assert ("and the number of processes" in consequence) is is_bounded
    assert ("before Linux 5.14" in consequence) is not is_bounded


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"kernel__pidfd_error": "Function not implemented"}, "kernel", "Function not implemented"),
    *(({f"namespaces__{name}": "No space left"}, f"{name} namespace", "No space left") for name in NAMESPACES[1:]),
    ({"cgroups__error": "Read-only file system"}, "cgroups", "Read-only file system"),
    ({"seccomp__error": "Invalid argument"}, "seccomp", "Invalid argument"),
    ({"zygotes__nodejs:20": "mount /sys/proc: denied"}, "sandbox nodejs:20", "mount /sys/proc: denied"),
    ({"data__error": "Permission denied"}, "data directory", "Permission denied"),
    ({"data__free_mb": 8, "data__lacking_kb": 1024}, "disk space", "8 MB free"),
    ({"data__free_inodes": 15}, "disk space", "15 files"),
    ({"open_files": 127}, "open files", "127"),
    ({"store_error": "the database d cannot be reached"}, "store", "cannot be reached"),
    ({"address_error": "cannot listen on 127.0.0.1:3233"}, "port", "cannot listen on 127.0.0.1:3233"),
]


@pytest.mark.parametrize(("changes", "check", "found"), REFUSED)
def test_what_keeps_the_platform_from_running_gives_exit_code_2(
    changes: dict[str, Any], check: str, found: str
) -> None:
    facts = changed(**changes)
    assert (lacking(facts), code(facts)) == ({check: "REFUSED"}, 2)
    assert found in finding(facts, check).found


def test_an_ordinary_user_without_user_namespaces_is_told_that_cause_alone() -> None:
    refused = dict.fromkeys(NAMESPACES, "Operation not permitted")
    facts = changed(is_root=False, namespaces=refused, zygotes={"python:3.11": "the same"})
    assert lacking(facts) == {"user": "WEAKER", "user namespace": "REFUSED", "cgroups": "WEAKER"}
    assert "user.max_user_namespaces" in finding(facts, "user namespace").remedy


def test_an_ordinary_user_whose_user_namespaces_grant_nothing_is_told_the_sysctls() -> None:
    facts = changed(is_root=False, namespaces__mount="Operation not permitted")
    assert "apparmor_restrict_unprivileged_userns" in finding(facts, "mount namespace").remedy


def test_a_sandbox_that_does_not_start_for_want_of_a_namespace_is_not_told_twice() -> None:
    facts = changed(namespaces__pid="denied", zygotes={"python:3.11": "denied", "nodejs:20": "denied"})
    assert lacking(facts) == {"pid namespace": "REFUSED"}


def test_the_port_of_a_platform_that_runs_here_is_no_fault() -> None:
    assert lacking(changed(data__owner="77", address_error="taken")) == {"data directory": "LIMITED"}


def test_the_gravest_finding_decides() -> None:
    facts = changed(clock__is_synchronised=False, cgroups__controllers=CONTROLLERS - {"cpu"}, open_files=3)
    assert code(facts) == 2
    assert code(changed(facts, open_files=4096)) == 1


@pytest.mark.parametrize("changes", [changes for changes, *_ in LIMITED + REFUSED] + [{"is_root": False}])
def test_every_finding_that_is_not_ok_says_what_follows_and_what_to_do(changes: dict[str, Any]) -> None:
    for found in diagnose(changed(**changes)):
        assert bool(found.consequence) is bool(found.remedy) is (found.status is not Status.OK)


def test_the_text_has_consequence_and_remedy_below_their_finding() -> None:
    text = report.as_text(diagnose(changed(address_error="it is taken")))
    *_, port, consequence, remedy, blank, verdict = text.split("\n")
    assert port.split(maxsplit=2) == ["refused", "port", "it is taken"]
    assert consequence.strip() == "→ the platform refuses to start: no client could reach it"
    assert remedy.strip() == "do: end what listens there, or choose another with --port"
    assert (blank, verdict) == ("", "The platform cannot run here.")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "with full isolation."),
        ({"open_files": 200}, "with full isolation; what is limited is said above."),
        ({"is_root": False}, "with less isolation than it can give."),
    ],
)
def test_the_verdict_is_the_last_line(changes: dict[str, Any], verdict: str) -> None:
    assert report.as_text(diagnose(changed(**changes))).endswith(f"The platform can start here, {verdict}")


def test_long_explanations_are_broken_at_blanks_into_lines_of_at_most_120() -> None:
    text = report.as_text(diagnose(changed(is_root=False, namespaces__user="no")))
    assert max(map(len, text.splitlines())) <= 120
    assert "kernel.apparmor_restrict_unprivileged_userns = 0" in " ".join(text.split())


def test_the_json_carries_the_same() -> None:
    facts = changed(is_root=False)
    document = json.loads(report.as_json(diagnose(facts)))
    assert (document["exit_code"], document["status"]) == (1, "weaker")
    assert [found["check"] for found in document["findings"]] == [found.check for found in diagnose(facts)]
    user = finding(facts, "user")
    assert document["findings"][1] == {
        "check": "user",
        "status": "weaker",
        "found": user.found,
        "consequence": user.consequence,
        "remedy": user.remedy,
    }
