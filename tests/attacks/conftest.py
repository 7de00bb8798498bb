"""What the attacks share: one driver, and one host full of secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.ground import prepared
from tests.conformance.sandbox_stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.run(stage.result("def main(args): return {}"))  # now all is open that stays open for good
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def ground() -> Iterator[dict[str, Any]]:
    with prepared() as arguments:
        yield arguments
