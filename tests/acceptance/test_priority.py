"""The platform goes before what it runs, where it may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.running import running

CODE = """
import os
def main(args):
    return {"niceness": os.getpriority(os.PRIO_PROCESS, 0)}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may go before others")
def test_the_platform_has_a_priority_that_actions_do_not_have(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        assert os.getpriority(os.PRIO_PROCESS, platform.process.pid) < 0
        platform.create_action("priority", CODE)
        answer = platform.invoke("priority", {})
        assert answer.json["response"]["result"] == {"niceness": 0}
