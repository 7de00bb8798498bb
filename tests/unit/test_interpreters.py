"""Which interpreters are found, and how little of the host they show to actions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sabayon.runtimes.manifest import find_interpreters

FOUND = """
import json
from sabayon.runtimes.manifest import find_interpreters
print(json.dumps({i.kind: [i.path, i.version, list(i.binds)] for i in find_interpreters().values()}))
"""


def found(path: Path) -> dict[str, tuple[str, str, list[list[str]]]]:
    """What a platform finds whose PATH is `path`."""
    done = subprocess.run(
        [sys.executable, "-c", FOUND], env={"PATH": str(path)}, capture_output=True, text=True, check=True
    )
    interpreters: dict[str, tuple[str, str, list[list[str]]]] = json.loads(done.stdout)
    return interpreters


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_node_in_somebodys_home_shows_nothing_else_of_that_home(tmp_path: Path) -> None:
    node = executable(tmp_path / "bin" / "node", "echo v22.3.1")
    (tmp_path / ".ssh").mkdir()
    library = tmp_path / "lib" / "libnode.so.127"
    library.parent.mkdir()
    library.touch()
    path, version, binds = found(node.parent)["nodejs:22"]
    assert (path, version) == (str(node), "22.3.1")
    assert [source for source, target in binds if source == target] == [str(node), str(library)]


def test_a_node_that_does_not_work_is_not_offered(tmp_path: Path) -> None:
    node = executable(tmp_path / "bin" / "node", "exit 1")
    assert [kind for kind in found(node.parent) if kind.startswith("nodejs:")] == []


def test_without_node_there_is_python(tmp_path: Path) -> None:
    assert list(found(tmp_path)) == [f"python:{sys.version_info.major}.{sys.version_info.minor}"]


def test_of_a_python_only_its_own_folders_are_shown() -> None:
    python = find_interpreters()[f"python:{sys.version_info.major}.{sys.version_info.minor}"]
    assert sys.base_prefix not in [source for source, _ in python.binds]
    assert {Path(source).parent for source, _ in python.binds} <= {Path(sys.base_prefix)}
