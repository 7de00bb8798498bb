"""Execute-only mode: what is shared can be run by others, and be read by its owner alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sabayon.controller.app import create_app
from tests.unit.asgi import AsgiClient
from tests.unit.stage import Stage, on_stage


async def furnish(stage: Stage, *, is_execute_only: bool = True) -> None:
    """A shared package of acme, bound by acme itself and by other."""
    await stage.package("acme/p", publish=True)
    await stage.action("acme/p/a", {"ran": True})
    await stage.package("acme/own", binding="acme/p")
    await stage.package("other/bnd", binding="acme/p")
    stage.client = AsgiClient(create_app(replace(stage.services, is_execute_only=is_execute_only)))


READS = [
    ("acme/actions/p/a", "GET not permitted for 'acme/p' since it's an action in a shared package"),
    ("acme/actions/p/nope", "GET not permitted for 'acme/p' since it's an action in a shared package"),
    (
        "_/actions/bnd/a?code=false",
        "GET not permitted for 'other/bnd/a'. Resource does not exist or is an action in a shared package binding.",
    ),
    (
        "_/actions/bnd/nope",
        "GET not permitted for 'other/bnd/nope'. Resource does not exist or is an action in a shared package binding.",
    ),
    ("acme/packages/p", "GET not permitted for 'acme/p' since it's a shared package"),
    ("_/packages/bnd", "GET not permitted since bnd is a binding of a shared package"),
]


@pytest.mark.parametrize(("path", "text"), READS)
def test_what_others_share_is_not_shown(path: str, text: str) -> None:
    async def test(stage: Stage) -> None:
        await furnish(stage)
        answer = await stage.request("GET", path, by=stage.other)
        assert (answer.status, answer.error) == (403, text)

    on_stage(test)()


@pytest.mark.parametrize("path", [path for path, _ in READS if "nope" not in path])
def test_it_is_shown_when_the_mode_is_off(path: str) -> None:
    async def test(stage: Stage) -> None:
        await furnish(stage, is_execute_only=False)
        assert (await stage.request("GET", path, by=stage.other)).status == 200

    on_stage(test)()


@pytest.mark.parametrize("path", ["actions/p/a", "actions/own/a", "packages/p", "packages/own"])
def test_the_owner_reads_it(path: str) -> None:
    async def test(stage: Stage) -> None:
        await furnish(stage)
        assert (await stage.request("GET", f"_/{path}")).status == 200

    on_stage(test)()


@pytest.mark.parametrize("path", ["acme/actions/p/a", "_/actions/bnd/a"])
def test_others_run_it(path: str) -> None:
    async def test(stage: Stage) -> None:
        await furnish(stage)
        answer = await stage.request("POST", f"{path}?blocking=true&result=true", {}, by=stage.other)
        assert (answer.status, answer.json) == (200, {"ran": True})

    on_stage(test)()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("packages/b", {"binding": {"namespace": "acme", "name": "p"}}),
        ("actions/s", {"exec": {"kind": "sequence", "components": ["/acme/p/a", "/_/bnd/a"]}}),
    ],
)
def test_others_bind_it_and_build_on_it(path: str, body: Any) -> None:
    async def test(stage: Stage) -> None:
        await furnish(stage)
        assert (await stage.request("PUT", f"_/{path}", body, by=stage.other)).status == 200

    on_stage(test)()


@on_stage
async def test_what_is_not_shared_is_refused_as_ever(stage: Stage) -> None:
    await furnish(stage)
    await stage.package("acme/private")
    answer = await stage.request("GET", "acme/packages/private", by=stage.other)
    text = "The supplied authentication is not authorized to access 'acme/private'."
    assert (answer.status, answer.error) == (403, text)
