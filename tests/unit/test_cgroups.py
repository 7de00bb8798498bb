"""Where control groups are found and what is written to them, for tables of mounts as they occur in the wild."""

import os
from pathlib import Path

import pytest

from sabayon.sandbox.native.cgroups import Group, Hierarchy, find_hierarchies

SYSTEMD_UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n"
FIRST_VERSION = """\
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
tmpfs /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,mode=755 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,nodev,noexec,relatime,xattr,name=systemd 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,nodev,noexec,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,nodev,noexec,relatime,pids 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,nosuid,nodev,noexec,relatime,freezer 0 0
cgroup /sys/fs/cgroup/blkio cgroup rw,nosuid,nodev,noexec,relatime,blkio 0 0
"""
UNIFIED_BESIDE = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"
ALL = "cpuset cpu io memory hugetlb pids rdma misc\n"


def second_version(files: dict[str, str]):
    """Reads the files given, and what is not there as empty."""
    return lambda path: files.get(str(path), "")


def test_every_first_version_hierarchy_with_a_controller_of_ours_is_used_and_no_other() -> None:
    found = find_hierarchies(FIRST_VERSION, "4:memory:/user.slice\n")

    assert found == [
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), 1, frozenset({"cpu"})),
        Hierarchy(Path("/sys/fs/cgroup/memory"), 1, frozenset({"memory"})),
        Hierarchy(Path("/sys/fs/cgroup/pids"), 1, frozenset({"pids"})),
        Hierarchy(Path("/sys/fs/cgroup/freezer"), 1, frozenset({"freezer"})),
    ]


def test_a_hierarchy_mounted_twice_is_used_once() -> None:
    again = "cgroup /mnt/memory cgroup rw,relatime,memory 0 0\n"

    found = find_hierarchies(FIRST_VERSION + again, "")

    assert [h.base for h in found if "memory" in h.controllers] == [Path("/sys/fs/cgroup/memory")]


def test_the_second_version_alone_carries_everything_and_can_always_freeze() -> None:
    read = second_version({"/sys/fs/cgroup/cgroup.controllers": ALL})

    found = find_hierarchies(SYSTEMD_UNIFIED, "0::/\n", read)

    assert found == [Hierarchy(Path("/sys/fs/cgroup"), 2, frozenset({"memory", "pids", "cpu", "io", "freezer"}))]


def test_a_second_version_hierarchy_without_controllers_beside_the_first_version_is_left_alone() -> None:
    found = find_hierarchies(FIRST_VERSION + UNIFIED_BESIDE, "0::/\n", second_version({}))

    assert {h.version for h in found} == {1}


def test_a_controller_that_only_the_second_version_carries_is_taken_from_there() -> None:
    without_pids = "".join(line for line in FIRST_VERSION.splitlines(keepends=True) if "pids" not in line)
    read = second_version({"/sys/fs/cgroup/unified/cgroup.controllers": "pids\n"})

    found = find_hierarchies(without_pids + UNIFIED_BESIDE, "0::/\n", read)

    assert Hierarchy(Path("/sys/fs/cgroup/unified"), 2, frozenset({"pids", "freezer"})) in found


@pytest.mark.parametrize(
    ("processes", "base"),
    [
        (f"{os.getpid()}\n", "/sys/fs/cgroup/system.slice/sabayon.service"),
        (f"1234\n{os.getpid()}\n", "/sys/fs/cgroup"),
    ],
    ids=["alone in it", "with others in it"],
)
def test_the_group_of_a_service_is_divided_only_by_the_one_process_that_is_in_it(processes: str, base: str) -> None:
    own = "/sys/fs/cgroup/system.slice/sabayon.service"
    read = second_version(
        {
            f"{own}/cgroup.procs": processes,
            f"{own}/cgroup.controllers": ALL,
            "/sys/fs/cgroup/cgroup.controllers": ALL,
        }
    )

    found = find_hierarchies(SYSTEMD_UNIFIED, "0::/system.slice/sabayon.service\n", read)

    assert [h.base for h in found] == [Path(base)]


def test_a_machine_without_control_groups_has_no_hierarchies() -> None:
    assert find_hierarchies("proc /proc proc rw 0 0\n", "") == []


def test_a_mount_point_with_a_space_in_it_is_understood() -> None:
    found = find_hierarchies("cgroup /mnt/my\\040groups cgroup rw,memory 0 0\n", "")

    assert [h.base for h in found] == [Path("/mnt/my groups")]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            1,
            {
                "memory.limit_in_bytes": "1048576",
                "memory.memsw.limit_in_bytes": "1048576",
                "pids.max": "7",
                "cpu.shares": "512",
            },
        ),
        (
            2,
            {
                "memory.max": "1048576",
                "memory.swap.max": "0",
                "memory.oom.group": "1",
                "pids.max": "7",
                "cpu.weight": "50",
                "io.weight": "50",
            },
        ),
    ],
)
def test_limits_are_written_in_the_words_of_each_version(
    tmp_path: Path, version: int, expected: dict[str, str]
) -> None:
    for name in expected:
        (tmp_path / name).touch()
    controllers = frozenset({"memory", "pids", "cpu"} | ({"io"} if version == 2 else set()))
    group = Group([(Hierarchy(tmp_path.parent, version, controllers), tmp_path)])

    group.limit(memory_bytes=1 << 20, processes=7, cpu_shares=512)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == expected


def test_a_hard_limit_that_cannot_be_written_is_an_error_and_not_a_group_without_limits(tmp_path: Path) -> None:
    group = Group([(Hierarchy(tmp_path.parent, 2, frozenset({"memory"})), tmp_path)])

    with pytest.raises(OSError, match=r"memory\.max"):
        group.limit(memory_bytes=1 << 20, processes=7, cpu_shares=512)


@pytest.mark.parametrize(
    ("version", "file", "text", "was_killed"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        (2, "memory.events", "low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\noom_group_kill 0\n", False),
        (2, "memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n", True),
    ],
)
def test_a_kill_for_memory_is_seen_in_both_versions(
    tmp_path: Path, version: int, file: str, text: str, was_killed: bool
) -> None:
    (tmp_path / file).write_text(text)
    group = Group([(Hierarchy(tmp_path.parent, version, frozenset({"memory"})), tmp_path)])

    assert group.was_out_of_memory() is was_killed


@pytest.mark.parametrize(
    ("version", "file", "frozen", "thawed"),
    [(1, "freezer.state", "FROZEN", "THAWED"), (2, "cgroup.freeze", "1", "0")],
)
def test_freezing_and_thawing_use_the_words_of_each_version(
    tmp_path: Path, version: int, file: str, frozen: str, thawed: str
) -> None:
    state = tmp_path / file
    state.touch()
    group = Group([(Hierarchy(tmp_path.parent, version, frozenset({"freezer"})), tmp_path)])

    group.freeze(is_frozen=True)
    assert state.read_text() == frozen
    state.write_text("")
    group.freeze(is_frozen=False)
    assert state.read_text() == thawed
