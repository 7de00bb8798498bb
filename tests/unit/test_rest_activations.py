"""GET on activations: lists, filters, counts, records and their parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sabayon.controller.app import create_app
from sabayon.store.memory import MemoryActivations
from tests.unit.asgi import AsgiClient
from tests.unit.stage import Stage, annotation, on_stage

UNKNOWN = "0" * 32


async def some(stage: Stage) -> list[Any]:
    """Three records: of a, of p/a, and of p/a through the binding b; the latest first."""
    await stage.package("acme/p")
    await stage.package("acme/b", binding="acme/p")
    await stage.action("acme/a")
    await stage.action("acme/p/a", {"error": "x"})
    return [await stage.blocking_record(name) for name in ("a", "p/a", "b/a")][::-1]


async def ids(stage: Stage, query: str) -> list[str]:
    answer = await stage.request("GET", f"_/activations?{query}")
    assert answer.status == 200, answer.body
    return [item["activationId"] for item in answer.json]


@on_stage
async def test_a_list_has_summaries_latest_first_and_with_docs_whole_records(stage: Stage) -> None:
    records = await some(stage)
    summaries = (await stage.request("GET", "_/activations")).json
    assert [item["activationId"] for item in summaries] == [record["activationId"] for record in records]
    assert [item["statusCode"] for item in summaries] == [1, 1, 0]
    assert not {"logs", "response", "subject"} & set(summaries[0])
    assert set(summaries[0]) == {
        "activationId",
        "annotations",
        "duration",
        "end",
        "name",
        "namespace",
        "publish",
        "start",
        "statusCode",
        "version",
    }
    assert (await stage.request("GET", "_/activations/?docs=true")).json == records


@on_stage
async def test_whole_records_are_read_one_by_one_as_the_client_takes_them(stage: Stage) -> None:
    records = await some(stage)
    activations = stage.store.activations
    seen: list[str] = []

    class Watched(MemoryActivations):
        async def read(self, namespace: str, activation_id: str) -> bytes | None:
            seen.append("read")
            return await activations.read(namespace, activation_id)

    watched = Watched(stage.store.journal)
    watched.list = activations.list  # type: ignore[method-assign]
    client = AsgiClient(create_app(replace(stage.services, activations=watched)))
    path, auth = "/api/v1/namespaces/_/activations?docs=true", stage.acme.auth_key
    answer = await client.request("GET", path, auth=auth, on_send=lambda: seen.append("sent"))
    assert answer.json == records
    head_and_bracket = bracket_and_end = ["sent", "sent"]
    assert seen == [*head_and_bracket, *["read", "sent"] * len(records), *bracket_and_end]


@on_stage
async def test_a_name_without_package_does_not_match_packaged_actions_and_a_binding_counts_as_package(
    stage: Stage,
) -> None:
    through_binding, packaged, plain = [record["activationId"] for record in await some(stage)]
    assert await ids(stage, "name=a") == [plain]
    assert await ids(stage, "name=p/a") == [packaged]
    assert await ids(stage, "name=b/a") == [through_binding]
    assert len(await ids(stage, "name=")) == 3
    assert await ids(stage, "name=none") == []
    answer = await stage.request("GET", "_/activations?name=a/b/c")
    assert answer.json["error"] == (
        "The query parameter 'name' was malformed:\n"
        "Parameter may be a 'simple' name or 'package-name/simple' name: a/b/c"
    )


@on_stage
async def test_since_and_upto_are_inclusive_milliseconds(stage: Stage) -> None:
    last, middle, first = await some(stage)
    assert await ids(stage, f"since={middle['start']}") == [last["activationId"], middle["activationId"]]
    assert await ids(stage, f"upto={middle['start']}") == [middle["activationId"], first["activationId"]]
    assert await ids(stage, f"since={middle['start']}&upto={middle['start']}") == [middle["activationId"]]
    answer = await stage.request("GET", "_/activations?since=x")
    assert answer.status == 400
    assert answer.json["error"].endswith("Parameter is not a valid value for epoch seconds: x")


@on_stage
async def test_pages_and_counts(stage: Stage) -> None:
    all_ids = [record["activationId"] for record in await some(stage)]
    assert await ids(stage, "limit=1&skip=1") == all_ids[1:2]
    assert await ids(stage, "limit=0") == all_ids

    async def count(query: str) -> Any:
        return (await stage.request("GET", f"_/activations?count=true{query}")).json

    assert await count("") == {"activations": 3}
    assert await count("&skip=1&limit=1") == {"activations": 2}
    assert await count("&skip=9") == {"activations": 0}
    assert await count("&name=p/a") == {"activations": 1}
    assert (await count("&docs=true"))["error"] == "The parameter 'docs' is not permitted with 'count'."
    for bad in ("limit=201", "limit=x", "limit=-1", "skip=-1", "docs=2", "count=2"):
        assert (await stage.request("GET", f"_/activations?{bad}")).status == 400


@on_stage
async def test_result_is_the_response_and_logs_are_wrapped(stage: Stage) -> None:
    record = (await some(stage))[0]
    base = f"_/activations/{record['activationId']}"
    assert (await stage.request("GET", f"{base}/result")).json == record["response"]
    assert (await stage.request("GET", f"{base}/logs")).json == {"logs": record["logs"]}
    assert record["logs"]
    assert (await stage.request("GET", f"{base}/")).json == record
    assert (await stage.request("GET", f"{base}/bogus")).status == 404


@on_stage
async def test_malformed_ids_are_400_and_unknown_or_foreign_ones_404(stage: Stage) -> None:
    record = (await some(stage))[0]
    for part in ("", "/result", "/logs"):
        answer = await stage.request("GET", f"_/activations/{UNKNOWN}{part}")
        assert (answer.status, answer.json["error"]) == (404, "The requested resource does not exist.")
        answer = await stage.request("GET", f"_/activations/{'A' * 32}{part}")
        assert (answer.status, answer.json["error"]) == (400, "The activation id is not valid.")
        answer = await stage.request("GET", f"_/activations/abc{part}")
        assert (answer.status, answer.json["error"]) == (400, "Activation id length is 3 but must be 32.")
    mine = await stage.request("GET", f"_/activations/{record['activationId']}", by=stage.other)
    assert mine.status == 404
    foreign = await stage.request("GET", f"acme/activations/{record['activationId']}", by=stage.other)
    assert foreign.status == 403
    assert record["activationId"] in foreign.json["error"]
    assert (await stage.request("GET", "acme/activations", by=stage.other)).status == 403


@on_stage
async def test_activations_can_be_read_and_cancelled_and_not_written(stage: Stage) -> None:
    record = (await some(stage))[0]
    for method in ("PUT", "POST"):
        answer = await stage.request(method, f"_/activations/{record['activationId']}", {})
        assert (answer.status, answer.json["error"]) == (404, "The requested resource could not be found.")


@on_stage
async def test_summary_duration_and_cause_of_a_sequence(stage: Stage) -> None:
    await stage.action("acme/a")
    await stage.sequence("acme/s", "/acme/a")
    record = await stage.blocking_record("s")
    component, sequence = sorted((await stage.request("GET", "_/activations")).json, key=lambda item: item["name"])
    assert component["cause"] == record["activationId"]
    assert "cause" not in sequence
    assert annotation(sequence, "kind") == "sequence"
