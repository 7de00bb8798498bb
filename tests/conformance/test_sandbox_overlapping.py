"""What code may rely on whose runs overlap in one sandbox, in both languages."""

from __future__ import annotations

import asyncio

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxTimeout
from tests.conformance.overlapping_stage import LANGUAGES, MEETING, shared, value_of
from tests.conformance.sandbox_stage import PYTHON, Stage


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
