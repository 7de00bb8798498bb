"""What code may rely on whose runs overlap in one sandbox, in both languages, and what tells the runs apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sabayon.sandbox.base import Reply, Sandbox, SandboxDied, SandboxSpec, SandboxTimeout
from tests.conformance.sandbox_stage import LOG_LIMIT_BYTES, PYTHON, Stage, error_of, init_body, run_body

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


@LANGUAGES
def test_a_run_that_waits_for_a_later_one_is_answered_after_it(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            assert runs.sandbox.is_shared
            first, second = runs.begin(waits="door"), runs.begin(opens="door", waits="other door")
            assert (await asyncio.wait((first, second), return_when="FIRST_COMPLETED"))[0] == {first}
            third = runs.begin(opens="other door")
            assert [value_of(await run)["name"] for run in (third, second, first)] == ["run 3", "run 2", "run 1"]

    stage.run(scenario())


SQUARES = {
    "python": """
import asyncio
async def main(args):
    await asyncio.sleep(0)
    return {"n": args["n"], "x": "x" * args["n"] ** 2}
""",
    "nodejs": "const main = async ({n}) => { await null; return {n, x: 'x'.repeat(n * n)}; }",
}


@LANGUAGES
def test_hundreds_of_answers_of_all_lengths_find_their_questions(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, SQUARES[language]) as runs:
            asked = {n: runs.begin(n=n) for n in range(300)}
            for n, run in asked.items():
                assert value_of(await run) == {"n": n, "x": "x" * n**2}

    stage.run(scenario())


@LANGUAGES
def test_each_run_has_its_own_lines_and_no_others(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            first, second = runs.begin(waits="a"), runs.begin(waits="b")
            third = runs.begin(opens="b")
            await third
            await second
            await runs.begin(opens="a")
            await first
            for number in (1, 2):
                logs = runs.sandbox.take_logs(number).lines
                assert [line.text for line in logs if line.stream == "stderr"] == [f"on stderr run {number}"]
                assert [line.text for line in logs if line.stream == "stdout"] == [
                    f"begin run {number}",
                    f"half a line of run {number}",
                    f"end run {number}",
                ]
            assert runs.printed(3) == ["begin run 3", "end run 3"]

    stage.run(scenario())


@LANGUAGES
def test_each_run_finds_its_own_variables_before_and_after_it_waited(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            first, second = runs.begin(waits="door"), runs.begin(opens="door")
            for number, run in ((1, first), (2, second)):
                found = value_of(await run)
                assert found["own"] == {"__OW_ACTIVATION_ID": f"id {number}", "__OW_ALLOW_CONCURRENT": "true"}
                assert found["listed"] == ["__OW_ACTIVATION_ID"]

    stage.run(scenario())


OUTSIDE = {
    "python": """
import asyncio, os, threading
async def main(args):
    found = []
    thread = threading.Thread(target=lambda: found.append(os.environ.get("__OW_ACTIVATION_ID")))
    thread.start(); thread.join()
    inside = await asyncio.to_thread(os.environ.get, "__OW_ACTIVATION_ID")
    task = await asyncio.create_task(asyncio.to_thread(os.getenv, "__OW_ACTIVATION_ID"))
    return {"outside": found[0], "inside": inside, "task": task}
""",
    "nodejs": """
let ask;
const asked = new Promise((done) => { ask = done; });
const answered = asked.then(() => process.env.__OW_ACTIVATION_ID || null);
async function main() {
  const inside = await new Promise((done) => setTimeout(() => done(process.env.__OW_ACTIVATION_ID), 1));
  const task = await Promise.resolve().then(() => process.env.__OW_ACTIVATION_ID);
  ask();
  return { outside: await answered, inside, task };
}
""",
}


@LANGUAGES
def test_what_a_run_starts_is_of_that_run_and_what_knows_of_no_run_finds_no_wrong_one(
    stage: Stage, language: str
) -> None:
    async def scenario() -> None:
        async with shared(stage, language, OUTSIDE[language]) as runs:
            assert value_of(await runs.begin()) == {"outside": None, "inside": "id 1", "task": "id 1"}

    stage.run(scenario())


@LANGUAGES
def test_the_error_of_one_run_is_in_its_own_log_and_stops_no_other(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            first = runs.begin(waits="door")
            failed = await runs.begin(**{"raise": True})
            assert failed.status == 200 and "run 2" in json.dumps(error_of(failed))
            await runs.begin(opens="door")
            assert value_of(await first)["name"] == "run 1"
            if language == "python":  # Node.js returns the stack with the error
                assert runs.printed(2, "stderr")[-1] == "ValueError: run 2"
            assert runs.printed(1, "stderr") == ["on stderr run 1"]

    stage.run(scenario())


@LANGUAGES
def test_after_one_has_timed_out_no_further_one_begins_and_the_others_are_left_in_peace(
    stage: Stage, language: str
) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            late, others = runs.begin(0.2, waits="never"), [runs.begin(waits="never") for _ in range(2)]
            with pytest.raises(SandboxTimeout):
                await late
            assert not runs.sandbox.is_alive
            with pytest.raises(SandboxTimeout):
                await runs.begin()
            assert not any(run.done() for run in others)
            await runs.sandbox.destroy("now they are disturbed")
            for run in others:
                with pytest.raises(SandboxDied, match="disturbed"):
                    await run

    stage.run(scenario())


WAITS = {
    "python": """
