"""How arguments are taken apart: flags, positions, and the key/value pairs that are picked out before anything else."""

import pytest

from tests.unit.cli.terminal import HINT, wsk

HELLO = {"hello.js": "function main() {}"}


@pytest.mark.parametrize(
    ("args", "limit"),
    [
        (["--limit", "5"], 5),
        (["--limit=5"], 5),
        (["-l", "5"], 5),
        (["-l5"], 5),
        (["-l=5"], 5),
        (["-nl5"], 5),
        (["-l", "5", "--limit", "7"], 7),
    ],
)
def test_a_flag_takes_its_value_in_every_customary_form(args: list[str], limit: int) -> None:
    run = wsk("action", "list", *args)
    assert run.lines == [f"GET actions?limit={limit}&skip=0"]
    assert run.exit == 0


def test_a_boolean_flag_takes_a_value_only_after_an_equals_sign() -> None:
    assert wsk("action", "invoke", "--blocking=false", "h").lines == ["POST actions/h?blocking=false&result=false"]


def test_short_boolean_flags_bundle() -> None:
    assert wsk("action", "invoke", "-br", "h").lines == ["POST actions/h?blocking=true&result=true"]


@pytest.mark.parametrize(
    "args",
    [
        ["--apiversion", "v2", "action", "delete", "h"],
        ["action", "--apiversion", "v2", "delete", "h"],
        ["action", "delete", "--apiversion=v2", "h"],
        ["action", "delete", "h", "--apiversion", "v2"],
    ],
)
def test_global_flags_stand_anywhere(args: list[str]) -> None:
    assert [request.target for request in wsk(*args).requests] == ["/api/v2/namespaces/_/actions/h"]


def test_two_dashes_end_the_flags() -> None:
    assert wsk("action", "delete", "--", "-x").lines == ["DELETE actions/-x"]


@pytest.mark.parametrize(
    ("args", "stderr"),
    [
        (["action", "list", "--bogus"], "unknown flag: --bogus\n"),
        (["action", "list", "--lim", "5"], "unknown flag: --lim\n"),
        (["action", "list", "-x"], "unknown shorthand flag: 'x' in -x\n"),
        (["action", "list", "-nx"], "unknown shorthand flag: 'x' in -x\n"),
        (["property", "get", "-u", "k"], "unknown shorthand flag: 'u' in -u\n"),
        (["property", "set", "--namespace", "n"], "unknown flag: --namespace\n"),
        (["trigger", "update", "t", "--feed", "f"], "unknown flag: --feed\n"),
        (["rule", "update", "r", "t", "a", "--enable"], "unknown flag: --enable\n"),
        (["action", "create", "h", "hello.js", "--web"], "flag needs an argument: --web\n"),
        (["action", "list", "-l"], "flag needs an argument: 'l' in -l\n"),
        (
            ["action", "create", "h", "hello.js", "-t", "abc"],
            'invalid argument "abc" for "-t, --timeout" flag: strconv.ParseInt: parsing "abc": invalid syntax\n',
        ),
        (
            ["action", "list", "-ln"],
            'invalid argument "n" for "-l, --limit" flag: strconv.ParseInt: parsing "n": invalid syntax\n',
        ),
        (["--bogus"], "Error: unknown flag: --bogus\nunknown flag: --bogus\n"),
        (["bogus"], f'Error: unknown command "bogus" for "wsk"\n{HINT}unknown command "bogus" for "wsk"\n'),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_before_anything_is_sent(args: list[str], stderr: str) -> None:
    run = wsk(*args, files=HELLO)
    assert (run.exit, run.stdout, run.stderr, run.lines) == (1, "", stderr, [])


def test_a_near_miss_of_a_command_is_answered_with_a_suggestion() -> None:
    run = wsk("acton")
    assert run.exit == 1
    assert "\n\nDid you mean this?\n\taction\n" in run.stderr


@pytest.mark.parametrize("group", ["action", "property"])
def test_a_group_alone_prints_its_help(group: str) -> None:
    run = wsk(group)
    assert (run.exit, run.stderr) == (0, "")
    assert "Usage:" in run.stdout
    assert "Available Commands:" in run.stdout
    assert "--help" in run.stdout


def test_a_mistyped_subcommand_prints_the_help_of_the_group_and_suggests_the_right_one() -> None:
    run = wsk("action", "creat")
    assert (run.exit, run.stdout) == (0, wsk("action").stdout)
    assert "Did you mean" in run.stderr
    assert "create" in run.stderr


@pytest.mark.parametrize(
    "args", [["help", "action", "create"], ["action", "create", "--help"], ["action", "create", "-h"]]
)
def test_help_for_a_command_shows_its_usage_and_sorted_flags(args: list[str]) -> None:
    run = wsk(*args)
    assert (run.exit, run.stderr) == (0, "")
    assert "Usage:\n  wsk action create ACTION_NAME ACTION [flags]\n" in run.stdout
    flags, separator, of_all_commands = run.stdout.partition("Global Flags:")
    assert separator
    assert flags.index("Flags:") < flags.index("--concurrency") < flags.index("--kind") < flags.index("--web-secure")
    assert "--apihost" in of_all_commands


@pytest.mark.parametrize("topic", [["bogus"], ["action", "bogus"]])
def test_help_for_what_is_no_command_is_an_error(topic: list[str]) -> None:
    run = wsk("help", *topic)
    assert (run.exit, run.stdout) == (1, "")
    assert f'Unknown help topic "{" ".join(topic)}"' in run.stderr


def test_the_root_help_lists_the_commands_in_alphabetical_order() -> None:
    stdout = wsk("--help").stdout
    assert "Usage:\n  wsk [command]\n" in stdout
    _, _, commands = stdout.partition("Available Commands:\n")
    names = [line.split()[0] for line in commands.partition("\n\n")[0].splitlines()]
    assert names == sorted(names)
    assert {"action", "activation", "list", "namespace", "package", "property", "rule", "trigger"} <= set(names)
    assert 'Use "wsk [command] --help" for more information about a command.' in stdout


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["h", "-p", "a", "-r"], {"a": "-r"}),
        (["h", "-p", "-p", "3"], {"-p": 3}),
        (["h", "-p", "n", "-5"], {"n": -5}),
        (["-p", "a", "1", "h", "--param", "b", "2"], {"a": 1, "b": 2}),
        (["h", "--", "-p", "a", "1"], {"a": 1}),
        (["h", "-a", "x", "1", "-F", "y", "2", "-T", "z", "3"], {}),
    ],
)
def test_key_value_pairs_are_picked_out_blindly_and_first(args: list[str], body: dict[str, object]) -> None:
    run = wsk("action", "invoke", *args)
    assert run.lines == ["POST actions/h?blocking=false&result=false"]
    assert run.body == body


