"""Settings: defaults, then a TOML file, then `SABAYON_*`, then flags; frozen once read.

Each setting is declared once, as a field with its default and its help; its key in the
file is the field's name, its variable `SABAYON_` and the name in upper case.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_type_hints

from sabayon.entity.limits import MB, Bounds, SystemLimits
from sabayon.errors import OperatorError

PREFIX: Final = "SABAYON_"
CONFIG_VARIABLE: Final = "SABAYON_CONFIG"
_DATA_DIR: Final = Path("~/.local/share/sabayon")


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can choose. Sizes are in MB of 1,048,576 bytes, times in the unit of the name."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(3233, "TCP port to listen on; 0 takes a free one")
    data_dir: Path = field(default=_DATA_DIR, metadata={"help": "where everything that lasts is kept"})
    store: str = _setting("", "postgresql://… of a PostgreSQL database; empty keeps all in the data directory (SQLite)")
    activation_retention: int = _setting(7, "days for which activation records are kept; 0 keeps them for ever")
    guest_key: str = _setting("", "UUID:KEY of the namespace guest; empty keeps or makes a random one")
    sandbox: str = _setting("native", "isolation driver: native")
    egress: str = _setting("internet", "the most that actions reach besides the API: none, internet or all")
    dependency_sets: str = _setting("", "folder of the sets of packages that actions can have imported; empty for none")
    bus: str = _setting("", "nats://[USER:PASSWORD@]HOST[:PORT] of the bus between machines, several with commas")
    bus_tls_ca: str = _setting("", "file of the authorities that vouch for the bus; with it all is encrypted")
    bus_credentials: str = _setting("", "file with USER:PASSWORD for the bus, so that its address need not hold them")
    installation: str = _setting("main", "name of the installation, which others on the same bus do not have")
    name: str = _setting("", "name of this invoker, which it keeps when it is started again; empty for the host's")
    api: str = _setting("", "where actions on this invoker reach the API: http://HOST:PORT; empty for nowhere")
    log_level: str = _setting("info", "debug, info, warning or error")
    access_log: bool = _setting(False, "one log line for each request")
    drain_s: float = _setting(10.0, "at shutdown, how long running activations may take to finish")

    pool_memory_mb: int = _setting(0, "memory limits of all containers together; 0 takes half of the machine's memory")
    keep_alive_s: float = _setting(600.0, "how long an idle container is kept")
    pause_grace_s: float = _setting(10.0, "how long an idle container stays unpaused")
    stem_cells: int = _setting(2, "containers kept ready without code of each class, at the start; 0 keeps none")
    stem_cell_classes: str = _setting("", "classes of stem cells; empty is Node.js with the default memory limit")
    code_cache_mb: int = _setting(256, "memory for unpacked archives that containers share; 0 shares none")

    alarms_seconds: bool = _setting(True, "whether cron patterns of timers may name seconds")
    alarms_spread_s: int = _setting(0, "over how many seconds timers without seconds are spread, 0 to 59")
    alarms_strict: bool = _setting(False, "whether timers that do not say so are left out of the spreading")

    invocations_per_minute: int = _setting(100_000, "invocations a minute of one namespace")
    concurrent_invocations: int = _setting(1_000, "invocations in flight of one namespace")
    fires_per_minute: int = _setting(100_000, "trigger fires a minute of one namespace")
    accepted_in_flight: int = _setting(10_000, "activations in flight beyond which nothing is accepted for later")
    shared_packages_execute_only: bool = _setting(False, "let namespaces run, but not read, what others share")
    sequence_length: int = _setting(50, "actions in a sequence, nested ones included")
    min_timeout_ms: int = _setting(100, "least time limit of an action")
    max_timeout_ms: int = _setting(300_000, "greatest time limit of an action")
    default_timeout_ms: int = _setting(60_000, "time limit of an action that sets none")
    min_memory_mb: int = _setting(128, "least memory limit of an action")
    max_memory_mb: int = _setting(512, "greatest memory limit of an action")
    default_memory_mb: int = _setting(256, "memory limit of an action that sets none")
    min_logs_mb: int = _setting(0, "least log limit of an action")
    max_logs_mb: int = _setting(10, "greatest log limit of an action")
    default_logs_mb: int = _setting(10, "log limit of an action that sets none")
    max_concurrency: int = _setting(500, "greatest number of activations that one container of an action takes at once")
    max_code_mb: int = _setting(48, "greatest code of an action, as it is sent")
    max_parameters_kb: int = _setting(1024, "greatest parameters of one entity")
    max_payload_kb: int = _setting(1024, "greatest argument and result of an activation")
    truncation_kb: int = _setting(1024, "how much of a result that is too long is kept")
    default_list: int = _setting(30, "items of a list when no limit is asked for")
    max_list: int = _setting(200, "greatest number of items of a list")

    def system_limits(self) -> SystemLimits:
        """The limits among the settings, as the controller and the invoker use them."""
        return SystemLimits(
            timeout_ms=Bounds(self.min_timeout_ms, self.max_timeout_ms, self.default_timeout_ms),
            memory_mb=Bounds(self.min_memory_mb, self.max_memory_mb, self.default_memory_mb),
            logs_mb=Bounds(self.min_logs_mb, self.max_logs_mb, self.default_logs_mb),
            concurrency=Bounds(1, self.max_concurrency, 1),
            code_bytes=self.max_code_mb * MB,
            parameters_bytes=self.max_parameters_kb * 1024,
            payload_bytes=self.max_payload_kb * 1024,
            truncation_bytes=self.truncation_kb * 1024,
            sequence_length=self.sequence_length,
            list_standard=self.default_list,
            list_maximum=self.max_list,
            invocations_per_minute=self.invocations_per_minute,
            concurrent_invocations=self.concurrent_invocations,
            fires_per_minute=self.fires_per_minute,
        )


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Read all sources. `flags` with value None count as not given. Raises OperatorError, also for unknown settings."""
    path = config or (Path(text) if (text := environment.get(CONFIG_VARIABLE)) else None)
    merged = {
        **(_from_file(path) if path else {}),
        **_from_environment(environment),
        **{name: value for name, value in flags.items() if value is not None},
    }
    settings = Settings(**{name: _typed(name, value) for name, value in merged.items()})
    _check(settings)
    return dataclasses.replace(settings, data_dir=settings.data_dir.expanduser().absolute())


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise OperatorError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"the settings file {path} is not TOML: {error}") from error
    for name in content:
        _known(name, f"in {path}")
    return content


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {k: v for k, v in environment.items() if k.startswith(PREFIX) and k != CONFIG_VARIABLE}
    for variable in found:
        _known(variable.removeprefix(PREFIX).lower(), f"in the environment variable {variable}")
    return {variable.removeprefix(PREFIX).lower(): value for variable, value in found.items()}


