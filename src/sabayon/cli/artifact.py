"""From a file on disk to the `exec` of an action."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sabayon.cli.failures import NOT_ALLOWED, USAGE, CommandFailed
from sabayon.cli.names import reference

WRONG: Final = "Invalid argument(s). "
NO_ARTIFACT: Final = f"{WRONG}An action name and code artifact are required."
SKELETON: Final = "openwhisk/dockerskeleton"

_KINDS: Final = {
    ".js": "nodejs:default",
    ".py": "python:default",
    ".swift": "swift:default",
    ".php": "php:default",
    ".rb": "ruby:default",
    ".rs": "rust:default",
    ".go": "go:default",
    ".jar": "java:default",
    ".balx": "ballerina:default",
}
_BINARY: Final = (".zip", ".jar", ".balx")
_EXTENSIONS: Final = {
    "nodejs": ".js",
    "python": ".py",
    "swift": ".swift",
    "php": ".php",
    "ruby": ".rb",
    "rust": ".rs",
    "go": ".go",
}
_BINARY_EXTENSIONS: Final = {"java": ".jar", "ballerina": ".balx"}


@dataclass(frozen=True)
class Flags:
    """What the command line says about an action's code. Empty text is absent."""

    kind: str = ""
    main: str = ""
    docker: str = ""
    is_native: bool = False
    is_sequence: bool = False


def exec_of(artifact: str | None, flags: Flags) -> dict[str, Any] | None:
    """The action's `exec`; None when nothing was said about code. Raises CommandFailed."""
    if flags.is_sequence:
        if artifact is None:
            raise _usage(NO_ARTIFACT)
        return {"kind": "sequence", "components": [reference(item) for item in artifact.split(",")]}
    if flags.docker and flags.kind:
        text = f"{WRONG}Cannot specify both --kind and --docker at the same time."
        raise CommandFailed(text, NOT_ALLOWED, is_hinted=True)
    if artifact is None:
        if flags.is_native:
            raise _usage(NO_ARTIFACT)
        return _with_main({"kind": "blackbox", "image": flags.docker}, flags) if flags.docker else None
    return _code_exec(artifact, flags)


def _code_exec(artifact: str, flags: Flags) -> dict[str, Any]:
    content, extension = _read(artifact), _extension(artifact)
    exec_: dict[str, Any] = {}
    if flags.kind:
        exec_["kind"] = flags.kind
    elif flags.is_native or flags.docker:
        exec_["kind"] = "blackbox"
        exec_["image"] = SKELETON if flags.is_native else flags.docker
    elif extension in _KINDS:
        exec_["kind"] = _KINDS[extension]
    elif extension == ".zip":
        raise _usage(f"{WRONG}creating an action from a .zip artifact requires specifying the action kind explicitly")
    else:
        raise _usage(f"{WRONG}'{extension}' is not a supported action runtime")
    if exec_["kind"] == "java" and not flags.main:
        raise _usage(f"{WRONG}Java actions require --main to specify the fully-qualified name of the main class")
    is_binary = extension in _BINARY
    exec_["code"] = base64.b64encode(content).decode() if is_binary else content.decode(errors="replace")
    return _with_main(exec_, flags)


def _with_main(exec_: dict[str, Any], flags: Flags) -> dict[str, Any]:
    return {**exec_, "main": flags.main} if flags.main else exec_


def _read(artifact: str) -> bytes:
    path = Path(artifact)
    if not path.is_file():
        raise _usage(f"{WRONG}File '{artifact}' is not a valid file or it does not exist")
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _usage(f"{WRONG}Unable to read the file '{artifact}': open {artifact}: {reason}") from error


def _extension(artifact: str) -> str:
    """From the last dot of the file's name, which may be its first character."""
    name = artifact.rpartition("/")[2]
    return f".{name.rpartition('.')[2]}" if "." in name else ""


def save_code(document: Any, file: str, leaf: str) -> Path:
    """Write an action's code beside the user, under `file` or a name made of the action's. Raises CommandFailed."""
    exec_ = document.get("exec") or {}
    kind, code = str(exec_.get("kind", "")), exec_.get("code")
    if kind == "sequence":
        raise _usage("Cannot save action sequences")
    if kind == "blackbox" and not code:
        raise _usage("Cannot save Docker images")
    is_binary = exec_.get("binary") is True
    family = kind.partition(":")[0]
    extension = _BINARY_EXTENSIONS.get(family, ".zip") if is_binary else _EXTENSIONS.get(family, "")
    name = file or leaf + extension
    try:
        content = base64.b64decode(code or "") if is_binary else str(code or "").encode()
    except ValueError as error:
        raise _usage("Cannot save action code: it is not base64") from error
    try:
        with Path(name).open("xb") as target:
            target.write(content)
    except FileExistsError as error:
        raise _usage(f"The file '{name}' already exists") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _usage(f"Cannot create file '{name}': open {name}: {reason}") from error
    return Path(f"{Path.cwd()}/{name}")


def _usage(text: str) -> CommandFailed:
    return CommandFailed(text, USAGE, is_hinted=True)
