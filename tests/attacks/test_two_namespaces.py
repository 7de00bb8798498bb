"""Two namespaces on one platform: neither can touch, read or notice what is the other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.running import Answer, Platform

SECRET = "the-owners-secret-value"
CODE = f"def main(args):\n    # {SECRET}\n    open('/tmp/{SECRET}', 'w').write('{SECRET}')\n    return {{'ok': True}}\n"


class Tenant:
    """One namespace with one entity of every kind, all private."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform = platform
        self.name = name
        self.key = platform.namespace(name)
        parameters = [{"key": "token", "value": SECRET}, {"key": "ENV_TOKEN", "value": SECRET, "init": True}]
        self.expect(200, "PUT", "packages/p", {"parameters": parameters})
        for action in ("a", "p/a"):
            body = {"exec": {"kind": "python:default", "code": CODE}, "parameters": parameters}
            self.expect(200, "PUT", f"actions/{action}", body)
        self.expect(200, "PUT", "actions/s", {"exec": {"kind": "sequence", "components": ["/_/a", "/_/p/a"]}})
        self.expect(200, "PUT", "triggers/t", {})
        self.expect(200, "PUT", "rules/r", {"trigger": "/_/t", "action": "/_/a"})
        self.activation = self.expect(200, "POST", "actions/a?blocking=true", {}).json["activationId"]

    def expect(self, status: int, method: str, path: str, body: Any = None, namespace: str = "_") -> Answer:
        answer = self.platform.request(method, f"/namespaces/{namespace}/{path}", body, auth=self.key)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer


@pytest.fixture(scope="module")
def tenants(platform: Platform) -> Iterator[tuple[Tenant, Tenant]]:
    yield Tenant(platform, "owner"), Tenant(platform, "stranger")
    for name in ("owner", "stranger"):
        platform.sabayon("namespace", "delete", name)


ENTITIES = ["actions/a", "actions/p/a", "actions/s", "packages/p", "triggers/t", "rules/r"]
BODIES: dict[str, Any] = {
    "actions": {"exec": {"kind": "python:default", "code": "def main(a): return {}"}},
    "packages": {},
    "triggers": {},
    "rules": {"trigger": "/owner/t", "action": "/owner/a"},
}


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_no_operation_on_a_foreign_entity_is_allowed(tenants: tuple[Tenant, Tenant], method: str, entity: str) -> None:
    owner, stranger = tenants
    body = BODIES[entity.split("/")[0]] if method == "PUT" else {} if method == "POST" else None
    if method == "POST" and entity.startswith("rules"):
        body = {"status": "inactive"}
    query = "?overwrite=true" if method == "PUT" else "?blocking=true" if method == "POST" else ""
    allowed = 404 if (method, entity) == ("POST", "packages/p") else 403  # packages have no POST
    answer = stranger.platform.request(method, f"/namespaces/owner/{entity}{query}", body, auth=stranger.key)
    assert answer.status == allowed, answer.body
    assert SECRET.encode() not in answer.body
    assert owner.expect(200, "GET", entity).status == 200


@pytest.mark.parametrize("collection", ["actions", "triggers", "rules", "activations", "limits"])
def test_foreign_collections_cannot_be_listed(tenants: tuple[Tenant, Tenant], collection: str) -> None:
    tenants[1].expect(403, "GET", collection, namespace="owner")


def test_a_foreign_package_list_shows_shared_packages_only(tenants: tuple[Tenant, Tenant]) -> None:
    assert tenants[1].expect(200, "GET", "packages", namespace="owner").json == []


@pytest.mark.parametrize("suffix", ["", "/logs", "/result"])
def test_foreign_activations_cannot_be_read(tenants: tuple[Tenant, Tenant], suffix: str) -> None:
    owner, stranger = tenants
    stranger.expect(403, "GET", f"activations/{owner.activation}{suffix}", namespace="owner")
    stranger.expect(404, "GET", f"activations/{owner.activation}{suffix}")


