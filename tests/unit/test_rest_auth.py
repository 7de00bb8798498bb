"""Who a request comes from: what counts as a key, and how everything else is refused."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from msgspec.structs import replace

from sabayon.controller.app import create_app
from sabayon.entity.identity import Identity, new_identity, new_secret
from sabayon.errors import StoreUnavailable
from sabayon.store.memory import MemoryIdentities
from tests.unit.asgi import Answer, AsgiClient
from tests.unit.stage import Stage, on_stage

REQUIRED = "The resource requires authentication, which was not supplied with the request"
INVALID = "The supplied authentication is invalid"
NO_ROUTE = "The requested resource could not be found."
CHALLENGE = 'Basic realm="OpenWhisk secure realm",charset=UTF-8'


def check_unauthorized(answer: Answer, text: str) -> None:
    assert (answer.status, answer.error) == (401, text)
    assert answer.json["code"] == answer.headers["x-request-id"]
    assert answer.headers["www-authenticate"] == CHALLENGE
    assert "access-control-allow-origin" not in answer.headers


def basic(credentials: bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(credentials).decode()}"


async def ask(stage: Stage, authorization: str | None, path: str = "namespaces", method: str = "GET") -> Answer:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await stage.client.request(method, f"/api/v1/{path}", headers=headers)


@pytest.mark.parametrize("header", [None, "", "Basic", "Bearer abc", "Digest username=x", "Basicabc"])
def test_without_basic_credentials_authentication_is_required(header: str | None) -> None:
    async def test(stage: Stage) -> None:
        check_unauthorized(await ask(stage, header), REQUIRED)

    on_stage(test)()


@pytest.mark.parametrize(
    "credentials",
    [
        "{uuid}:{wrong}",
        "{unknown}:{secret}",
        "{other_uuid}:{secret}",
        "{uuid}:{short}",
        "{uuid}:{secret}x",
        "{uuid}:{secret}\n",
        "{uuid}: {secret}",
        "{uuid}:",
        "{uuid}",
        ":{secret}",
        ":",
        "",
        "{secret}:{uuid}",
        "{uuid}:{uuid}:{secret}",
        "acme:{secret}",
        "{upper_uuid}:{secret}",
    ],
)
def test_any_other_key_than_the_one_of_a_namespace_is_invalid(credentials: str) -> None:
    async def test(stage: Stage) -> None:
        uuid, secret = stage.acme.auth_key.split(":")
        key = credentials.format(
            uuid=uuid,
            secret=secret,
            wrong=new_secret(),
            short=secret[:-1],
            unknown=new_identity("nobody").uuid,
            other_uuid=stage.other.uuid,
            upper_uuid=uuid.upper().replace("-", ""),
        )
        check_unauthorized(await ask(stage, basic(key.encode())), INVALID)

    on_stage(test)()


@pytest.mark.parametrize("header", ["Basic !!!", "Basic YQ", "Basic =", "Basic é", basic(b"\xff\xfe:" + b"x" * 64)])
def test_credentials_that_cannot_be_decoded_are_invalid(header: str) -> None:
    async def test(stage: Stage) -> None:
        check_unauthorized(await ask(stage, header), INVALID)

    on_stage(test)()


@pytest.mark.parametrize("noise", ["!", " ", "\t", "-"])
def test_a_right_key_with_noise_in_its_encoding_is_invalid(noise: str) -> None:
    async def test(stage: Stage) -> None:
        header = basic(stage.acme.auth_key.encode())
        check_unauthorized(await ask(stage, header[:20] + noise + header[20:]), INVALID)

    on_stage(test)()


@pytest.mark.parametrize("secret", ["", "x" * 63, "x" * 65])
def test_a_secret_of_another_length_than_64_opens_nothing_even_where_it_is_stored(secret: str) -> None:
    async def test(stage: Stage) -> None:
        identity = replace(new_identity("short"), secret=secret)
        await stage.store.identities.put(identity)
        check_unauthorized(await ask(stage, basic(identity.auth_key.encode())), INVALID)

    on_stage(test)()


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_scheme_has_no_case(scheme: str) -> None:
    async def test(stage: Stage) -> None:
        answer = await ask(stage, basic(stage.acme.auth_key.encode(), scheme))
        assert (answer.status, answer.json) == (200, ["acme"])

    on_stage(test)()


@on_stage
async def test_a_blocked_key_is_like_an_unknown_one_until_it_is_unblocked(stage: Stage) -> None:
    key = basic(stage.acme.auth_key.encode())
    await stage.store.identities.put(replace(stage.acme, blocked=True))
    check_unauthorized(await ask(stage, key), INVALID)
    await stage.store.identities.put(stage.acme)
    assert (await ask(stage, key)).json == ["acme"]


@on_stage
async def test_unknown_wrong_and_blocked_keys_are_answered_alike(stage: Stage) -> None:
    blocked = replace(new_identity("blocked"), blocked=True)
    await stage.store.identities.put(blocked)
    keys = (
        new_identity("nobody").auth_key,
        f"{stage.acme.uuid}:{new_secret()}",
        f"{stage.acme.uuid}:short",
        blocked.auth_key,
        f"{blocked.uuid}:{new_secret()}",
    )
    headers = {"X-Request-ID": "same"}
    answers = [await stage.client.request("GET", "/api/v1/namespaces", headers=headers, auth=key) for key in keys]
    check_unauthorized(answers[0], INVALID)
    assert all(answer == answers[0] for answer in answers)


@on_stage
async def test_a_replaced_key_opens_nothing_any_more(stage: Stage) -> None:
    renewed = replace(stage.acme, secret=new_secret())
    await stage.store.identities.put(renewed)
    check_unauthorized(await ask(stage, basic(stage.acme.auth_key.encode())), INVALID)
    assert (await ask(stage, basic(renewed.auth_key.encode()))).json == ["acme"]


@on_stage
async def test_a_namespace_that_is_deleted_takes_its_key_with_it(stage: Stage) -> None:
    await stage.store.identities.delete("acme")
    check_unauthorized(await ask(stage, basic(stage.acme.auth_key.encode())), INVALID)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "bogus"),
        ("GET", "namespaces/_x/actions"),
        ("GET", "namespaces/-/actions"),
        ("GET", "namespaces/_/actions/-"),
        ("GET", "namespaces/_/actions?limit=x"),
        ("GET", "namespaces/_/limits"),
        ("PUT", "namespaces/_/actions/a"),
        ("POST", "namespaces/_/actions/a"),
        ("PATCH", "namespaces/_/actions/a"),
        ("HEAD", "namespaces"),
        ("POST", ""),
        ("PUT", "api-docs"),
    ],
)
def test_authentication_comes_before_everything_but_a_query_that_cannot_be_read(method: str, path: str) -> None:
    async def test(stage: Stage) -> None:
        check_unauthorized(await ask(stage, None, path, method), REQUIRED)
        check_unauthorized(await ask(stage, basic(b"a:b"), path, method), INVALID)
        unreadable = await ask(stage, None, f"{path.partition('?')[0]}?%", method)
        assert unreadable.status == 400
        assert unreadable.error == "The request content was malformed:\nThe request's query string is invalid."

    on_stage(test)()


@on_stage
async def test_a_path_that_does_not_exist_is_404_only_for_those_with_a_key(stage: Stage) -> None:
    check_unauthorized(await ask(stage, None, "bogus"), REQUIRED)
    answer = await ask(stage, basic(stage.acme.auth_key.encode()), "bogus")
    assert (answer.status, answer.error) == (404, NO_ROUTE)
    assert "www-authenticate" not in answer.headers


@on_stage
async def test_the_key_selects_the_namespace_and_underscore_stands_for_it(stage: Stage) -> None:
    await stage.action("acme/a")
    for identity, namespace, names in ((stage.acme, "acme", ["a"]), (stage.other, "other", [])):
        assert (await stage.request("GET", "", by=identity)).json == [namespace]
        for path in ("_/actions", f"{namespace}/actions"):
            answer = await stage.request("GET", path, by=identity)
            assert (answer.status, [action["name"] for action in answer.json]) == (200, names)


@on_stage
async def test_a_subject_has_one_key_for_each_of_its_namespaces(stage: Stage) -> None:
    second: Identity = new_identity("acme-second", stage.acme.subject)
    await stage.store.identities.put(second)
    assert (await stage.request("GET", "", by=second)).json == ["acme-second"]
    assert (await stage.request("GET", "")).json == ["acme"]
    answer = await stage.request("GET", "acme/actions", by=second)
    assert (answer.status, answer.error) == (403, "The supplied authentication is not authorized to access 'acme'.")


class Unreachable(MemoryIdentities):
    """A store of keys that does not answer."""

    async def by_uuid(self, uuid: str) -> Identity | None:
        raise StoreUnavailable("no connection")


@on_stage
async def test_when_keys_cannot_be_looked_up_nobody_is_refused_for_a_wrong_one(stage: Stage) -> None:
    identities = Unreachable(stage.store.artifacts, stage.store.activations, stage.store.keys, {})
    client = AsgiClient(create_app(dataclasses.replace(stage.services, identities=identities)))
    answer = await client.request("GET", "/api/v1/namespaces", auth=stage.acme.auth_key)
    text = "The server is currently unavailable (because it is overloaded or down for maintenance)."
    assert (answer.status, answer.json) == (503, {"code": answer.headers["x-request-id"], "error": text})
