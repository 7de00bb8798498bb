"""Whose a line is that is printed while runs overlap in one sandbox, and how much is kept."""

from __future__ import annotations

import json

import pytest

from sabayon.sandbox.base import SandboxSpec
from tests.conformance.overlapping_stage import LANGUAGES, MEETING, shared, value_of
from tests.conformance.sandbox_stage import PYTHON, Stage, error_of, init_body, run_body


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
def test_the_lines_of_a_run_that_goes_on_can_be_taken_and_later_ones_are_still_its_own(
    stage: Stage, language: str
) -> None:
    async def scenario() -> None:
        async with shared(stage, language, MEETING[language]) as runs:
            eldest, second = runs.begin(waits="a"), runs.begin(waits="b", opens="c")
            await runs.begin(waits="c")
            so_far = runs.sandbox.take_logs(2, goes_on=True).lines
            assert [line.text for line in so_far if line.stream == "stdout"] == ["begin run 2"]
            await runs.begin(opens="b")
            await second
            assert runs.printed(2) == ["half a line of run 2", "end run 2"]
            await runs.begin(opens="a")
            await eldest
            assert runs.printed(1) == ["begin run 1", "half a line of run 1", "end run 1"]

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
def test_the_run_that_the_code_is_loaded_for_has_what_is_printed_then_and_its_limit_holds_for_both(
    stage: Stage, language: str
) -> None:
    prints = {"python": "print('loading')", "nodejs": "console.log('loading')"}

    async def scenario() -> None:
        kind = PYTHON if language == "python" else stage.nodejs
        if not kind:
            pytest.skip("there is no `node` on the PATH")
        sandbox = await stage.driver.create(SandboxSpec(kind, 128))
        sandbox.limit_logs(100_000, 1)
        assert (await sandbox.init(init_body(prints[language] + "\n" + PRINTS[language]), 20, 10)).status == 200
        await sandbox.run(run_body({"text": "running"}), 20, 1)
        logs = sandbox.take_logs(1)
        assert ([line.text for line in logs.lines], logs.is_truncated) == (["loading", "running"], False)
        assert sandbox.take_logs(1).lines == ()
        await sandbox.destroy("the test is over")

    stage.run(scenario())


@LANGUAGES
def test_one_that_prints_without_end_costs_all_that_are_in_flight_their_lines(stage: Stage, language: str) -> None:
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
def test_what_is_kept_of_all_that_are_in_flight_is_bounded(stage: Stage, language: str) -> None:
    async def scenario() -> None:
        async with shared(stage, language, PRINTS[language]) as runs:
            begun = [runs.begin(limit_bytes=100_000, waits=True, lines=80) for _ in range(9)]
            await runs.begin(limit_bytes=100_000, opens=True)
            for run in begun:
                await run
            logs = [runs.sandbox.take_logs(number) for number in range(1, 11)]
            assert all(log.is_truncated for log in logs)
            assert 300 <= sum(len(log.lines) for log in logs) <= 400

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
