"""`wsk property`: shows and edits what is stored in the properties file."""

import pytest

from tests.unit.cli.terminal import HINT, wsk

SERVER = "APIHOST={url}\nAUTH=uuid:key\n"
STORED = SERVER + "CERT=c.pem\nKEY=k.pem\nAPIVERSION=v1\n"
INFO = {("GET", "/api/v1"): (200, {"build": "b-1", "buildno": "b-2"})}


def test_all_properties_come_in_a_fixed_order() -> None:
    run = wsk("property", "get", server=INFO, properties=SERVER)
    lines = run.stdout.splitlines()
    assert run.exit == 0
    assert lines[:6] == [
        f"whisk API host\t\t{run.url}",
        "whisk auth\t\tuuid:key",
        "whisk namespace\t\tguest",
        "client cert\t\t",
        "Client key\t\t",
        "whisk API version\tv1",
    ]
    assert lines[6].startswith("whisk CLI version\t")
    assert lines[7:] == ["whisk API build\t\tb-1", "whisk API build number\tb-2"]
    assert [request.target for request in run.requests] == ["/api/v1/namespaces", "/api/v1"]
    assert "authorization" not in run.requests[1].headers


@pytest.mark.parametrize(
    ("flag", "line", "value", "targets"),
    [
        ("--apihost", "whisk API host\t\t{url}", "{url}", []),
        ("--auth", "whisk auth\t\tuuid:key", "uuid:key", []),
        ("--namespace", "whisk namespace\t\tguest", "guest", ["/api/v1/namespaces"]),
        ("--cert", "client cert\t\tc.pem", "c.pem", []),
        ("--key", "Client key\t\tk.pem", "k.pem", []),
        ("--apiversion", "whisk API version\tv1", "v1", []),
        ("--apibuild", "whisk API build\t\tb-1", "b-1", ["/api/v1"]),
        ("--apibuildno", "whisk API build number\tb-2", "b-2", ["/api/v1"]),
    ],
)
def test_one_property_is_shown_with_its_label_or_raw(flag: str, line: str, value: str, targets: list[str]) -> None:
    stored = SERVER if targets else STORED
    labelled = wsk("property", "get", flag, server=INFO, properties=stored)
    assert (labelled.exit, labelled.stdout) == (0, line.replace("{url}", labelled.url) + "\n")
    assert [request.target for request in labelled.requests] == targets
    raw = wsk("property", "get", flag, "-o", "raw", server=INFO, properties=stored)
    assert (raw.exit, raw.stdout) == (0, value.replace("{url}", raw.url) + "\n")


def test_selected_properties_keep_the_fixed_order() -> None:
    run = wsk("property", "get", "--apiversion", "--cliversion", "--auth")
    assert [line.split("\t")[0] for line in run.stdout.splitlines()] == [
        "whisk auth",
        "whisk CLI version",
        "whisk API version",
    ]


def test_the_version_of_the_client_needs_no_configuration() -> None:
    run = wsk("property", "get", "--cliversion", properties=None)
    assert run.exit == 0
    assert run.stdout.startswith("whisk CLI version\t")
    assert len(run.stdout.split("\t")[1].strip()) > 0


def test_the_namespace_is_the_default_one_when_the_server_does_not_tell() -> None:
    run = wsk("property", "get", "--namespace", server={("GET", "/api/v1/namespaces"): (401, None)})
    assert run.stdout == "whisk namespace\t\t_\n"


def test_a_build_that_cannot_be_had_is_unknown() -> None:
    run = wsk("property", "get", "--apibuild", server={("GET", "/api/v1"): (503, None)})
    assert (run.exit, run.stdout) == (247, "whisk API build\t\tUnknown\n")
    cause = "The connection failed, or timed out. (HTTP status code 503)"
    assert run.stderr == f"error: Unable to obtain API build information: {cause}\n"


@pytest.mark.parametrize(
    ("args", "stderr"),
    [
        (["-o", "raw"], "error: --output|-o raw only supported with specific property type\n"),
        (["--auth", "-o", "xml"], "error: Supported output format are std|raw\n"),
    ],
)
def test_an_output_format_that_does_not_apply_is_refused(args: list[str], stderr: str) -> None:
    run = wsk("property", "get", *args)
    assert (run.exit, run.stderr) == (1, stderr)


def test_setting_properties_stores_them_and_sends_nothing() -> None:
    args = ["--apiversion", "v2", "--apihost", "h.example", "--auth", "a:b", "--key", "k", "--cert", "c"]
    run = wsk("property", "set", *args, properties=None)
    assert (run.exit, run.stderr, run.lines) == (0, "", [])
    assert run.stdout == (
        "ok: client cert set. Run 'wsk property get --cert' to see the new value.\n"
        "ok: client key set. Run 'wsk property get --key' to see the new value.\n"
        "ok: whisk auth set. Run 'wsk property get --auth' to see the new value.\n"
        "ok: whisk API host set to h.example\n"
        "ok: whisk API version set to v2\n"
    )
    stored = {"APIHOST=h.example", "AUTH=a:b", "APIVERSION=v2", "CERT=c", "KEY=k"}
    assert set(run.properties.split()) == stored


def test_setting_a_property_leaves_the_rest_of_the_file_alone() -> None:
    before = "# work\nAUTH=old:key\n\nTOKEN=a=b=\nAPIHOST=one.example\n"
    run = wsk("property", "set", "--auth", "new:key", properties=before)
    assert run.properties == before.replace("old:key", "new:key")


def test_a_value_may_hold_an_equals_sign() -> None:
    run = wsk("property", "get", "--auth", properties="APIHOST={url}\nAUTH=uuid:k=y=\n")
    assert run.stdout == "whisk auth\t\tuuid:k=y=\n"


def test_properties_are_stored_in_the_named_file() -> None:
    run = wsk("property", "set", "-u", "a:b", env={"WSK_CONFIG_FILE": "mine"}, properties=None)
    assert run.written["mine"].decode().strip() == "AUTH=a:b"


def test_unsetting_properties_removes_them() -> None:
    flags = ["--apiversion", "--apihost", "--auth", "--key", "--cert"]
    run = wsk("property", "unset", *flags, properties=STORED + "OTHER=x\n")
    assert (run.exit, run.stderr, run.lines) == (0, "", [])
    assert run.stdout == (
        "ok: client cert unset.\n"
        "ok: client key unset.\n"
        "ok: whisk auth unset.\n"
        "ok: whisk API host unset.\n"
        "ok: whisk API version unset; the default value of v1 will be used.\n"
    )
    assert run.properties.strip() == "OTHER=x"


def test_setting_nothing_says_nothing() -> None:
    run = wsk("property", "set")
    assert (run.exit, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("host", ["http://[::1", "http://h:port"])
def test_a_host_that_is_no_host_is_not_stored(host: str) -> None:
    run = wsk("property", "set", "--apihost", host, properties="AUTH=a:b\n")
    assert run.exit == 1
    assert run.stderr.startswith(f"error: Unable to set API host value; the API host value '{host}' is invalid: ")
    assert run.stderr.endswith(HINT)
    assert run.properties == "AUTH=a:b\n"


def test_a_properties_file_that_cannot_be_written_is_an_error() -> None:
    run = wsk("property", "set", "--auth", "a:b", env={"WSK_CONFIG_FILE": "no/such/file"})
    cause = "Whisk properties file write failure: open no/such/file: no such file or directory"
    assert (run.exit, run.stderr) == (1, f"error: Unable to set the property value(s): {cause}\n")