@pytest.mark.parametrize(
    ("entity", "body"),
    [
        ("packages/x", {"binding": {"namespace": "owner", "name": "p"}}),
        ("actions/x", {"exec": {"kind": "sequence", "components": ["/owner/a"]}}),
        ("actions/x", {"exec": {"kind": "sequence", "components": ["/owner/p/a"]}}),
        ("rules/x", {"trigger": "/_/t", "action": "/owner/a"}),
        ("rules/x", {"trigger": "/owner/t", "action": "/_/a"}),
    ],
)
def test_own_entities_cannot_refer_to_foreign_private_ones(
    tenants: tuple[Tenant, Tenant], entity: str, body: Any
) -> None:
    tenants[1].expect(403, "PUT", entity, body)


SPY = """
import glob, json, os, socket

def read(path, most=65536):
    try:
        with open(path, "rb") as file:
            return file.read(most).decode(errors="replace")
    except OSError as error:
        return f"errno {error.errno}"

def main(args):
    found = {}
    roots = ["/tmp", "/action", "/dev/shm", "/var", "/home", "/root", "/run", "/mnt", "/opt", "/sys"]
    for root in [*args.get("roots", roots), args["data_dir"]]:
        for folder, _, files in os.walk(root):
            if "/.pyenv/" not in folder:
                found.update({os.path.join(folder, f): read(os.path.join(folder, f), args["most"]) for f in files})
    processes = [p for p in os.listdir("/proc") if p.isdigit()]
    environments = {p: read(f"/proc/{p}/environ") for p in processes}
    ports = []
    for port in args["ports"]:
        for host in ("127.0.0.1", args["host"]):
            try:
                socket.create_connection((host, port), 0.3).close()
                ports.append([host, port])
            except OSError:
                pass
    return {"files": found, "processes": processes, "environments": environments, "env": dict(os.environ),
            "shadow": read("/etc/shadow"), "database": read(args["data_dir"] + "/sabayon.db"), "ports": ports,
            "uid": os.getuid(), "groups": os.getgroups(), "other": read("/proc/1/root/etc/shadow")}
"""


def test_an_action_sees_nothing_of_another_namespaces_code_environment_files_or_processes(
    tenants: tuple[Tenant, Tenant],
) -> None:
    owner, stranger = tenants
    platform = owner.platform
    owner.expect(200, "POST", "actions/a?blocking=true", {})  # its container is warm now, its file written
    platform.create_action("spy", SPY, auth=stranger.key, limits={"memory": 256})
    arguments = {"data_dir": str(platform.data_dir), "ports": [22, 80], "host": "127.0.0.1", "most": 65536}
    seen = platform.invoke("spy", arguments, auth=stranger.key).json["response"]["result"]
    assert "error" not in seen, seen
    assert seen["processes"] == ["1"]
    assert SECRET not in json.dumps(seen)
    secret_of_owner = owner.key.partition(":")[2]
    assert secret_of_owner not in json.dumps(seen)
    assert platform.auth.partition(":")[2] not in json.dumps(seen)
    assert seen["shadow"].startswith("errno")
    assert seen["database"].startswith("errno")
    assert seen["ports"] == []
    assert seen["uid"] != 0
    assert seen["groups"] == []


def test_the_spy_does_find_such_things_where_nothing_isolates_it(tenants: tuple[Tenant, Tenant]) -> None:
    """The twin of the test above: what it looks for would be found."""
    platform = tenants[0].platform
    scope: dict[str, Any] = {}
    exec(SPY, scope)
    arguments = {"data_dir": str(platform.data_dir), "ports": [], "host": "127.0.0.1", "roots": [], "most": 1 << 24}
    seen = scope["main"](arguments)
    assert SECRET in json.dumps(seen["files"])
    assert seen["database"].startswith("SQLite")
    assert len(seen["processes"]) > 1
    assert not seen["shadow"].startswith("errno")
