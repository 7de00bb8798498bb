"""One driver for all tests that do not disturb it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.sandbox_stage import Stage
from tests.conformance.store_session import Session, session_on


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def as_root() -> None:
    """For what only root's cgroups and users can promise."""
    if os.geteuid():
        pytest.skip("an ordinary user's driver has neither cgroups nor users to give")


@pytest.fixture
def nodejs(stage: Stage) -> str:
    if not stage.nodejs:
        if os.environ.get("CI"):
            pytest.fail("there is no `node` on the PATH; scripts/setup installs it")
        pytest.skip("there is no `node` on the PATH")
    return stage.nodejs


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    """Runs a coroutine function with an open store of the driver under test."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return session_on(request.param, tmp_path / "test.db", url)
