"""The public npm package `openwhisk`, the official JavaScript client, works unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.running import Platform

DRIVER = Path(__file__).parent / "javascript" / "drive.js"


def test_the_official_javascript_client_drives_the_platform(platform: Platform) -> None:
    node = shutil.which("node")
    if node is None or not (DRIVER.parent / "node_modules" / "openwhisk").is_dir():
        if os.environ.get("CI"):
            pytest.fail("Node.js and the openwhisk client are needed; scripts/setup dev installs them")
        pytest.skip("Node.js or the openwhisk client is not installed; run scripts/setup dev")
    environment = {**os.environ, "APIHOST": platform.api_host, "AUTH": platform.auth}
    result = subprocess.run([node, DRIVER], env=environment, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    assert "14 checks held" in result.stdout, result.stdout
