"""A controller on a memory store and a scripted bus, driven over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from sabayon.controller.app import create_app
from sabayon.controller.services import Services
from sabayon.entity.action import Action
from sabayon.entity.exec import Exec
from sabayon.entity.identity import Identity, new_identity
from sabayon.entity.limits import ActionLimits, NamespaceLimits, SystemLimits
from sabayon.entity.manifest import Manifest, Runtime
from sabayon.entity.names import parse_name
from sabayon.entity.package import Binding, Package
from sabayon.entity.parameters import Parameter, parameter
from sabayon.entity.trigger import AttachedRule, Trigger
from sabayon.store.base import Entity, Put
from sabayon.store.memory import MemoryStore
from tests.unit.asgi import Answer, AsgiClient
from tests.unit.scripted_bus import ScriptedBus

START_MS = 1_767_225_600_000
MANIFEST = Manifest(
    {
        "python": (
            Runtime(kind="python:3.11", default=True, image="sabayon/python"),
            Runtime(kind="python:2", deprecated=True, image="sabayon/python"),
        )
    }
)


class Stage:
    """`acme` is the namespace that acts, `other` a stranger."""

    def __init__(self, limits: SystemLimits, own: NamespaceLimits, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.bus = ScriptedBus(self.store.activations, START_MS)
        self.acme = replace(new_identity("acme", "acme-dev"), limits=own)
        self.other = new_identity("other", "other-dev")
        self.services = Services(
            artifacts=self.store.artifacts,
            activations=self.store.activations,
            journal=self.store.journal,
            keys=self.store.keys,
            identities=self.store.identities,
            bus=self.bus,
            manifest=MANIFEST,
            limits=limits,
            now_ms=self.bus.now_ms,
        )
        self.client = AsgiClient(create_app(self.services))

    async def open(self) -> Stage:
        for identity in (self.acme, self.other):
            await self.store.identities.put(identity)
        return self

    async def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        by: Identity | None = None,
    ) -> Answer:
        """A request below `/api/v1/namespaces/`."""
        auth = (by or self.acme).auth_key
        path = f"/api/v1/namespaces/{path}"
        return await self.client.request(method, path, json=json, body=body, headers=headers, auth=auth)

    async def invoke(self, name: str, json: Any = None, query: str = "blocking=true", **rest: Any) -> Answer:
        """POST on an action of acme."""
        return await self.request("POST", f"_/actions/{name}?{query}", json, **rest)

    async def fire(self, name: str, json: Any = None, **rest: Any) -> Answer:
        """POST on a trigger of acme, and the end of all it started."""
        answer = await self.request("POST", f"_/triggers/{name}", json, **rest)
        await self.services.running.drain()
        return answer

    async def record(self, activation_id: str) -> Any:
        """GET on an activation of acme."""
        answer = await self.request("GET", f"_/activations/{activation_id}")
        assert answer.status == 200, answer.body
        return answer.json

    async def blocking_record(self, name: str, json: Any = None) -> Any:
        """The stored record of a blocking invocation."""
        answer = await self.invoke(name, json)
        return await self.record(answer.headers["x-openwhisk-activation-id"])

    async def write(self, entity: Entity) -> None:
        await self.store.artifacts.write([Put(entity, None)])

    async def action(self, id: str, script: Any = None, kind: str = "python:3.11", **rest: Any) -> None:
        """Store an action and what it does. parameters, annotations: plain dictionaries."""
        name = parse_name(id)
        await self.write(
            Action(
                annotations=parameters(rest.get("annotations")),
                exec=Exec(kind=kind, code="", binary=False, main=UNSET),
                limits=ActionLimits(memory=rest.get("memory", 256), timeout=rest.get("timeout", 60_000)),
                name=name.name,
                namespace=name.path,
                parameters=parameters(rest.get("parameters"), rest.get("init", ())),
                updated=START_MS,
                version="0.0.3",
            )
        )
        if script is not None:
            self.bus.scripts[id] = script

    async def sequence(self, id: str, *components: str, **rest: Any) -> None:
        name = parse_name(id)
        await self.write(
            Action(
                annotations=parameters(rest.get("annotations")),
                exec=Exec(kind="sequence", components=components),
                name=name.name,
                namespace=name.path,
                parameters=(parameter("_actions", components),),
                updated=START_MS,
                version="0.0.2",
            )
        )

    async def package(
        self, id: str, values: dict[str, Any] | None = None, *, binding: str = "", publish: bool = False
    ) -> None:
        name = parse_name(id)
        target = parse_name(binding) if binding else None
        await self.write(
            Package(
                binding=Binding(target.name, target.namespace) if target else None,
                name=name.name,
                namespace=name.namespace,
                parameters=parameters(values),
                publish=publish,
                updated=START_MS,
                version="0.0.1",
            )
        )

    async def trigger(self, id: str, values: dict[str, Any] | None = None, **rules: tuple[str, str]) -> None:
        """rules: name → (action id, status)."""
        name = parse_name(id)
        attached = {
            f"{name.namespace}/{rule}": AttachedRule(parse_name(action), "active" if status == "active" else "inactive")
            for rule, (action, status) in rules.items()
        }
        await self.write(
            Trigger(
                name=name.name,
                namespace=name.namespace,
                parameters=parameters(values),
                rules=attached or UNSET,
                updated=START_MS,
                version="0.0.5",
            )
        )


def parameters(values: dict[str, Any] | None, init: tuple[str, ...] = ()) -> tuple[Parameter, ...]:
    plain = [parameter(key, value) for key, value in (values or {}).items()]
    return tuple(Parameter(key=entry.key, value=entry.value, init=entry.key in init) for entry in plain)


def annotation(record: Any, key: str) -> Any:
    """The value of an annotation in a record's JSON, None when it is absent."""
    return {entry["key"]: entry["value"] for entry in record["annotations"]}.get(key)


Test = Callable[[Stage], Awaitable[None]]


def on_stage(test: Test) -> Callable[[], None]:
    """Make a plain test function of one that acts on a `Stage`."""
    return on_stage_with()(test)


def on_stage_with(
    limits: SystemLimits | None = None, own: NamespaceLimits | None = None
) -> Callable[[Test], Callable[[], None]]:
    """The same with other limits of the system, or of acme."""

    def decorate(test: Test) -> Callable[[], None]:
        def run() -> None:
            asyncio.run(_play(test, limits or SystemLimits(), own or NamespaceLimits()))

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return decorate


async def _play(test: Test, limits: SystemLimits, own: NamespaceLimits) -> None:
    stage = await Stage(limits, own).open()
    await test(stage)
    await asyncio.wait_for(stage.services.running.drain(), 5)
