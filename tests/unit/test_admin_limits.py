"""`sabayon namespace limits`: what is set is in force, is shown, and can be taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from sabayon.__main__ import cli
from sabayon.admin_limits import LIMITS
from sabayon.data_directory import DATABASE
from sabayon.entity.identity import new_identity
from sabayon.entity.limits import NamespaceLimits
from sabayon.store.sqlite import SqliteStore

STANDARD = {
    "invocations-per-minute": "100000",
    "concurrent-invocations": "1000",
    "fires-per-minute": "100000",
    "min-action-timeout": "100 ms",
    "max-action-timeout": "300000 ms",
    "min-action-memory": "128 MB",
    "max-action-memory": "512 MB",
    "min-action-logs": "0 MB",
    "max-action-logs": "10 MB",
    "min-action-concurrency": "1",
    "max-action-concurrency": "500",
    "max-parameter-size": "1048576 B",
    "max-payload-size": "1048576 B",
    "truncation-size": "1048576 B",
    "allowed-kinds": "all",
    "store-activations": "yes",
    "warmed-container-keeping-count": "0",
    "warmed-container-keeping-timeout": "0 s",
}


class Operator:
    """Somebody at the shell, with the data of a platform that knows the namespace acme."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def limits(self, *arguments: str) -> str:
        """What `sabayon namespace limits …` prints; its exit code is 0."""
        result = self.run(*arguments)
        assert result[0] == 0, result[1]
        return result[1]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output."""
        command = ["namespace", "limits", *arguments, "--data-dir", str(self.data_dir)]
        result = CliRunner().invoke(cli, command)
        return result.exit_code, result.output + str(result.exception or "")

    def shown(self) -> dict[str, str]:
        """Limit → value, and whether it is overridden."""
        lines = (line.split("\t", 1) for line in self.limits("get", "acme").splitlines())
        return {option: value.replace("\t", " ") for option, value in lines}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    async def prepare() -> None:
        store = await SqliteStore.open(tmp_path / DATABASE)
        await store.identities.put(new_identity("acme", "acme-dev"))
        await store.aclose()

    asyncio.run(prepare())
    return Operator(tmp_path)


def test_every_limit_of_a_namespace_can_be_set() -> None:
    assert {limit.field for limit in LIMITS} == set(NamespaceLimits.__struct_fields__)


def test_without_overrides_the_limits_are_those_of_the_platform(operator: Operator) -> None:
    assert operator.shown() == STANDARD


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("invocations-per-minute", "200000", "200000"),
        ("concurrent-invocations", "5", "5"),
        ("fires-per-minute", "0", "0"),
        ("min-action-timeout", "200", "200 ms"),
        ("max-action-timeout", "1000", "1000 ms"),
        ("max-action-timeout", "400000", "300000 ms"),
        ("min-action-memory", "256", "256 MB"),
        ("max-action-memory", "256", "256 MB"),
        ("min-action-logs", "1", "1 MB"),
        ("max-action-logs", "5", "5 MB"),
        ("min-action-concurrency", "2", "2"),
        ("max-action-concurrency", "20", "20"),
        ("max-action-concurrency", "501", "500"),
        ("max-parameter-size", "2048", "2048 B"),
        ("max-payload-size", "512KB", "524288 B"),
        ("truncation-size", "1 kb", "1024 B"),
        ("allowed-kinds", "python:3.11, sequence", "python:3.11,sequence"),
        ("allowed-kinds", "", "none"),
        ("store-activations", "no", "no"),
        ("warmed-container-keeping-timeout", "90", "90 s"),
    ],
)
def test_a_limit_that_is_set_is_shown_as_far_as_the_platform_allows_it(
    operator: Operator, option: str, value: str, shown: str
) -> None:
    assert operator.limits("set", "acme", f"--{option}", value) == "updated limits of acme\n"
    assert operator.shown()[option] == f"{shown} (override)"


def test_limits_not_given_stay_and_overrides_can_be_taken_back(operator: Operator) -> None:
    operator.limits("set", "acme", "--fires-per-minute", "1", "--max-action-memory", "256")
    operator.limits("set", "acme", "--max-action-logs", "5")
    operator.limits("reset", "acme", "fires-per-minute", "max-action-logs")
    assert operator.shown() == {**STANDARD, "max-action-memory": "256 MB (override)"}
    operator.limits("reset", "acme")
    assert operator.shown() == STANDARD


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("set", "acme"), "no limit given"),
        (("set", "acme", "--max-payload-size", "5 TB"), "'5 TB' is not a size such as 1048576, 512KB or 1MB"),
        (("set", "acme", "--max-payload-size", "4GB"), "'4GB' is not a size"),
        (("set", "acme", "--fires-per-minute", "-1"), "-1 is not in the range"),
        (("set", "nobody", "--fires-per-minute", "1"), "there is no namespace 'nobody'"),
        (("reset", "acme", "speed"), "'speed' is not one of"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason(
    operator: Operator, arguments: tuple[str, ...], reason: str
) -> None:
    exit_code, output = operator.run(*arguments)
    assert exit_code != 0
    assert reason in output
    assert operator.shown() == STANDARD


def test_identities_written_before_a_limit_existed_can_still_be_read() -> None:
    assert msgspec.json.decode(b'{"invocationsPerMinute":5}', type=NamespaceLimits) == NamespaceLimits(
        invocations_per_minute=5
    )
