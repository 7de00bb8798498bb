"""What Python actions may rely on: the action-runtime contract, asked through the sandbox port."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.sandbox_stage import Stage, error_of, init_body, run_body, texts, zipped

NO_RESULT = "The action did not return a dictionary or array."
CANNOT_START = "Cannot start action. Check logs for details."
NOT_COMPILED = "The action failed to generate or locate a binary. See logs for details."


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True]}, [], [1, {"b": "c"}], {"ü": "☃ 𝄞 \n\u0000"}])
def test_dictionaries_and_lists_go_in_and_out(stage: Stage, value: Any) -> None:
    assert stage.run(stage.result("def main(args): return args", value)) == value


def test_a_megabyte_of_unicode_goes_in_and_out(stage: Stage) -> None:
    value = {"a": "é☃𝄞" * 110_000}
    assert stage.run(stage.result("def main(args): return args", value)) == value


def test_what_a_run_leaves_in_its_module_is_there_in_the_next(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("runs = []\ndef main(args): runs.append(1); return {'n': len(runs)}") as sandbox:
            assert [(await sandbox.run(run_body(), 5)).body for _ in range(2)] == [b'{"n":1}', b'{"n":2}']

    stage.run(scenario())


def test_text_leaves_as_utf_8_and_lone_surrogates_as_escapes(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("def main(args): return args") as sandbox:
            assert (await sandbox.run('{"value":{"a":"é"}}'.encode(), 5)).body == '{"a":"é"}'.encode()
            assert (await sandbox.run(rb'{"value":{"a":"\ud800"}}', 5)).body == rb'{"a":"\ud800"}'

    stage.run(scenario())


@pytest.mark.parametrize(
    "code",
    [
        "async def main(args):\n  import asyncio\n  await asyncio.sleep(0)\n  return {'n': args['n']}",
        "import asyncio\nasync def later(n): return {'n': n}\ndef main(args): return later(args['n'])",
        "class C:\n  async def __call__(self, args): return {'n': args['n']}\nmain = C()",
    ],
)
def test_an_awaitable_result_is_awaited(stage: Stage, code: str) -> None:
    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            for n in (1, 2):
                assert json.loads((await sandbox.run(run_body({"n": n}), 5)).body) == {"n": n}

    stage.run(scenario())


@pytest.mark.parametrize(
    "expression",
    [
        "'text'",
        "5",
        "None",
        "{'a': object()}",
        "{'a': float('nan')}",
        "{1, 2}",
        "{(1, 2): 3}",
        "Odd(a=1)",
        "loop",
        "deep",
    ],
)
def test_what_is_no_json_object_or_array_is_an_error_and_the_next_run_works(stage: Stage, expression: str) -> None:
    code = f"""
class Odd(dict):
    def items(self): raise KeyError('odd')
loop = []
loop.append(loop)
deep = []
for _ in range(100_000): deep = [deep]
def main(args): return {{'ok': 1}} if args.get('well') else ({expression})
"""

    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            reply = await sandbox.run(run_body(), 5)
            assert (reply.status, error_of(reply)) == (502, NO_RESULT)
            assert texts(sandbox, "stderr")
            assert (await sandbox.run(run_body({"well": 1}), 5)).body == b'{"ok":1}'

    stage.run(scenario())


def test_an_exception_is_the_actions_error_with_a_traceback_of_its_own_lines(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("def main(args):\n    raise ValueError('no ☃')") as sandbox:
            reply = await sandbox.run(run_body(), 5)
            assert (reply.status, json.loads(reply.body)) == (200, {"error": "no ☃"})
            lines = texts(sandbox, "stderr")
            assert lines[0] == "Traceback (most recent call last):"
            assert lines[-1] == "ValueError: no ☃"
            assert "raise ValueError" in lines[2]
            assert "launcher" not in "".join(lines)

    stage.run(scenario())


def test_an_exception_whose_text_is_not_utf_8_is_reported_all_the_same(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("def main(args): raise ValueError('a\\ud800')") as sandbox:
            assert (await sandbox.run(run_body(), 5)).body == rb'{"error":"a\ud800"}'
            assert texts(sandbox, "stderr")[-1] == r"ValueError: a\ud800"

    stage.run(scenario())


def test_an_exception_that_cannot_describe_itself_does_no_harm(stage: Stage) -> None:
    code = "class E(Exception):\n  def __str__(self): raise self\ndef main(args): raise E()"
    assert stage.run(stage.result(code)) == {"error": "E"}


@pytest.mark.parametrize("code", ["import sys\ndef main(a): sys.exit(3)", "async def main(a): raise SystemExit"])
def test_exiting_is_reported_and_the_sandbox_is_of_no_use_then(stage: Stage, code: str) -> None:
    async def scenario() -> None:
        async with stage.action(code) as sandbox:
            reply = await sandbox.run(run_body(), 5)
            assert (reply.status, error_of(reply)) == (400, "command exited")
            assert (await sandbox.run(run_body(), 5)).status != 200

    stage.run(scenario())


@pytest.mark.parametrize(
    ("code", "error", "log"),
    [
        ("def main(:", NOT_COMPILED, "SyntaxError"),
        ("import nothing_like_this", CANNOT_START, "ModuleNotFoundError"),
        ("raise RuntimeError('early')", CANNOT_START, "RuntimeError: early"),
        ("def other(args): return {}", CANNOT_START, "AttributeError"),
        ("main = 5", CANNOT_START, "main is not a function."),
        ("import sys; sys.exit(1)", CANNOT_START, "Command exited abruptly during initialization."),
        (b"no archive", NOT_COMPILED, "The archive cannot be unpacked"),
        (zipped({"other.py": ""}), NOT_COMPILED, "Zip file does not include __main__.py"),
        (zipped({"../../tmp/x": "", "__main__.py": ""}), NOT_COMPILED, "leaves the archive's folder"),
        (zipped({"/tmp/x": "", "__main__.py": ""}), NOT_COMPILED, "leaves the archive's folder"),
        (zipped({"__main__.py": "", "x": bytes(200 << 20)}), NOT_COMPILED, "No space left on device"),
        (
            zipped({"__main__.py": "def main(a): return {}", "virtualenv/lib/x": ""}),
            NOT_COMPILED,
            "Invalid virtualenv. Zip file does not include 'activate_this.py'.",
        ),
        (zipped({"__main__.py": "", "virtualenv/bin/activate_this.py": "1/0"}), CANNOT_START, "ZeroDivisionError"),
    ],
)
def test_code_that_cannot_be_started_says_why(stage: Stage, code: str | bytes, error: str, log: str) -> None:
    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            reply = await sandbox.init(init_body(code), 20)
            assert (reply.status, error_of(reply)) == (502, error)
            assert log in "\n".join(texts(sandbox, "stderr"))

    stage.run(scenario())


def test_code_comes_once_and_before_any_run(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            assert (await sandbox.run(run_body(), 5)).status != 200
            assert error_of(await sandbox.init(init_body(""), 5)) == "Missing main/no code to execute."
            assert (await sandbox.init(init_body("def main(a): return {'n': 1}"), 5)).status == 200
            again = await sandbox.init(init_body("def main(a): return {'n': 2}"), 5)
            assert (again.status, error_of(again)) == (403, "Cannot initialize the action more than once.")
            assert texts(sandbox) == ["Cannot initialize the action more than once."]
            assert (await sandbox.run(run_body(), 5)).body == b'{"n":1}'

    stage.run(scenario())


def test_another_entry_point_can_be_named_and_a_main_block_does_not_run(stage: Stage) -> None:
    code = "class C:\n  def go(self, a): return {'went': 1}\nc = C()\nif __name__ == '__main__': raise SystemExit"

    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            assert (await sandbox.init(init_body(code, main="c.go"), 5)).status == 200
            assert (await sandbox.run(run_body(), 5)).body == b'{"went":1}'

    stage.run(scenario())


def test_an_archive_brings_modules_data_and_packages_of_a_virtual_environment(stage: Stage) -> None:
    activate = "import sys\nsys.path.insert(0, __file__.removesuffix('bin/activate_this.py') + 'lib')"
    archive = zipped(
        {
            "__main__.py": """