def _known(name: str, where: str) -> None:
    if name not in Settings.__dataclass_fields__:
        raise OperatorError(f"unknown setting {name!r} {where}; the settings are listed in docs/operations.md")


def _typed(name: str, value: Any) -> Any:
    wanted = get_type_hints(Settings)[name]
    try:
        if not isinstance(value, _ACCEPTED[wanted]) or (isinstance(value, bool) and wanted is not bool):
            raise TypeError
        return _BOOLEANS[str(value).lower()] if wanted is bool else wanted(value)
    except (KeyError, TypeError, ValueError) as error:
        raise OperatorError(f"the setting {name} must be {_EXPECTED[wanted]}, not {value!r}") from error


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_ACCEPTED = {bool: bool | str, int: int | str, float: int | float | str, str: str, Path: str | Path}
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def _check(settings: Settings) -> None:
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise OperatorError(f"the setting log_level must be debug, info, warning or error, not {settings.log_level!r}")
    if settings.alarms_spread_s > 59:
        raise OperatorError(f"the setting alarms_spread_s must be between 0 and 59, not {settings.alarms_spread_s}")
    if settings.egress not in ("none", "internet", "all"):
        raise OperatorError(f"the setting egress must be none, internet or all, not {settings.egress!r}")
    if settings.store and not settings.store.startswith(("postgresql://", "postgres://")):
        raise OperatorError(
            "the setting store must be empty or begin with postgresql://"
        )  # not shown: it has a password
    if not 0 <= settings.port <= 65535:
        raise OperatorError(f"the setting port must be between 0 and 65535, not {settings.port}")
    for stem in ("timeout_ms", "memory_mb", "logs_mb"):
        low, standard, high = (getattr(settings, f"{bound}_{stem}") for bound in ("min", "default", "max"))
        if not 0 <= low <= standard <= high:
            raise OperatorError(f"the settings min_{stem}, default_{stem} and max_{stem} must be in this order")
    if settings.max_concurrency < 1:
        raise OperatorError("the setting max_concurrency must be at least 1, which is one activation at a time")
    for setting in dataclasses.fields(settings):
        value = getattr(settings, setting.name)
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise OperatorError(f"the setting {setting.name} must not be negative or without end, not {value}")


def machine_memory_mb() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB


def reference_table() -> str:
    """All settings as the table of the operations manual."""
    rows = [f"| `{s.name}` | `{s.default}` | {s.metadata['help']} |" for s in dataclasses.fields(Settings)]
    return "\n".join(["| Setting | Default | Meaning |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(reference_table())
