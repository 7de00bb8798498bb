"""What a Node.js action does to its own process: it is survived, or noticed."""

from __future__ import annotations

import pytest

from sabayon.sandbox.base import SandboxDied, SandboxTimeout
from tests.conformance.sandbox_stage import Stage, init_body, run_body, texts


@pytest.mark.parametrize(
    "how",
    [
        "process.exit(3)",
        "process.abort()",
        "require('fs').closeSync(3)",
        "setTimeout(() => { throw new Error('later') }); return new Promise(() => {})",
    ],
)
def test_the_end_of_the_process_is_noticed_and_its_last_lines_are_kept(stage: Stage, nodejs: str, how: str) -> None:
    async def scenario() -> None:
        async with stage.action(f"function main() {{ console.log('bye'); {how} }}", kind=nodejs) as sandbox:
            with pytest.raises(SandboxDied) as raised:
                await sandbox.run(run_body(), 20)
            assert not raised.value.is_out_of_memory
            assert texts(sandbox)[0] == "bye"

    stage.run(scenario())


def test_exiting_while_the_code_is_loaded_ends_the_sandbox(stage: Stage, nodejs: str) -> None:
    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            with pytest.raises(SandboxDied):
                await sandbox.init(init_body("process.exit(0)"), 20)

    stage.run(scenario())


@pytest.mark.parametrize(
    "code", ["for (;;);", "function main() { for (;;); }", "const main = () => new Promise(() => {})"]
)
def test_code_that_never_ends_times_out(stage: Stage, nodejs: str, code: str) -> None:
    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            with pytest.raises(SandboxTimeout):
                await sandbox.init(init_body(code), 1)
                await sandbox.run(run_body(), 0.2)

    stage.run(scenario())


@pytest.mark.parametrize(
    "misdeed",
    [
        "require('fs').closeSync(1); require('fs').closeSync(2)",
        "process.stdout.end(); process.stderr.end()",
        "process.stdout.destroy(); process.stderr.destroy()",
        "console.log = null; console.error = null",
        "setInterval(() => {}, 1)",
        "Promise.reject(new Error('that nobody handles'))",
        "process.chdir('/'); process.env = {}",
        "require('child_process').spawn('/bin/sleep', ['1000'], {detached: true, stdio: 'inherit'})",
        "require('child_process').execSync('rm -rf /tmp/* /action/code/*')",
        "process.on('SIGTERM', () => {}); process.kill(process.pid, 'SIGKILL')",
        "process.stdout.write('no newline')",
    ],
)
def test_what_an_action_does_to_its_own_process_does_not_stop_its_answers(
    stage: Stage, nodejs: str, misdeed: str
) -> None:
    code = f"function main() {{ {misdeed}; return {{ok: 1}} }}"

    async def scenario() -> None:
        async with stage.action(code, kind=nodejs) as sandbox:
            assert (await sandbox.run(run_body(), 5)).body == b'{"ok":1}'
            sandbox.take_logs()

    stage.run(scenario())


def test_garbage_on_every_descriptor_it_has_ends_the_sandbox_only(stage: Stage, nodejs: str) -> None:
    code = """
const fs = require('fs');
function main() {
  for (let fd = 0; fd < 64; fd++) try { fs.writeSync(fd, Buffer.alloc(100, 255)) } catch {}
  return {real: 1};
}
"""

    async def scenario() -> None:
        async with stage.action("function main(a) { return a }", kind=nodejs) as other:
            async with stage.action(code, kind=nodejs) as sandbox:
                with pytest.raises((SandboxDied, SandboxTimeout)):
                    await sandbox.run(run_body(), 1)
            assert (await other.run(run_body({"a": 1}), 5)).body == b'{"a":1}'

    stage.run(scenario())
