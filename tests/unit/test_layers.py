"""The import graph is the architecture: it points down, and pure modules stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "sabayon"

COMMON = {"deadlines", "errors", "messages"}
ROOMS = {
    "entity": set(),
    "store": {"entity", "settings"},
    "bus": {"entity"},
    "balancer": {"bus", "entity", "runtimes"},
    "delivery": {"bus", "store", "entity"},
    "sandbox": {"runtimes"},
    "runtimes": set(),
    "invoker": {"sandbox", "runtimes", "delivery", "bus", "store", "entity"},
    "controller": {"balancer", "delivery", "bus", "store", "entity", "runtimes"},
    "client": {"entity"},
    "cli": {"client", "entity"},
    "provider": {"client", "entity"},
    "catalog": {"client", "entity"},
    "settings": {"entity"},
    "telemetry": set(),
    "newcomers": set(),
    "serving": {"newcomers"},
    "relay": set(),
    "data_directory": set(),
    "deadlines": set(),
    "messages": set(),
    "errors": set(),
}
ASSEMBLY = {
    "assembly",
    "standalone",
    "controller_app",
    "invoker_app",
    "__main__",
    "admin",
    "admin_letters",
    "admin_limits",
    "bootstrap",
    "doctor",
    "stores",
    "transfer",
    "admin_transfer",
    "__init__",
}
DRIVERS = {
    "sabayon.store.sqlite",
    "sabayon.store.memory",
    "sabayon.store.postgres",
    "sabayon.bus.memory",
    "sabayon.bus.nats",
    "sabayon.bus.intake",
    "sabayon.sandbox.native",
}
PURE = (
    "balancer/balancer.py",
    "balancer/controllers.py",
    "balancer/faults.py",
    "balancer/fleet.py",
    "balancer/health.py",
    "balancer/instructions.py",
    "balancer/loads.py",
    "balancer/placement.py",
    "balancer/ring.py",
    "balancer/sharding.py",
    "balancer/trial.py",
    "balancer/warm.py",
    "delivery/decision.py",
    "delivery/letters.py",
    "delivery/report.py",
    "bus/census.py",
    "bus/codec.py",
    "bus/custody.py",
    "bus/errands.py",
    "bus/parcels.py",
    "bus/subjects.py",
    "doctor/findings.py",
    "doctor/isolation.py",
    "doctor/report.py",
    "doctor/service.py",
    "entity/delivery.py",
    "invoker/instructions.py",
    "invoker/inventory.py",
    "invoker/keepalive.py",
    "invoker/pool.py",
    "invoker/prewarm.py",
    "invoker/stem_cells.py",
    "invoker/waiting.py",
    "invoker/outcome.py",
    "invoker/logs.py",
    "invoker/record.py",
    "provider/alarms/firing.py",
    "provider/alarms/schedule.py",
    "provider/alarms/timer.py",
    "provider/alarms/validation.py",
    "sandbox/native/shelf.py",
)
IMPURE = {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> set[str]:
    """Absolute names of all that a module imports, `from a import b` as `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_rooms_below_its_own(path: Path) -> None:
    room = room_of(path)
    if room in ASSEMBLY:
        return
    assert room in ROOMS, f"{room} has no place in the list of layers"
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("sabayon.")} - {"__version__"}
    assert rooms <= ROOMS[room] | COMMON | {room}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_assembly_sees_concrete_drivers(path: Path) -> None:
    if room_of(path) in ASSEMBLY:
        return
    own = ".".join(("sabayon", *path.relative_to(SOURCE).with_suffix("").parts))
    for name in imports_of(path):
        for driver in DRIVERS:
            if name == driver or name.startswith(f"{driver}."):
                assert own.startswith(driver), f"{own} imports the driver {name}"


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_has_no_clock_no_await_and_no_logging(module: str) -> None:
    path = SOURCE / module
    assert not {name.split(".")[0] for name in imports_of(path)} & IMPURE
    assert not any(isinstance(n, ast.Await | ast.AsyncFunctionDef) for n in ast.walk(ast.parse(path.read_text())))


def test_there_is_no_import_cycle() -> None:
    names = {".".join(("sabayon", *p.relative_to(SOURCE).with_suffix("").parts)): p for p in modules()}
    graph = {name: {target for i in imports_of(path) if (target := resolve(i, names))} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def resolve(imported: str, names: dict[str, Path]) -> str | None:
    """The module of ours that an import refers to."""
    for candidate in (imported, imported.rpartition(".")[0]):
        if candidate in names:
            return candidate
    return None
