"""Cold starts with archives of a size that people deploy: 300 modules, 2.6 MB zipped, a third of them imported."""

from __future__ import annotations

import base64
import io
import random
import statistics
import time
import zipfile
from collections.abc import Iterator
from typing import Final

from bench.report import Figure
from bench.stage import Stage, at

MODULES: Final = 300
IMPORTED: Final = 100
FUNCTIONS: Final = 14
SETTLE_S: Final = 3.0
"""After which what was seen is unpacked for others: that is begun when it has been used, and takes a core."""

PYTHON: Final = f"""
import importlib
for n in range({IMPORTED}): importlib.import_module(f"lib.m{{n}}")
def main(args): return {{"n": args.get("n")}}
"""
NODEJS: Final = f"""
for (let n = 0; n < {IMPORTED}; n++) require('lib/m' + n);
exports.main = (args) => ({{ n: args.n }});
"""


def cold_archives(stage: Stage) -> Iterator[Figure]:
    """Of actions whose archive no other had, which send and unpack it; and of others with one that is there."""
    for language, kind, archive in (
        ("Python", "python:default", python_archive),
        ("Node.js", "nodejs:default", nodejs_archive),
    ):
        first = []
        for seed in range(max(3, stage.count(10))):
            first += stage.cold_ms(stage.create(f"zip-{kind[:6]}-{seed}", 1, archive(seed), kind, 256), 0)
            time.sleep(SETTLE_S)
        yield Figure(f"cold {language}, 2.6 MB archive, never seen, p50", statistics.median(first), "ms")
        later = stage.cold_ms(
            stage.create(f"zip-{kind[:6]}-seen", max(10, stage.count(30)), archive(seed), kind, 256), 0.3
        )
        yield Figure(f"cold {language}, 2.6 MB archive, seen before, p50", at(later, 0.5), "ms")


def python_archive(seed: int) -> str:
    """Base64, as an action's code is sent; another one for each seed."""
    chance = random.Random(seed)
    modules = {f"lib/m{n}.py": "".join(_python_function(chance, i) for i in range(FUNCTIONS)) for n in range(MODULES)}
    return _zipped({"__main__.py": PYTHON, "lib/__init__.py": "", **modules})


def nodejs_archive(seed: int) -> str:
    """The same in JavaScript."""
    chance = random.Random(seed)
    modules = {
        f"node_modules/lib/m{n}.js": "".join(_nodejs_function(chance, i) for i in range(FUNCTIONS))
        for n in range(MODULES)
    }
    return _zipped({"package.json": '{"main": "index.js"}', "index.js": NODEJS, **modules})


def _python_function(chance: random.Random, number: int) -> str:
    lines = [
        f"    {_word(chance)} = {{'{_word(chance)}': a, '{_word(chance)}': [b, {chance.random()}]}}\n"
        for _ in range(14)
    ]
    return f'def f{number}(a, b=None):\n    """{_prose(chance)}"""\n{"".join(lines)}    return a\n'


def _nodejs_function(chance: random.Random, number: int) -> str:
    lines = [
        f"  const {_word(chance)}{n} = {{ {_word(chance)}: a, {_word(chance)}: [b, {chance.random()}] }};\n"
        for n in range(14)
    ]
    return f"/* {_prose(chance)} */\nexports.f{number} = (a, b) => {{\n{''.join(lines)}  return a;\n}};\n"


def _prose(chance: random.Random) -> str:
    return " ".join(_word(chance) for _ in range(40))


def _word(chance: random.Random) -> str:
    """Letters that are no word of either language: it starts with a q."""
    return "q" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(4, 9)))


def _zipped(files: dict[str, str]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return base64.b64encode(buffer.getvalue()).decode()
