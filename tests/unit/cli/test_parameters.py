"""How the values of parameters and annotations are read, and how they go over the wire."""

import pytest

from tests.unit.cli.terminal import HINT, wsk

READ_AS = {
    "1.50": "1.50",
    "1e3": "1e3",
    "12345678901234567890123": "12345678901234567890123",
    " 1 ": "1",
    "true": "true",
    "null": "null",
    "[1, 2]": "[1,2]",
    '{"x": 1}': '{"x":1}',
    '"str"': '"str"',
    "hello world": '"hello world"',
    "007": '"007"',
    "NaN": '"NaN"',
    "1 2": '"1 2"',
    "{a:1}": '"{a:1}"',
    "": '""',
    "x\\ny": '"x\\ny"',
    "x\\u0041": '"xA"',
    "<&>": '"<&>"',
    'say "hi"': '"say \\"hi\\""',
    "c:\\dir": '"c:\\\\dir"',
    "two\nlines": '"two\\nlines"',
}


def test_a_value_is_json_where_it_can_be_and_text_otherwise() -> None:
    pairs = [argument for index, typed in enumerate(READ_AS) for argument in ("-p", f"{index:02}", typed)]
    run = wsk("action", "invoke", "h", *pairs)
    members = [f'"{index:02}":{sent}' for index, sent in enumerate(READ_AS.values())]
    assert run.requests[0].raw_body.decode() == "{" + ",".join(members) + "}\n"
    assert (run.exit, run.stderr) == (0, "")


def test_text_that_is_not_ascii_arrives_as_typed() -> None:
    assert wsk("action", "invoke", "h", "-p", "schlüssel", "grüße ✓").body == {"schlüssel": "grüße ✓"}


def test_a_later_object_replaces_an_earlier_one_whole() -> None:
    assert wsk("action", "invoke", "h", "-p", "o", '{"a":1}', "-p", "o", '{"b":2}').body == {"o": {"b": 2}}


@pytest.mark.parametrize(("content", "body"), [("null", {}), ('{"a":1} tail', {"a": 1}), (' {"a":{}}\n', {"a": {}})])
def test_a_file_holds_one_object_of_parameters(content: str, body: dict[str, object]) -> None:
    run = wsk("action", "invoke", "h", "-P", "p.json", files={"p.json": content})
    assert (run.exit, run.body) == (0, body)


@pytest.mark.parametrize("content", ["", "[1]", "{a"])
def test_a_file_that_holds_no_object_is_refused(content: str) -> None:
    run = wsk("action", "invoke", "h", "-P", "p.json", files={"p.json": content})
    assert (run.exit, run.lines) == (1, [])
    assert run.stderr.startswith("error: Invalid parameter argument '")
    assert run.stderr.endswith(HINT)


@pytest.mark.parametrize(("flag", "word"), [("-P", "parameter"), ("-A", "annotation")])
def test_saving_an_action_with_a_bad_file_says_which_kind_of_argument_is_invalid(flag: str, word: str) -> None:
    run = wsk("action", "update", "h", flag, "x.json", files={"x.json": "[1]"})
    assert (run.exit, run.stdout) == (1, "")
    assert not any(request.method == "PUT" for request in run.requests)
    assert run.stderr.startswith(f"error: Invalid argument(s). Invalid {word} argument '")


def test_entities_store_parameters_and_annotations_as_arrays_in_the_order_given() -> None:
    args = ["-p", "z", "1", "-P", "p.json", "-a", "y", "2", "-A", "a.json", "-p", "z", "3"]
    run = wsk("package", "create", "p", *args, files={"p.json": '{"m":true}', "a.json": '{"d":"x"}'})
    assert run.body["parameters"] == [{"key": "z", "value": 3}, {"key": "m", "value": True}]
    assert run.body["annotations"] == [{"key": "y", "value": 2}, {"key": "d", "value": "x"}]


def test_a_key_may_hold_quotes_and_backslashes() -> None:
    assert wsk("action", "invoke", "h", "-p", 'a"b\\c', "1").body == {'a"b\\c': 1}


def test_a_body_is_compact_json_on_one_line_and_says_so() -> None:
    request = wsk("action", "invoke", "h", "-p", "a", "1").requests[0]
    assert request.headers["content-type"] == "application/json"
    assert "content-type" not in wsk("action", "delete", "h").requests[0].headers


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("foo", "/api/v1/namespaces/_/actions/foo"),
        ("pkg/foo", "/api/v1/namespaces/_/actions/pkg/foo"),
        ("/ns/foo", "/api/v1/namespaces/ns/actions/foo"),
        ("/ns/pkg/foo", "/api/v1/namespaces/ns/actions/pkg/foo"),
        ("ns/pkg/foo", "/api/v1/namespaces/ns/actions/pkg/foo"),
        ("a/b/c/d", "/api/v1/namespaces/_/actions/a/b/c/d"),
        ("sp ace?x#y%z", "/api/v1/namespaces/_/actions/sp%20ace%3Fx%23y%25z"),
    ],
)
def test_a_name_leads_to_the_entity_it_names(name: str, target: str) -> None:
    assert [request.target for request in wsk("action", "delete", name).requests] == [target]


@pytest.mark.parametrize("name", ["", ".", "/", "/a/b/c/d", "/a//c", "/a/./c"])
def test_a_name_that_names_nothing_is_refused(name: str) -> None:
    run = wsk("action", "delete", name)
    expected = f"error: '{name}' is not a valid qualified name: A valid qualified name must be specified.\n"
    assert (run.exit, run.stderr, run.lines) == (1, expected + HINT, [])
