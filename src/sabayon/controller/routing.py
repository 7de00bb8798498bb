"""From method and path to a handler.

Under `/api/v1` a method that a path does not know is the same 404 as a path that does not
exist. Names are checked only on paths that do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final, NamedTuple

from sabayon import messages
from sabayon.controller.actions import delete_action, list_actions, list_package_actions, put_action, read_action
from sabayon.controller.activations import (
    list_activations,
    read_activation,
    read_activation_logs,
    read_activation_result,
)
from sabayon.controller.call import Call
from sabayon.controller.cancelling import cancel_activation
from sabayon.controller.entitlement import Entitlement, Right
from sabayon.controller.fire import fire_trigger
from sabayon.controller.http import Response, no_route
from sabayon.controller.invoke import invoke_action
from sabayon.controller.namespaces import list_namespaces, read_limits
from sabayon.controller.packages import delete_package, list_packages, put_package, read_package
from sabayon.controller.rules import delete_rule, list_rules, put_rule, read_rule, set_rule_status
from sabayon.controller.triggers import delete_trigger, list_triggers, put_trigger, read_trigger
from sabayon.entity.identity import Identity
from sabayon.entity.names import DEFAULT_NAMESPACE, EntityName, check_activation_id, check_name, check_namespace
from sabayon.errors import Rejection

Handler = Callable[[Call], Awaitable[Response]]


class Route(NamedTuple):
    """Where a request goes. collection: empty for what has no entitlement check of its own."""

    handler: Handler
    collection: str
    namespace: str
    parts: tuple[str, ...]
    right: Right

    @property
    def is_invocation(self) -> bool:
        return self.handler is invoke_action

    @property
    def is_fire(self) -> bool:
        return self.handler is fire_trigger

    async def check(self, entitlement: Entitlement, identity: Identity) -> None:
        """Raises Rejection unless `identity` has the right on what is addressed."""
        if self.handler is list_package_actions:
            name = EntityName("", f"{self.namespace}/{self.parts[0]}")
            await entitlement.check_entity(identity, Right.READ, "actions", name)
        elif self.parts:
            name = EntityName(self.parts[-1], "/".join((self.namespace, *self.parts[:-1])))
            await entitlement.check_entity(identity, self.right, self.collection, name)
        elif self.collection and self.collection != "packages":
            await entitlement.check_collection(identity, self.namespace)


_LISTS: Final[dict[str, Handler]] = {
    "actions": list_actions,
    "packages": list_packages,
    "triggers": list_triggers,
    "rules": list_rules,
    "activations": list_activations,
    "limits": read_limits,
}
_ENTITIES: Final[dict[str, dict[str, Handler]]] = {
    "actions": {"GET": read_action, "PUT": put_action, "DELETE": delete_action, "POST": invoke_action},
    "packages": {"GET": read_package, "PUT": put_package, "DELETE": delete_package},
    "triggers": {"GET": read_trigger, "PUT": put_trigger, "DELETE": delete_trigger, "POST": fire_trigger},
    "rules": {"GET": read_rule, "PUT": put_rule, "DELETE": delete_rule, "POST": set_rule_status},
}
_ACTIVATION_PARTS: Final[dict[tuple[str, ...], Handler]] = {
    (): read_activation,
    ("",): read_activation,
    ("logs",): read_activation_logs,
    ("result",): read_activation_result,
}


@lru_cache(4096)
def find_route(method: str, segments: tuple[str, ...], own_namespace: str) -> Route:
    """The route of a path below `/api/v1/`. Raises FrameworkRejection 404, Rejection 400."""
    if segments[0] != "namespaces":
        raise no_route()
    if len(segments) == 1 or segments[1:] == ("",):
        return _listing(method, list_namespaces, "", own_namespace)
    if len(segments) < 3 or segments[2] not in _LISTS:
        raise no_route()
    collection, rest = segments[2], segments[3:]
    if rest in ((), ("",)):
        return _listing(method, _LISTS[collection], collection, _namespace(segments[1], own_namespace))
    if collection == "activations":
        return _activation(method, _namespace(segments[1], own_namespace), rest)
    if collection == "limits":
        if method != "GET":
            raise no_route()
        raise Rejection(400, messages.LIMITS_INNER_ROUTE)
    return _entity(method, collection, segments[1], own_namespace, rest)


def _listing(method: str, handler: Handler, collection: str, namespace: str) -> Route:
    if method != "GET":
        raise no_route()
    return Route(handler, collection, namespace, (), Right.READ)


def _activation(method: str, namespace: str, rest: tuple[str, ...]) -> Route:
    handler = _ACTIVATION_PARTS.get(rest[1:])
    if method == "DELETE" and handler is read_activation:
        handler = cancel_activation
    elif method != "GET" or handler is None:
        raise no_route()
    return Route(handler, "activations", namespace, (check_activation_id(rest[0]),), Right(method))


def _entity(method: str, collection: str, namespace: str, own_namespace: str, rest: tuple[str, ...]) -> Route:
    handler = _ENTITIES[collection].get(method)
    is_packaged = collection == "actions" and len(rest) == 2
    if is_packaged and method == "GET" and not rest[1]:
        handler, rest = list_package_actions, rest[:1]
    elif handler is None or not rest[-1] or (len(rest) != 1 and not is_packaged):
        raise no_route()
    resolved = _namespace(namespace, own_namespace)
    for name in rest:
        check_name(name)
    return Route(handler, collection, resolved, rest, Right(method))


def _namespace(text: str, own_namespace: str) -> str:
    """`_` is the key's own; other names with a leading underscore cannot be addressed."""
    if text == DEFAULT_NAMESPACE:
        return own_namespace
    if text.startswith(DEFAULT_NAMESPACE):
        raise no_route()
    return check_namespace(text)
