"""What Node.js actions may rely on: the action-runtime contract, asked through the sandbox port."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from tests.conformance.sandbox_stage import LOG_LIMIT_BYTES, Stage, error_of, init_body, run_body, texts, zipped

BAD_ARCHIVE = "There was an error uncompressing the action Zip archive."
NO_ENTRY = "Zipped actions must contain either package.json or index.js at the root."


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True]}, [], [1, {"b": "c"}], {"ü": "☃ 𝄞 \n\u0000"}])
def test_objects_and_arrays_go_in_and_out(stage: Stage, nodejs: str, value: Any) -> None:
    assert stage.run(stage.result("function main(args) { return args }", value, kind=nodejs)) == value


@pytest.mark.parametrize(
    "code",
    [
        "function main(a) { return {n: a.n} }",
        "const main = (a) => ({n: a.n})",
        "exports.main = (a) => ({n: a.n})",
        "module.exports.main = async (a) => ({n: a.n})",
        "global.main = (a) => Promise.resolve({n: a.n})",
        "function main(a) { return new Promise((done) => setTimeout(() => done({n: a.n}), 1)) }",
        "const os = require('os'); async function main(a) { await null; return {n: a.n} } // a comment at the end",
    ],
)
def test_the_function_may_be_declared_exported_or_global_and_may_return_a_promise(
    stage: Stage, nodejs: str, code: str
) -> None:
    assert stage.run(stage.result(code, {"n": 5}, kind=nodejs)) == {"n": 5}


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        ("function main() {}", 200, {}),
        ("function main() { return null }", 200, None),
        ("function main() { return 'text' }", 502, {"error": "The action did not return a dictionary."}),
        ("function main() { return {n: 1n} }", 502, {"error": "The action did not return a dictionary."}),
        (
            "function main() { const a = {}; a.a = a; return a }",
            502,
            {"error": "The action did not return a dictionary."},
        ),
        (
            "function main() { let a = {}; for (let i = 0; i < 1e5; i++) a = {a}; return a }",
            502,
            {"error": "The action did not return a dictionary."},
        ),
        ("function main() { return Promise.reject() }", 200, {"error": {}}),
        ("function main() { return Promise.reject({code: 7}) }", 200, {"error": {"code": 7}}),
        ("function main() { throw new Error('sync') }", 502, {"error": "An error has occurred: Error: sync"}),
        ("function main() { throw 'text' }", 502, {"error": "An error has occurred: text"}),
    ],
)
def test_results_and_errors_become_the_contracts_answers(
    stage: Stage, nodejs: str, code: str, status: int, body: Any
) -> None:
    async def scenario() -> None:
        async with stage.action(code, kind=nodejs) as sandbox:
            reply = await sandbox.run(run_body(), 5)
            assert (reply.status, json.loads(reply.body)) == (status, body)

    stage.run(scenario())


def test_a_result_of_the_wrong_type_is_named_in_the_log(stage: Stage, nodejs: str) -> None:
    async def scenario() -> None:
        async with stage.action("function main() { return 5 }", kind=nodejs) as sandbox:
            await sandbox.run(run_body(), 5)
            assert texts(sandbox, "stderr") == ['Result must be of type object but has type "number": 5']

    stage.run(scenario())


def test_a_megabyte_of_unicode_goes_in_and_out(stage: Stage, nodejs: str) -> None:
    value = {"a": "é☃𝄞" * 110_000}
    assert stage.run(stage.result("function main(args) { return args }", value, kind=nodejs)) == value


@pytest.mark.parametrize("main", ["other", "module.exports.other"])
def test_another_entry_point_of_a_text_can_be_named(stage: Stage, nodejs: str, main: str) -> None:
    code = "const other = () => ({n: 1}); exports.other = other"

    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            assert (await sandbox.init(init_body(code, main=main), 10)).status == 200
            assert (await sandbox.run(run_body(), 5)).body == b'{"n":1}'

    stage.run(scenario())


def test_a_rejection_with_an_error_carries_name_message_and_stack_and_the_next_run_works(
    stage: Stage, nodejs: str
) -> None:
    code = "async function main(a) { if (a.well) return {ok: 1}; throw new TypeError('no') }"

    async def scenario() -> None:
        async with stage.action(code, kind=nodejs) as sandbox:
            reply = await sandbox.run(run_body(), 5)
            assert reply.status == 200
            assert error_of(reply) | {"stack": ""} == {"name": "TypeError", "message": "no", "stack": ""}
            assert (await sandbox.run(run_body({"well": 1}), 5)).body == b'{"ok":1}'

    stage.run(scenario())


def test_after_a_synchronous_throw_the_sandbox_is_stopped(stage: Stage, nodejs: str) -> None:
    async def scenario() -> None:
        async with stage.action("function main() { throw new Error('x') }", kind=nodejs) as sandbox:
            await sandbox.run(run_body(), 5)
            reply = await sandbox.run(run_body(), 5)
            assert (reply.status, error_of(reply)) == (403, "System not ready, status is stopped.")

    stage.run(scenario())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("let x = ;", "SyntaxError: Unexpected token ';'"),
        ("throw new Error('early')", "Error: early"),
        ("require('nothing-like-this')", "Cannot find module 'nothing-like-this'"),
        ("var main = 5", "Action entrypoint 'main' is not a function."),
        ("var other", "Action entrypoint 'main' is not a function."),
        (b"no archive", "The file type is unsupported"),
        (b"PK\x03\x04 broken", BAD_ARCHIVE),
        (zipped({"other.js": ""}), NO_ENTRY),
        (zipped({"../tmp/x": "", "index.js": ""}), BAD_ARCHIVE),
        (zipped({"/tmp/x": "", "index.js": ""}), BAD_ARCHIVE),
        (zipped({"index.js": ""}, links={"shadow": "/etc/shadow"}), BAD_ARCHIVE),
        (zipped({"index.js": ""}, links={"d/up": "../../etc"}), BAD_ARCHIVE),
        (zipped({"index.js": "", "x": bytes(200 << 20)}), BAD_ARCHIVE),
        (zipped({"index.js": "exports.main = 5"}), "Action entrypoint 'main' is not a function."),
    ],
)
def test_code_that_cannot_be_started_says_why(stage: Stage, nodejs: str, code: str | bytes, error: str) -> None:
    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            reply = await sandbox.init(init_body(code), 20)
            assert reply.status == 502
            assert error_of(reply).startswith("Initialization has failed due to: ")
            assert error in error_of(reply)
            assert texts(sandbox, "stderr")[0].startswith("Error during initialization:") or isinstance(code, bytes)

    stage.run(scenario())


def test_code_comes_once_and_before_any_run(stage: Stage, nodejs: str) -> None:
    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            assert error_of(await sandbox.run(run_body(), 5)) == "System not initialized."
            missing = await sandbox.init(init_body(""), 5)
            assert (missing.status, error_of(missing)) == (403, "Missing main/no code to execute.")
            assert (await sandbox.init(init_body("function main() { return {n: 1} }"), 5)).body == b'{"OK":true}'
            again = await sandbox.init(init_body("function main() { return {n: 2} }"), 5)
            assert (again.status, error_of(again)) == (403, "Cannot initialize the action more than once.")
            text = await sandbox.run(b'{"value":"text"}', 5)
            assert text.status == 403
            assert error_of(text).endswith("the argument must be a dictionary but has type 'string'.")
            assert (await sandbox.run(run_body(), 5)).body == b'{"n":1}'

    stage.run(scenario())


@pytest.mark.parametrize(
    ("main", "files"),
    [
        ("main", {"index.js": "exports.main = () => ({n: require('./lib').n})", "lib.js": "exports.n = 1"}),
        ("go", {"package.json": '{"main": "src/a.js"}', "src/a.js": "exports.go = async () => ({n: 1})"}),
        ("file.deep.go", {"index.js": "", "file.js": "exports.deep = {go: () => ({n: 1})}"}),
        ("main", {"index.js": "exports.main = () => require('dep')", "node_modules/dep/index.js": "exports.n = 1"}),
        ("main", {"index.js": "exports.main = () => ({n: +require('fs').readFileSync('n.txt')})", "n.txt": "1"}),
        ("main", {"package.json": '{"type": "module"}', "index.js": "export const main = () => ({n: 1})"}),
    ],
)
def test_an_archive_is_a_package_with_its_modules(stage: Stage, nodejs: str, main: str, files: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            reply = await sandbox.init(init_body(zipped(files), main=main), 10)
            assert reply.status == 200, reply
            assert (await sandbox.run(run_body(), 5)).body == b'{"n":1}'

    stage.run(scenario())


def test_a_gzipped_tar_archive_is_taken_as_well(stage: Stage, nodejs: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (
            ("index.js", b"exports.main = () => require('./" + b"d/" * 60 + b"x')"),
            ("d/" * 60 + "x.js", b"exports.n = 1"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    assert stage.run(stage.result(gzip.compress(buffer.getvalue()), kind=nodejs)) == {"n": 1}


def test_the_environment_has_init_parameters_at_load_time_and_the_context_of_each_run(
    stage: Stage, nodejs: str
) -> None:
    code = "const seen = process.env.SECRET; function main() { return {...process.env, seen} }"

    async def scenario() -> None:
        async with stage.sandbox(nodejs) as sandbox:
            assert (await sandbox.init(init_body(code, SECRET="s"), 5)).status == 200
            for number in "12":
                found = json.loads((await sandbox.run(run_body(activation_id=number), 5)).body)
                assert (found["seen"], found["__OW_ACTIVATION_ID"]) == ("s", number)
                assert found["__OW_API_HOST"] == "http://127.0.0.1:3233"

    stage.run(scenario())


def test_more_lines_than_a_pipe_holds_are_all_in_the_log_with_the_answer(stage: Stage, nodejs: str) -> None:
    code = "function main() { for (let i = 0; i < 3000; i++) console.log('x'.repeat(999)); return {} }"

    async def scenario() -> None:
        async with stage.action(code, kind=nodejs) as sandbox:
            for _ in range(3):
                sandbox.limit_logs(LOG_LIMIT_BYTES)
                await sandbox.run(run_body(), 20)
                assert len(texts(sandbox)) == 3000

    stage.run(scenario())


def test_lines_written_just_before_the_answer_are_in_the_log(stage: Stage, nodejs: str) -> None:
    code = (
        "function main(a) { for (let i = 0; i < 2000; i++) console.log('line ' + i); console.error('end'); return {} }"
    )

    async def scenario() -> None:
        async with stage.action(code, kind=nodejs) as sandbox:
            await sandbox.run(run_body(), 10)
            lines = texts(sandbox)
            assert sorted(lines) == sorted([f"line {i}" for i in range(2000)] + ["end"])

    stage.run(scenario())
