"""The platform goes before what it runs, where it may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import running

CODE = """
import os
def main(args):
    return {"niceness": os.getpriority(os.PRIO_PROCESS, 0)}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may go before others")
@pytest.mark.parametrize("niceness", [0, 10])
def test_the_platform_has_a_priority_that_actions_do_not_have(tmp_path: Path, niceness: int) -> None:
    with as_nice_as(niceness), running(tmp_path) as platform:
        assert os.getpriority(os.PRIO_PROCESS, platform.process.pid) < 0
        platform.create_action("priority", CODE)
        answer = platform.invoke("priority", {})
        assert answer.json["response"]["result"] == {"niceness": niceness}


@contextmanager
def as_nice_as(niceness: int) -> Iterator[None]:
    """This process, and those that it starts."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
