"""What tests of delivery have in common: functions that fail, and requests that nobody waits for."""

from __future__ import annotations

from typing import Any

from sabayon.entity.activation import Outcome, Response, error_response
from tests.unit.stage import Stage

CODE = {"kind": "python:3.11", "code": "code"}
BROKEN: Response = error_response(Outcome.WHISK_ERROR, "the platform is broken")


class Flaky:
    """Fails `times`, then returns its arguments."""

    def __init__(self, times: int, failure: Any = None) -> None:
        self.times = times
        self.failure = {"error": "not yet"} if failure is None else failure

    def __call__(self, args: Any) -> Any:
        self.times -= 1
        return self.failure if self.times >= 0 else args


async def accepted(stage: Stage, path: str, json: Any = None) -> str:
    """The id of what is accepted, when its first attempt is over."""
    answer = await stage.request("POST", path, json or {})
    assert answer.status == 202, answer.body
    await stage.services.running.drain()
    activation_id: str = answer.json["activationId"]
    return activation_id


async def put(stage: Stage, name: str, **annotations: Any) -> Any:
    """A PUT of an action with these annotations."""
    entries = [{"key": key.replace("_", "-"), "value": value} for key, value in annotations.items()]
    return await stage.request("PUT", f"_/actions/{name}?overwrite=true", {"exec": CODE, "annotations": entries})


async def letters(stage: Stage) -> Any:
    return (await stage.request("GET", "_/dead-letters")).json