def test_pairs_are_dropped_by_commands_that_have_no_use_for_them() -> None:
    run = wsk("action", "list", "-p", "a", "b", "-P", "p.json", files={"p.json": "{}"})
    assert (run.exit, run.lines) == (0, ["GET actions?limit=30&skip=0"])


PARAMETERS = "error: Failed to parse arguments: The parameter arguments are invalid: "
ANNOTATIONS = "error: Failed to parse arguments: The annotation arguments are invalid: "
FEED = "error: Failed to parse arguments: "


@pytest.mark.parametrize(
    ("args", "stderr"),
    [
        (["-p"], f"{PARAMETERS}Arguments for '-p' must be a key/value pair\n"),
        (["--param", "a"], f"{PARAMETERS}Arguments for '--param' must be a key/value pair\n"),
        (["-P"], f"{PARAMETERS}An argument must be provided for '-P'\n"),
        (["-a", "k"], f"{ANNOTATIONS}Arguments for '-a' must be a key/value pair\n"),
        (["-A"], f"{ANNOTATIONS}An argument must be provided for '-A'\n"),
        (["-F", "k"], f"{FEED}Arguments for '-F' must be a key/value pair\n"),
        (["-T"], f"{FEED}Arguments for '-T' must be a key/value pair\n"),
    ],
)
def test_an_incomplete_pair_is_refused(args: list[str], stderr: str) -> None:
    run = wsk("action", "invoke", "h", *args)
    assert (run.exit, run.stderr, run.lines) == (1, stderr + HINT, [])


def test_a_parameter_file_that_is_not_there_is_a_usage_error() -> None:
    run = wsk("action", "invoke", "h", "-P", "nope.json")
    expected = "error: Failed to parse arguments: File 'nope.json' is not a valid file or it does not exist\n"
    assert (run.exit, run.stderr, run.lines) == (2, expected + HINT, [])


def test_a_directory_is_no_parameter_file() -> None:
    run = wsk("action", "invoke", "h", "-P", ".")
    expected = "error: Failed to parse arguments: Unable to read the file '.': read .: is a directory\n"
    assert (run.exit, run.stderr, run.lines) == (1, expected + HINT, [])


def test_a_pair_given_with_an_equals_sign_is_refused() -> None:
    run = wsk("action", "invoke", "h", "--param=a")
    assert (run.exit, run.lines) == (1, [])
    assert run.stderr.startswith("error: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    run = wsk("completion", shell, properties=None)
    assert (run.exit, run.stderr, run.lines) == (0, "", [])
    assert "wsk" in run.stdout
    assert "complet" in run.stdout or "compdef" in run.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [("wsk act", {"action", "activation"}), ("wsk action cre", {"create"}), ("wsk trigger create --fee", {"--feed"})],
)
def test_completion_offers_commands_and_flags(words: str, offered: set[str]) -> None:
    env = {"_WSK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    run = wsk(env=env, properties=None)
    assert {line.partition(",")[2] for line in run.stdout.split()} >= offered
    assert (run.exit, run.stderr) == (0, "")
