"""More actions than the platform's open files suffice for: containers make way, and nobody sees a failure."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.running import running

OPEN_FILES = 400
ACTIONS = 80
"""Five descriptors each would be as many as there are."""


def test_actions_that_there_are_no_descriptors_left_for_run_in_the_place_of_idle_ones(tmp_path: Path) -> None:
    with running(tmp_path, open_files=OPEN_FILES) as platform:
        for number in range(ACTIONS):
            platform.create_action(f"a{number}", f"def main(args):\n    return {{'number': {number}}}\n")
        for number in range(ACTIONS):
            assert platform.invoke(f"a{number}", {}).json["response"]["result"] == {"number": number}
        assert platform.invoke("a0", {}).json["response"]["result"] == {"number": 0}