import helper, packed
def main(a): return {"sum": helper.N + packed.N, "text": open("d/x").read()}
""",
            "helper.py": "N = 1",
            "d/x": "data",
            "virtualenv/bin/activate_this.py": activate,
            "virtualenv/lib/packed.py": "N = 2",
        }
    )
    assert stage.run(stage.result(archive)) == {"sum": 3, "text": "data"}


def test_a_link_in_an_archive_leads_nowhere(stage: Stage) -> None:
    code = """
import os
def main(args):
    names = ("file", "folder")
    return {"links": [name for name in names if os.path.islink(name)], "seen": os.path.exists("folder/passwd")}
"""
    archive = zipped({"__main__.py": code}, links={"file": "/etc/passwd", "folder": "/etc"})
    assert stage.run(stage.result(archive)) == {"links": [], "seen": False}


def test_the_environment_has_init_parameters_at_load_time_and_the_context_of_each_run(stage: Stage) -> None:
    code = "import os\nSEEN = os.environ['SECRET']\ndef main(a): return {**os.environ, 'seen': SEEN}"

    async def scenario() -> None:
        async with stage.sandbox() as sandbox:
            assert (await sandbox.init(init_body(code, SECRET="s", __OW_NAMESPACE="n"), 5)).status == 200
            for number in "12":
                reply = await sandbox.run(run_body(activation_id=number, deadline="99"), 5)
                found = json.loads(reply.body)
                assert found["seen"] == "s"
                assert (found["__OW_ACTIVATION_ID"], found["__OW_DEADLINE"]) == (number, "99")
                assert found["__OW_API_HOST"] == "http://127.0.0.1:3233"
                assert found["__OW_NAMESPACE"] == "n"

    stage.run(scenario())


def test_arguments_nested_past_what_python_can_read_are_refused(stage: Stage) -> None:
    async def scenario() -> None:
        async with stage.action("def main(a): return {'ok': 1}") as sandbox:
            reply = await sandbox.run(b'{"value":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 5)
            assert reply.status == 502
            assert (await sandbox.run(run_body(), 5)).body == b'{"ok":1}'

    stage.run(scenario())


def test_two_sandboxes_do_not_share_their_random_numbers(stage: Stage) -> None:
    code = "import random, uuid\ndef main(a): return {'r': random.random(), 'u': str(uuid.uuid4())}"
    first, second = stage.run(stage.result(code)), stage.run(stage.result(code))
    assert first["r"] != second["r"]
    assert first["u"] != second["u"]


def test_none_of_the_platforms_packages_can_be_imported(stage: Stage) -> None:
    code = """
def main(args):
    found = []
    for name in ("msgspec", "uvloop", "starlette", "click"):
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    return {"found": found}
"""
    assert stage.run(stage.result(code)) == {"found": []}