import asyncio, os
async def main(args):
    await asyncio.sleep(args["s"])
    if args.get("end"): os._exit(3)
    return {"s": args["s"]}
""",
    "nodejs": """
async function main({ s, end }) {
  await new Promise((done) => setTimeout(done, 1000 * s));
  if (end) process.exit(3);
  return { s };
}
""",
}


@LANGUAGES
def test_a_late_answer_of_one_that_timed_out_is_nobody_elses(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, WAITS[language]) as runs:
            late, other = runs.begin(0.2, s=0.5), runs.begin(s=0.8)
            with pytest.raises(SandboxTimeout):
                await late
            assert value_of(await other) == {"s": 0.8}

    stage.run(scenario())


@LANGUAGES
def test_when_the_sandbox_ends_after_one_has_timed_out_the_others_learn_of_it(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, WAITS[language]) as runs:
            late, others = runs.begin(0.2, s=60), [runs.begin(s=60), runs.begin(s=0.4, end=True)]
            with pytest.raises(SandboxTimeout):
                await late
            for run in others:
                with pytest.raises(SandboxDied, match="exited"):
                    await run

    stage.run(scenario())


@LANGUAGES
def test_when_the_sandbox_ends_all_that_is_in_flight_ends_with_it(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            begun = [runs.begin(waits="never"), runs.begin(waits="never"), runs.begin(end=True)]
            for run in begun:
                with pytest.raises(SandboxDied):
                    await run

    stage.run(scenario())


@LANGUAGES
def test_destroying_ends_all_that_is_in_flight_and_says_why(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            begun = [runs.begin(waits="never") for _ in range(3)]
            await runs.begin()
            await runs.sandbox.destroy("enough")
            for run in begun:
                with pytest.raises(SandboxDied, match="enough"):
                    await run

    stage.run(scenario())


def test_a_function_that_is_not_async_runs_one_after_the_other_though_more_is_allowed(stage: Stage) -> None:
    code = """
import os, time
inside = 0
def main(args):
    global inside
    inside += 1
    most = inside
    time.sleep(0.01)
    inside -= 1
    return {"most": most, "id": os.environ["__OW_ACTIVATION_ID"]}
"""

    async def scenario() -> None:
        async with shared(stage, "python", code) as runs:
            assert not runs.sandbox.is_shared
            begun = [runs.begin() for _ in range(5)]
            found = [value_of(await run) for run in begun]
            assert found == [{"most": 1, "id": f"id {number}"} for number in range(1, 6)]

    stage.run(scenario())


@pytest.mark.parametrize("code", ["async def main(args): return {}", "const main = async () => ({})"])
def test_code_of_which_one_run_is_allowed_at_a_time_is_not_shared(stage: Stage, nodejs: str, code: str) -> None:
    async def scenario() -> None:
        async with stage.action(code, kind=nodejs if "const" in code else PYTHON) as sandbox:
            assert not sandbox.is_shared

    stage.run(scenario())


PRINTS = {
    "python": """
import asyncio, os, subprocess
event = asyncio.Event()
async def main(args):
    if args.get("waits"): await event.wait()
    for _ in range(args.get("lines", 0)): print("x" * 999)
    if "text" in args: print(args["text"])
    if args.get("child"): subprocess.run(["/bin/sh", "-c", "printf 'of a child'"])
    if args.get("opens"): event.set()
    return {}
""",
    "nodejs": """
