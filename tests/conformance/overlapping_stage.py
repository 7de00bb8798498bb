"""Sandboxes with code whose runs overlap, and runs in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sabayon.sandbox.base import Reply, Sandbox, SandboxSpec
from tests.conformance.sandbox_stage import LOG_LIMIT_BYTES, PYTHON, Stage, init_body, run_body

LANGUAGES = pytest.mark.parametrize("language", ["python", "nodejs"])

MEETING = {
    "python": """
import asyncio, os, sys
waiting, here = {}, 0
async def main(args):
    global here
    here += 1
    if args.get("end"): os._exit(3)
    if args.get("spin"):
        while True: pass
    if args.get("raise"): raise ValueError(args["name"])
    print("begin", args["name"])
    print("on stderr", args["name"], file=sys.stderr)
    if "opens" in args:
        event = waiting.setdefault(args["opens"], asyncio.Event())
        event.set()
    if "waits" in args:
        print("half a line of", end=" ")
        await waiting.setdefault(args["waits"], asyncio.Event()).wait()
        print(args["name"])
    own = {key: os.environ.get(key) for key in ("__OW_ACTIVATION_ID", "__OW_ALLOW_CONCURRENT")}
    listed = [key for key in os.environ if key == "__OW_ACTIVATION_ID"]
    print("end", args["name"], end="")
    return {"name": args["name"], "here": here, "own": own, "listed": listed}
""",
    "nodejs": """
const waiting = {};
let here = 0;
const event = (name) => {
  const made = waiting[name] || (waiting[name] = {});
  made.promise = made.promise || new Promise((set) => { made.set = set; });
  return made;
};
async function main(args) {
  here++;
  if (args.end) process.exit(3);
  if (args.spin) for (;;);
  if (args.raise) throw new Error(args.name);
  console.log('begin', args.name);
  console.error('on stderr', args.name);
  if (args.opens) event(args.opens).set();
  if (args.waits) {
    process.stdout.write('half a line of ');
    await event(args.waits).promise;
    console.log(args.name);
  }
  const own = {};
  for (const key of ['__OW_ACTIVATION_ID', '__OW_ALLOW_CONCURRENT']) own[key] = process.env[key];
  const listed = Object.keys({ ...process.env }).filter((key) => key === '__OW_ACTIVATION_ID');
  process.stdout.write(`end ${args.name}`);
  return { name: args.name, here, own, listed };
}
""",
}
"""Runs that open doors (`opens`) and wait at them (`waits`)."""


class Runs:
    """Runs in one sandbox, begun when they are called, with a number each."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.begun = 0

    def begin(self, timeout_s: float = 20, limit_bytes: int = LOG_LIMIT_BYTES, **args: Any) -> asyncio.Task[Reply]:
        self.begun += 1
        number = args["number"] = self.begun
        self.sandbox.limit_logs(limit_bytes, number)
        body = run_body({"name": f"run {number}", **args}, activation_id=f"id {number}")
        return asyncio.create_task(self.sandbox.run(body, timeout_s, number))

    def printed(self, number: int, stream: str = "stdout") -> list[str]:
        return [line.text for line in self.sandbox.take_logs(number).lines if line.stream == stream]


@asynccontextmanager
async def shared(stage: Stage, language: str, code: str, concurrency: int = 10) -> AsyncIterator[Runs]:
    """A sandbox with code whose runs may overlap."""
    kind = PYTHON if language == "python" else stage.nodejs
    if not kind:
        pytest.skip("there is no `node` on the PATH")
    sandbox = await stage.driver.create(SandboxSpec(kind, 128))
    try:
        sandbox.limit_logs(LOG_LIMIT_BYTES, 0)
        reply = await sandbox.init(init_body(code, __OW_ACTIVATION_ID="of init"), 20, concurrency)
        assert reply.status == 200, (reply, sandbox.take_logs(0))
        sandbox.take_logs(0)
        yield Runs(sandbox)
    finally:
        await sandbox.destroy("the test is over")


def value_of(reply: Reply) -> Any:
    assert reply.status == 200, reply
    return json.loads(reply.body)
