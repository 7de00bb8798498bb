"""Groups of the second version on a real hierarchy, whatever controllers it carries here."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sabayon.sandbox.native.cgroups import Cgroups, Group, Hierarchy


@pytest.fixture
def hierarchy(as_root: None) -> Hierarchy:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    base = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    if base is None or not os.access(base, os.W_OK):
        pytest.skip("no hierarchy of the second version is mounted here")
    return Hierarchy(base, 2, frozenset({"freezer"}))


@pytest.fixture
def cgroups(hierarchy: Hierarchy) -> Iterator[Cgroups]:
    cgroups = Cgroups([hierarchy])
    cgroups.start()
    yield cgroups
    cgroups.close()


def groups_of_this_process(hierarchy: Hierarchy) -> list[Path]:
    return list(hierarchy.base.glob(f"sabayon-{os.getpid()}-*"))


def joined(group: Group) -> subprocess.Popen[bytes]:
    """A process in the group that would run for long."""
    (join,) = group.open_joins()
    try:
        script = "echo 0 >&0 && echo in && exec sleep 1000"
        return subprocess.Popen(["/bin/sh", "-c", script], stdin=join, stdout=subprocess.PIPE)
    finally:
        os.close(join)


def test_a_group_freezes_what_joined_it_and_goes_when_it_is_empty(hierarchy: Hierarchy, cgroups: Cgroups) -> None:
    group = cgroups.create("one", memory_bytes=1 << 27, processes=10, cpu_shares=512)
    (parent,) = groups_of_this_process(hierarchy)
    with joined(group) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        assert str(process.pid) in (parent / "one" / "cgroup.procs").read_text().split()
        with (parent / "one" / "cgroup.events").open() as events:
            group.freeze(is_frozen=True)
            while "frozen 1" not in events.read():
                assert select.select([], [], [events], 10)[2]
                events.seek(0)
        group.freeze(is_frozen=False)
        assert not group.try_remove()
        process.kill()
    assert group.try_remove()
    assert not (parent / "one").exists()


def test_closing_kills_what_is_in_the_groups_frozen_or_not_and_removes_them(hierarchy: Hierarchy) -> None:
    cgroups = Cgroups([hierarchy])
    cgroups.start()
    group = cgroups.create("one", memory_bytes=1 << 27, processes=10, cpu_shares=512)
    with joined(group) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        group.freeze(is_frozen=True)
        handle = os.pidfd_open(process.pid)
        cgroups.close()
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)
    cgroups.close()
    assert groups_of_this_process(hierarchy) == []


def test_what_a_platform_that_is_gone_left_is_swept_and_what_a_living_one_has_is_not(hierarchy: Hierarchy) -> None:
    gone = hierarchy.base / "sabayon-999999999-1-1"
    (gone / "left").mkdir(parents=True)
    living = Cgroups([hierarchy])
    living.start()
    other = Cgroups([hierarchy])
    other.start()
    assert not gone.exists()
    assert len(groups_of_this_process(hierarchy)) == 2
    living.close()
    other.close()