let open;
const opened = new Promise((done) => { open = done; });
async function main(args) {
  if (args.waits) await opened;
  for (let n = 0; n < (args.lines || 0); n++) console.log('x'.repeat(999));
  if (args.text !== undefined) console.log(args.text);
  if (args.child) require('child_process').spawnSync('/bin/sh', ['-c', "printf 'of a child'"], {stdio: 'inherit'});
  if (args.opens) open();
  return {};
}
""",
}


@LANGUAGES
def test_a_run_that_prints_past_its_limit_loses_its_own_lines_only(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, PRINTS[language]) as runs:
            quiet = runs.begin(limit_bytes=100_000, waits=True, text="quiet")
            await runs.begin(limit_bytes=100_000, lines=150, opens=True)
            await quiet
            of_quiet, of_noisy = runs.sandbox.take_logs(1), runs.sandbox.take_logs(2)
            assert (of_quiet.is_truncated, [line.text for line in of_quiet.lines]) == (False, ["quiet"])
            assert of_noisy.is_truncated
            assert 90 <= len(of_noisy.lines) <= 100

    stage.run(scenario())


@LANGUAGES
def test_past_twice_its_limit_reading_ends_for_all_that_are_in_flight(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, PRINTS[language]) as runs:
            quiet = runs.begin(limit_bytes=100_000, waits=True, text="quiet")
            await runs.begin(limit_bytes=100_000, lines=5000, opens=True)
            await quiet
            assert runs.sandbox.take_logs(1).is_truncated
            assert runs.sandbox.take_logs(2).is_truncated
            await runs.begin(text="again")
            assert runs.printed(3)[-1] == "again"

    stage.run(scenario())


@LANGUAGES
def test_what_a_child_process_prints_is_of_the_run_that_has_been_there_longest(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, PRINTS[language]) as runs:
            first = runs.begin(waits=True, text="of the first")
            await runs.begin(child=True, opens=True)
            await first
            assert runs.printed(2) == []
            assert runs.printed(1) == ["of a child", "of the first"]

    stage.run(scenario())


@LANGUAGES
@pytest.mark.parametrize(
    "text", ["", "☃", "a\n\nb", "\0", "\x0000000001 is no mark here", "x" * 65527, "x" * 65528, "y" * 200_000]
)
def test_whatever_is_printed_is_in_the_log_of_its_run(stage: Stage, language: str, text: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, PRINTS[language]) as runs:
            first = runs.begin(waits=True)
            await runs.begin(text=text, opens=True)
            await first
            printed = runs.printed(2)
            assert max(map(len, printed)) <= 65536
            assert "".join(printed) == text.replace("\n", "")
            assert len(printed) == text.count("\n") + 1 + len(text) // 65528
            assert runs.printed(1) == []

    stage.run(scenario())


MISDEEDS = [
    ("python", "os.close(1); os.close(2)"),
    ("python", "sys.stdout.close(); sys.stderr.close()"),
    ("python", "sys.stdout = sys.stderr = None"),
    ("python", "os.environ.clear()"),
    ("python", "sys.stdout.buffer.write(b'\\xff'); sys.stdout.detach()"),
    ("python", "print('no newline', end=''); os.close(1)"),
    ("nodejs", "require('fs').closeSync(1); require('fs').closeSync(2)"),
    ("nodejs", "process.stdout.write('no newline'); process.stdout.end(); process.stderr.end()"),
    ("nodejs", "process.stdout.write('no newline'); process.stdout.destroy(); process.stderr.destroy()"),
    ("nodejs", "process.stdout.write = process.stderr.write = null"),
    ("nodejs", "process.env = {}"),
    ("nodejs", "for (const key in process.env) delete process.env[key]"),
]


@pytest.mark.parametrize(("language", "misdeed"), MISDEEDS)
def test_what_a_run_does_to_its_process_keeps_no_answer_of_any_run_back(
    stage: Stage, language: str, misdeed: str
) -> None:
    code = {
        "python": f"""
import asyncio, os, sys
door = asyncio.Event()
async def main(args):
    if args.get("waits"): await door.wait()
    else: {misdeed}
    door.set()
    return {{"n": args["number"]}}
""",
        "nodejs": f"""
let open;
const door = new Promise((done) => {{ open = done; }});
async function main(args) {{
  if (args.waits) await door;
  else {{ {misdeed} }}
  open();
  return {{ n: args.number }};
}}
""",
    }

    async def scenario() -> None:
        async with shared(stage, language, code[language]) as runs:
            first, second = runs.begin(waits=True), runs.begin()
            assert [value_of(await run) for run in (first, second, runs.begin(waits=True))] == [
                {"n": 1},
                {"n": 2},
                {"n": 3},
            ]

    stage.run(scenario())
