"""Thousands of generated requests, valid and not: no 5xx, no hang, no answer the description does not know."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import BIN, Platform, environment_of

CHECKS = "not_a_server_error,status_code_conformance,response_schema_conformance"
LEAST_CASES = 1000


@pytest.mark.timeout(300)
def test_requests_made_of_the_served_description_find_no_failure(fresh_platform: Platform) -> None:
    description = fresh_platform.request("GET", "/api-docs", auth="").json
    assert fuzz(fresh_platform, description) >= LEAST_CASES
    check_still_serving(fresh_platform)


@pytest.mark.timeout(300)
def test_requests_about_a_handful_of_entities_find_no_failure(fresh_platform: Platform) -> None:
    """The same with few names and runnable code, so that what one request makes the others meet."""
    description = narrowed(fresh_platform.request("GET", "/api-docs", auth="").json)
    assert fuzz(fresh_platform, description) >= LEAST_CASES
    check_still_serving(fresh_platform)


def narrowed(description: dict[str, Any]) -> dict[str, Any]:
    """Names from a short list, references among them, code that runs."""
    names = {"type": "string", "enum": ["a", "b"]}
    references = {"type": "string", "enum": ["/_/a", "/_/b", "/_/a/b", "/guest/a"]}
    definitions = description["definitions"]
    for operations in description["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"].endswith("Name"):
                    parameter.pop("pattern")
                    parameter |= names
    kinds = ["python:default", "nodejs:default", "sequence", "python:3.11"]
    codes = ["def main(args): return args", "const main = (args) => args", "def main(", "exit("]
    definitions["Exec"]["properties"]["kind"] = {"type": "string", "enum": kinds}
    definitions["Exec"]["properties"]["code"] = {"type": "string", "enum": codes}
    definitions["Exec"]["properties"]["components"] = {"type": "array", "items": references, "maxItems": 3}
    definitions["RulePut"]["properties"] |= {"trigger": references, "action": references}
    definitions["Binding"]["properties"] = {"namespace": {"type": "string", "enum": ["_", "guest"]}, "name": names}
    definitions["ActionPut"]["required"] = ["exec"]
    return description


def fuzz(platform: Platform, description: dict[str, Any]) -> int:
    """Run the fuzzer; how many cases it made. Fails with its report when it finds something."""
    file = Path(platform.home) / "description.json"
    file.write_text(json.dumps(description))
    command = [
        *(BIN / "schemathesis", "run", file, "--url", f"{platform.api_host}/api/v1", "--auth", platform.auth),
        *("--checks", CHECKS, "--max-examples", "40", "--request-timeout", "20"),
        *("--generation-deterministic", "--no-color", "--continue-on-failure"),
    ]
    result = subprocess.run(
        command, env=environment_of(platform.home), cwd=platform.home, capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stdout[-12_000:] + result.stderr[-2000:]
    cases = re.search(r"([\d,]+) generated", result.stdout)
    assert cases, result.stdout[-3000:]
    return int(cases.group(1).replace(",", ""))


def check_still_serving(platform: Platform) -> None:
    """A new action still works."""
    platform.create_action("afterwards", "def main(args): return args")
    assert platform.invoke("afterwards", {"n": 1}).json["response"]["result"] == {"n": 1}
    assert "Traceback" not in (platform.home / "platform.log").read_text()
