"""A real platform for the tests: started as a user starts it, on a free port and a fresh directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Platform, running
from tests.servers.postgres import PostgresServer, binary


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform shared by the tests that do not disturb it."""
    with running(tmp_path_factory.mktemp("platform")) as started:
        yield started


@pytest.fixture
def fresh_platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform of the test's own, to stop, kill or fill."""
    with running(tmp_path) as started:
        yield started


@contextlib.contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """A server for a while. Without Debian's package the test is skipped, or fails where all must run (CI is set)."""
    if binary("initdb") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no PostgreSQL server; scripts/setup dev installs it")
        pytest.skip("there is no PostgreSQL server (Debian's package postgresql)")
    server = PostgresServer(*options)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server shared by the tests that do not disturb it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A new database on it."""
    return postgres.create_database()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to stop, kill or fill."""
    with postgres_server() as server:
        yield server
