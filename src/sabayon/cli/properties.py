"""Where `wsk` finds its server and key: flags, environment, properties file, in this order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_VERSION: Final = "v1"
FILE_VARIABLE: Final = "WSK_CONFIG_FILE"


@dataclass(frozen=True)
class Config:
    """What one run works with. Empty text is absent."""

    api_host: str
    auth: str
    api_version: str
    cert: str
    key: str
    is_insecure: bool = False
    is_verbose: bool = False
    is_debug: bool = False
    is_revealing: bool = False


def properties_path(environment: Mapping[str, str]) -> Path:
    """The variable wins as soon as it exists, even when it names nothing readable."""
    if FILE_VARIABLE in environment:
        return Path(environment[FILE_VARIABLE])
    return Path(environment.get("HOME") or Path("~").expanduser()) / ".wskprops"


def read_properties(path: Path) -> dict[str, str]:
    """Keys and values; empty when there is no readable file."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return dict(pair for line in lines if (pair := _pair(line)))


def write_properties(path: Path, changes: Mapping[str, str | None]) -> None:
    """Set (or with None remove) properties, leaving everything else in the file as it is. Raises OSError.

    The file holds a key: it is readable by its owner only, and replaced as a whole.
    """
    remaining = dict(changes)
    lines = []
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            pair = _pair(line)
            if pair is None or pair[0] not in changes:
                lines.append(line)
            elif (value := remaining.pop(pair[0], None)) is not None:
                lines.append(f"{pair[0]}={value}")
    lines += [f"{key}={value}" for key, value in remaining.items() if value is not None]
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
    scratch.replace(path.resolve())


def _pair(line: str) -> tuple[str, str] | None:
    """Split at the first `=`, so that a value may hold more of them. `#` starts a comment."""
    text = line.partition("#")[0].strip()
    key, equals, value = text.partition("=")
    return (key.upper(), value) if equals else None


def resolve(flags: Mapping[str, object], environment: Mapping[str, str], properties: Mapping[str, str]) -> Config:
    """Each value from the first source that has one."""

    def first(flag: str, variable: str, name: str, default: str = "") -> str:
        given = str(flags.get(flag) or "") or (environment.get(variable, "") if variable else "")
        return given or properties.get(name, "") or default

    host_of_file = properties.get("APIHOST", "").rstrip("/")
    return Config(
        api_host=str(flags.get("apihost") or "") or environment.get("WHISK_APIHOST", "") or host_of_file,
        auth=first("auth", "WHISK_AUTH", "AUTH"),
        api_version=first("apiversion", "WHISK_APIVERSION", "APIVERSION", DEFAULT_VERSION),
        cert=first("cert", "", "CERT"),
        key=first("key", "", "KEY"),
        is_insecure=bool(flags.get("insecure")),
        is_verbose=bool(flags.get("verbose")),
        is_debug=bool(flags.get("debug")) or bool(environment.get("WSK_CLI_DEBUG")),
        is_revealing=bool(flags.get("show_secrets")),
    )
