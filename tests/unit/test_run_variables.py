"""The environment variables of one run after the other, as the action and its children see them."""

from __future__ import annotations

import os
import subprocess
import sys

PRELUDE = """
import os, subprocess, sys
from sabayon.runtimes.python.variables import set_variable
def child(name):
    return subprocess.run(["/usr/bin/env"], capture_output=True, text=True).stdout.count(name + "\\n")
"""


def run(code: str) -> None:
    """In a process of its own, whose environment may be spoilt."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_variable_has_its_latest_value_here_and_in_children() -> None:
    run("""
for value in ("first", "second", "third, which is much longer than all that were there before it, by far", "4", ""):
    set_variable(b"__OW_X", value)
    assert os.environ["__OW_X"] == value
    assert child("__OW_X=" + value) == 1
""")


def test_a_variable_that_the_action_changed_or_removed_is_there_again_with_the_next_run() -> None:
    run("""
set_variable(b"__OW_X", "one")
os.environ["__OW_X"] = "mine"
set_variable(b"__OW_X", "two")
assert os.environ["__OW_X"] == "two" and child("__OW_X=two") == 1
del os.environ["__OW_X"]
set_variable(b"__OW_X", "two")
assert os.environ["__OW_X"] == "two" and child("__OW_X=two") == 1
os.environ.clear()
set_variable(b"__OW_X", "one")
assert os.environ["__OW_X"] == "one" and child("__OW_X=one") == 1
""")


def test_an_action_may_put_something_else_in_the_place_of_the_environment() -> None:
    run("""
os.environ = dict(os.environ)
set_variable(b"__OW_X", "one")
assert os.environ["__OW_X"] == "one"
""")


def test_a_hundred_thousand_runs_cost_no_memory() -> None:
    run("""
def resident_kb():
    return int(open("/proc/self/statm").read().split()[1]) * 4
set_variable(b"__OW_ACTIVATION_ID", "%032x" % 0)
before = resident_kb()
for number in range(100_000):
    set_variable(b"__OW_ACTIVATION_ID", "%032x" % number)
assert resident_kb() - before < 1024
""")
