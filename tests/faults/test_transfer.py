"""An installation moves whole between stores, and a copy of a running one is whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sabayon.data_directory import DATABASE
from sabayon.entity.action import Action
from sabayon.entity.identity import new_identity
from sabayon.store.base import Filter, Letter, Put
from sabayon.stores import open_store
from tests.acceptance.running import BIN, environment_of, running
from tests.conformance.test_store import action, activation, package, stored, trigger

ECHO = "def main(args):\n    return args\n"
IDENTITY = new_identity("ns")


def sabayon(home: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "sabayon", *args]
    return subprocess.run(command, env=environment_of(home), capture_output=True, text=True, timeout=60)


def succeeded(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    return line


@contextlib.asynccontextmanager
async def opened(place: Path | str, data_dir: Path) -> Any:
    """The store of a data directory, or of the URL of a database."""
    os.makedirs(data_dir, exist_ok=True)
    url = str(place) if place != data_dir else ""
    async with contextlib.aclosing(await open_store(url, data_dir, is_alone=True)) as store:
        yield store


async def fill(store: Any) -> None:
    await store.identities.put(IDENTITY)
    await store.artifacts.write([Put(e, None) for e in (action("a", code="café"), package("p"), trigger("t"))])
    await store.artifacts.write([Put(action("b", "ns/p", code=None), None)])
    await store.ledger("alarms").put("ns/t", bytes(range(256)))
    await asyncio.gather(*(store.activations.put(stored(activation(n, start=n))) for n in range(1_200)))
    for number in (3_001, 3_000):
        await store.journal.append(f"{number:032x}", b"\x00\xff", namespace="ns")
    await store.journal.append(f"{3_002:032x}", b"later", namespace="ns", due_ms=2**40, attempts=2)
    for number in (4_000, 4_001):
        summary = msgspec.json.encode({"activationId": f"{number:032x}"})
        await store.dead_letters.put(Letter(f"{number:032x}", "ns", summary, b"\x00\xff"))


async def contents(store: Any) -> Any:
    """All that a client or the platform could see."""
    documents = [await store.artifacts.read(id) for id in ("ns/a", "ns/p", "ns/t", "ns/p/b")]
    listed = await store.activations.list("ns", Filter(), skip=1_000, limit=200)
    return {
        "identities": await store.identities.all(),
        "entities": [document.entity for document in documents],
        "code": [await store.artifacts.read_code(d.entity.entity_name.id, d.revision) for d in documents],
        "actions": await store.artifacts.count(Action, "ns"),
        "timers": await store.ledger("alarms").load(),
        "records": [await store.activations.count("ns", Filter()), listed],
        "record": await store.activations.read("ns", f"{7:032x}"),
        "journal": sorted(await store.journal.entries()),
        "letters": [await store.dead_letters.read("ns", f"{number:032x}") for number in (4_000, 4_001)],
    }


@pytest.mark.parametrize("way", ["sqlite-postgres", "postgres-sqlite", "sqlite-sqlite"])
def test_an_installation_arrives_whole_in_another_store(way: str, request: Any, tmp_path: Path) -> None:
    source, _, target = way.partition("-")
    home = {"from": tmp_path / "from", "to": tmp_path / "to"}
    place: dict[str, Path | str] = {
        end: request.getfixturevalue("postgres_url") if store == "postgres" else home[end]
        for end, store in (("from", source), ("to", target))
    }

    async def filled() -> Any:
        async with opened(place["from"], home["from"]) as store:
            await fill(store)
            return await contents(store)

    async def found() -> Any:
        async with opened(place["to"], home["to"]) as store:
            return await contents(store)

    def where(end: str) -> list[str | Path]:
        return ["--data-dir", home[end], *(["--store", place[end]] if place[end] != home[end] else [])]

    before = asyncio.run(filled())
    told = succeeded(sabayon(tmp_path, "export", tmp_path / "out", *where("from")))
    assert told == "exported 4 entities, 1 ledgers, 1200 activations, 3 journal, 2 dead-letters, 1 identities\n"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}
    succeeded(sabayon(tmp_path, "import", tmp_path / "out", *where("to")))
    assert asyncio.run(found()) == before
    assert "there is an installation already" in refusal(sabayon(tmp_path, "import", tmp_path / "out", *where("to")))


def test_a_damaged_export_is_refused_and_makes_no_installation(tmp_path: Path) -> None:
    async def filled() -> None:
        async with opened(tmp_path / "from", tmp_path / "from") as store:
            await fill(store)

    asyncio.run(filled())
    succeeded(sabayon(tmp_path, "export", tmp_path / "out", "--data-dir", tmp_path / "from"))
    assert "exists already" in refusal(sabayon(tmp_path, "export", tmp_path / "out", "--data-dir", tmp_path / "from"))
    records = tmp_path / "out" / "activations.jsonl"
    whole = records.read_bytes()
    records.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    line = refusal(sabayon(tmp_path, "import", tmp_path / "out", "--data-dir", tmp_path / "to"))
    assert "is not whole: it has 1199 lines of 1200" in line
    (tmp_path / "out" / "manifest.json").unlink()
    line = refusal(sabayon(tmp_path, "import", tmp_path / "out", "--data-dir", tmp_path / "to"))
    assert "is no whole export" in line
    assert succeeded(sabayon(tmp_path, "namespace", "list", "--data-dir", tmp_path / "to")) == ""


def test_a_running_platform_is_not_exported_but_backed_up(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        platform.create_action("echo", ECHO)
        id = platform.invoke("echo", {"n": 1}).json["activationId"]
        assert "is in use by another instance" in refusal(platform.sabayon("export", str(tmp_path / "out")))
        platform.request("GET", "/namespaces/_/activations")  # until the database has the record
        succeeded(platform.sabayon("backup", str(tmp_path / "copy.db")))
        assert "cannot make" in refusal(platform.sabayon("backup", str(tmp_path / "copy.db")))
        platform.kill()
        auth = platform.auth
    (tmp_path / "other" / "data").mkdir(parents=True)
    os.rename(tmp_path / "copy.db", tmp_path / "other" / "data" / DATABASE)
    with running(tmp_path / "other") as restored:
        assert restored.auth == auth
        assert restored.record(id)["response"]["result"] == {"n": 1}
        assert msgspec.json.decode(restored.invoke("echo", {"n": 2}).body)["response"]["result"] == {"n": 2}
