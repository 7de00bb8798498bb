"""A library whose import takes about 100 ms, as a dependency set and as part of an action's archive."""

from __future__ import annotations

import base64
import compileall
import io
import zipfile
from pathlib import Path

NAME = "heavy"
MODULES = 20
CLASSES = 10
"""Data classes in each module; each takes about half a millisecond to make."""


def _sources() -> dict[str, str]:
    fields = "".join(f"    field{n}: int = {n}\n" for n in range(8))
    classes = "".join(f"@dataclass(order=True)\nclass Class{n}:\n{fields}\n" for n in range(CLASSES))
    modules = {f"{NAME}/part{n}.py": f"from dataclasses import dataclass\n\n{classes}" for n in range(MODULES)}
    imports = "".join(f"from {NAME} import part{n}\n" for n in range(MODULES))
    return {f"{NAME}/__init__.py": imports, **modules}


def write_set(folder: Path) -> None:
    """The set named as the library, compiled as an installer leaves it."""
    for name, source in _sources().items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    compileall.compile_dir(folder, quiet=1)


def archive(main: str) -> str:
    """The code of an action that brings the library along."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, source in {"__main__.py": main, **_sources()}.items():
            zipped.writestr(name, source)
    return base64.b64encode(buffer.getvalue()).decode()
