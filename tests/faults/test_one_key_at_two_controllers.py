"""One idempotency key at the same moment from many, at both controllers of a cluster: one activation, one result."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.checked_load import Target, records
from tests.faults.cluster import Cluster, cluster
from tests.faults.front import Front, Reply, front
from tests.faults.test_accepted import UNTHROTTLED
from tests.servers.postgres import PostgresServer

REQUESTS = 500
ACTION = """
import time
import uuid
def main(args):
    time.sleep(0.5)
    return {"of": args["n"], "run": str(uuid.uuid4())}
"""
"""Each run has another result."""


async def at_once(balancer: Front, queries: list[str], payload: object, key: str) -> list[Reply]:
    await balancer.open(len(queries) // 2)
    return await asyncio.gather(*(balancer.post(query, payload, f"Idempotency-Key: {key}\r\n") for query in queries))


def ask(one: Cluster, queries: list[str], payload: object, key: str) -> list[Reply]:
    """All at once, by turns at one controller and the other."""
    targets = [lambda c=controller: Target.of(c.platform, "slow") for controller in one.controllers.values()]
    with front(targets) as balancer:
        return asyncio.run(at_once(balancer, queries, payload, key))


@pytest.mark.timeout(180)
def test_many_requests_with_one_key_at_two_controllers_are_one_activation_with_one_result_for_all(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    with cluster(tmp_path, own_postgres, UNTHROTTLED) as one:
        one.api.create_action("slow", ACTION)
        # two of each kind in turn, so that either controller gets both
        kinds = ["blocking=true", "blocking=true", "blocking=false", "blocking=false"]
        replies = ask(one, kinds * (REQUESTS // 4), {"n": 1}, "k")
        waited = [reply for reply in replies if reply.status == 200]
        assert [reply.status for reply in replies] == [200, 200, 202, 202] * (REQUESTS // 4)
        assert len({reply.body["activationId"] for reply in replies}) == 1
        assert len({reply.body["response"]["result"]["run"] for reply in waited}) == 1
        assert len(records(one.api, "slow")) == 1

        later = ask(one, ["blocking=true&result=true", "blocking=true&result=true"], {"n": 1}, "k")
        assert [(reply.status, reply.body) for reply in later] == [(200, waited[0].body["response"]["result"])] * 2
        others = ask(one, ["blocking=true"] * 20 + ["blocking=false"] * 20, {"n": 2}, "k")
        assert {reply.status for reply in others} == {409}
        assert len(records(one.api, "slow")) == 1
