"""Settings: sources and their order, and errors that say what to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sabayon.errors import OperatorError
from sabayon.settings import Settings, load_settings, reference_table

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    config = tmp_path / "sabayon.toml"
    config.write_text("port = 1\nhost = '1.1.1.1'\ndrain_s = 1.5\n")
    settings = load_settings({"port": 3}, {"SABAYON_PORT": "2", "SABAYON_HOST": "2.2.2.2"}, config)
    assert (settings.port, settings.host, settings.drain_s) == (3, "2.2.2.2", 1.5)
    assert settings.max_memory_mb == Settings().max_memory_mb


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_settings({"port": None}, {"SABAYON_PORT": "2"}).port == 2


def test_the_settings_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "sabayon.toml"
    config.write_text("access_log = true\n")
    assert load_settings({}, {"SABAYON_CONFIG": str(config)}).access_log


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"SABAYON_PROT": "1"}, "unknown setting 'prot' in the environment variable SABAYON_PROT"),
        ({"SABAYON_PORT": "many"}, "port must be a whole number, not 'many'"),
        ({"SABAYON_PORT": "70000"}, "port must be between 0 and 65535"),
        ({"SABAYON_ACCESS_LOG": "perhaps"}, "access_log must be true or false"),
        ({"SABAYON_LOG_LEVEL": "loud"}, "log_level must be"),
        ({"SABAYON_EGRESS": "everything"}, "egress must be none, internet or all"),
        ({"SABAYON_MIN_MEMORY_MB": "600"}, "must be in this order"),
        ({"SABAYON_MAX_CONCURRENCY": "0"}, "max_concurrency must be at least 1"),
        ({"SABAYON_DRAIN_S": "-1"}, "drain_s must not be negative"),
        ({"SABAYON_DRAIN_S": "nan"}, "drain_s must not be negative or without end, not nan"),
        ({"SABAYON_KEEP_ALIVE_S": "inf"}, "keep_alive_s must not be negative or without end, not inf"),
        ({"SABAYON_STORE": "mysql://u:secret@h/d"}, "store must be empty or begin with postgresql://"),
        ({"SABAYON_CONFIG": "/nowhere/at/all.toml"}, "cannot read the settings file /nowhere/at/all.toml"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(environment: dict[str, str], text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        load_settings({}, environment)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("port = 3.7", "port must be a whole number, not 3.7"),
        ("port = true", "port must be a whole number, not True"),
        ("host = 7", "host must be text, not 7"),
        ("access_log = 1", "access_log must be true or false, not 1"),
        ("drain_s = [1]", r"drain_s must be a number, not \[1\]"),
    ],
)
def test_a_value_of_another_type_in_the_file_is_refused_and_not_bent(tmp_path: Path, line: str, text: str) -> None:
    config = tmp_path / "sabayon.toml"
    config.write_text(line)
    with pytest.raises(OperatorError, match=text):
        load_settings({}, {}, config)


def test_an_unknown_key_in_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    config = tmp_path / "sabayon.toml"
    config.write_text("colour = 'red'\n")
    with pytest.raises(OperatorError, match=f"unknown setting 'colour' in {config}"):
        load_settings({}, {}, config)


def test_the_limits_among_the_settings_reach_the_system_limits() -> None:
    limits = load_settings({}, {"SABAYON_MAX_MEMORY_MB": "1024", "SABAYON_MAX_PAYLOAD_KB": "64"}).system_limits()
    assert limits.memory_mb.maximum == 1024
    assert limits.payload_bytes == 65536


def test_every_setting_is_in_the_operations_manual() -> None:
    assert reference_table() in OPERATIONS.read_text()
    assert all(f"`{setting.name}`" in reference_table() for setting in dataclasses.fields(Settings))
