"""Which server is asked and as whom: flags over environment over the properties file."""

import base64
import re

import pytest

from tests.unit.cli.terminal import HINT, wsk

NO_HOST = f"error: The API host is not valid: An API host must be provided.\n\n{HINT}"


def basic(credential: str) -> str:
    return "Basic " + base64.b64encode(credential.encode()).decode()


@pytest.mark.parametrize(
    ("args", "env", "credential"),
    [
        ([], {}, "uuid:key"),
        ([], {"WHISK_AUTH": "env:1"}, "env:1"),
        (["--auth", "flag:1"], {"WHISK_AUTH": "env:1"}, "flag:1"),
        (["-u", "flag:1"], {}, "flag:1"),
        (["--auth", ""], {}, "uuid:key"),
    ],
)
def test_the_credential_is_taken_from_the_flag_then_the_environment_then_the_file(
    args: list[str], env: dict[str, str], credential: str
) -> None:
    run = wsk("action", "list", *args, env=env)
    assert [request.headers["authorization"] for request in run.requests] == [basic(credential)]


@pytest.mark.parametrize(
    ("args", "env", "properties"),
    [
        ([], {}, "APIHOST={url}/\nAUTH=a:b\n"),
        ([], {"WHISK_APIHOST": "{url}"}, "APIHOST=http://127.0.0.1:1\nAUTH=a:b\n"),
        (["--apihost", "{url}"], {"WHISK_APIHOST": "http://127.0.0.1:1"}, "AUTH=a:b\n"),
    ],
)
def test_the_host_is_taken_from_the_flag_then_the_environment_then_the_file(
    args: list[str], env: dict[str, str], properties: str
) -> None:
    run = wsk("action", "list", *args, env=env, properties=properties)
    assert (run.exit, run.lines) == (0, ["GET actions?limit=30&skip=0"])


@pytest.mark.parametrize(
    ("args", "env", "version"),
    [
        ([], {}, "v7"),
        ([], {"WHISK_APIVERSION": "v8"}, "v8"),
        (["--apiversion", "v9"], {"WHISK_APIVERSION": "v8"}, "v9"),
    ],
)
def test_the_api_version_is_taken_from_the_flag_then_the_environment_then_the_file(
    args: list[str], env: dict[str, str], version: str
) -> None:
    run = wsk("action", "delete", "h", *args, env=env, properties="APIHOST={url}\nAUTH=a:b\nAPIVERSION=v7\n")
    assert [request.target for request in run.requests] == [f"/api/{version}/namespaces/_/actions/h"]


def test_the_named_properties_file_replaces_the_one_at_home() -> None:
    files = {"other": "APIHOST={url}\nAUTH=other:1\n"}
    run = wsk("action", "list", env={"WSK_CONFIG_FILE": "other", "WHISK_APIHOST": "{url}"}, files=files)
    assert [request.headers["authorization"] for request in run.requests] == [basic("other:1")]


@pytest.mark.parametrize("path", ["", "missing"])
def test_a_named_properties_file_that_cannot_be_read_still_hides_the_one_at_home(path: str) -> None:
    run = wsk("action", "list", env={"WSK_CONFIG_FILE": path})
    assert (run.exit, run.stderr, run.lines) == (1, NO_HOST, [])


def test_comments_blanks_and_stray_lines_in_the_properties_file_do_no_harm() -> None:
    properties = "# mine\n\n  AUTH=a:b # key\nstray\nAPIHOST={url}\nNAMESPACE=elsewhere\n"
    run = wsk("action", "list", properties=properties)
    assert run.lines == ["GET actions?limit=30&skip=0"]
    assert run.requests[0].headers["authorization"] == basic("a:b")


def test_without_a_host_nothing_can_be_asked() -> None:
    run = wsk("action", "list", properties=None)
    assert (run.exit, run.stdout, run.stderr) == (1, "", NO_HOST)


@pytest.mark.parametrize(
    ("args", "prefix"),
    [
        (["action", "invoke", "h"], "Unable to invoke action 'h': "),
        (["package", "get", "p"], "Unable to get package 'p': "),
        (["trigger", "fire", "t"], "Unable to fire trigger 't': "),
        (["rule", "list"], "Unable to obtain the list of rules for namespace 'default': "),
        (["namespace", "list"], "Unable to obtain the list of available namespaces: "),
    ],
)
def test_without_a_credential_no_request_is_sent(args: list[str], prefix: str) -> None:
    run = wsk(*args, properties="APIHOST={url}\n")
    assert (run.exit, run.lines) == (2, [])
    assert run.stderr.startswith(f"error: {prefix}Unable to create ")
    assert run.stderr.endswith(f"Authorization key is not configured (--auth is required)\n{HINT}")


@pytest.mark.parametrize(("given", "missing"), [("cert", "Key"), ("key", "Cert")])
def test_half_of_a_client_certificate_is_refused_unless_the_server_is_not_checked(given: str, missing: str) -> None:
    run = wsk("action", "list", f"--{given}", "file")
    reason = f"The {missing} file is not configured. Please configure the missing {missing} file."
    expected = f"error: Unable to initialize server connection: {reason}\n\n{HINT}"
    assert (run.exit, run.stderr, run.lines) == (1, expected, [])
    assert wsk("action", "list", f"--{given}", "file", "-i").exit == 0


def test_a_client_certificate_that_cannot_be_read_is_named() -> None:
    run = wsk("action", "list", "--cert", "c", "--key", "k")
    reason = "Unable to load the X509 key pair due to the following reason: open c: no such file or directory"
    expected = f"error: Unable to initialize server connection: {reason}\n{HINT}"
    assert (run.exit, run.stderr, run.lines) == (1, expected, [])


def test_requests_name_the_client_and_its_platform() -> None:
    agent = wsk("action", "list").requests[0].headers["user-agent"]
    assert re.fullmatch(r"OpenWhisk-CLI/1\.0 \(.+\) (linux|darwin|windows) (amd64|arm64)", agent)


def test_a_host_without_a_scheme_is_asked_over_tls() -> None:
    run = wsk("action", "list", "--apihost", "127.0.0.1:1")
    assert run.exit == 3
    assert 'Get "https://127.0.0.1:1/api/v1/namespaces/_/actions?limit=30&skip=0": ' in run.stderr


def test_the_proxy_of_the_environment_is_used() -> None:
    env = {"HTTP_PROXY": "{url}", "http_proxy": "{url}"}
    run = wsk("action", "list", env=env, properties="APIHOST=http://sabayon.example\nAUTH=a:b\n")
    targets = [request.target for request in run.requests]
    assert targets == ["http://sabayon.example/api/v1/namespaces/_/actions?limit=30&skip=0"]
