"""A runaway of each kind in one namespace: it is stopped by its limits, and another namespace does not notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.running import Platform, await_value, running

STEADY = "def main(args):\n    return {'n': args['n']}\n"

RUNAWAYS: dict[str, tuple[str, str]] = {
    "memory": (
        "def main(args):\n    hoard = []\n    while True:\n        hoard.append(bytearray(8 << 20))\n",
        "The action exhausted its memory and was aborted.",
    ),
    "cpu": (
        "def main(args):\n    while True:\n        pass\n",
        "The action exceeded its time limits of 2000 milliseconds.",
    ),
    "forks": (
        "import os, time\n"
        "def main(args):\n"
        "    n = 0\n"
        "    while True:\n"
        "        try:\n"
        "            if os.fork() == 0:\n"
        "                time.sleep(60)\n"
        "            n += 1\n"
        "        except OSError as error:\n"
        "            return {'error': f'{n < 1000} {error.errno}'}\n",
        "True 11",
    ),
    "disk": (
        "def main(args):\n"
        "    with open('/tmp/big', 'wb') as file:\n"
        "        try:\n"
        "            while True:\n"
        "                file.write(bytes(1 << 20))\n"
        "        except OSError as error:\n"
        "            return {'error': error.errno}\n",
        "28",
    ),
    "log": ("def main(args):\n    while True:\n        print('x' * 1000)\n", "2000 milliseconds"),
    "result": ("def main(args):\n    return {'big': 'x' * (10 << 20)}\n", "exceeded the allowed length"),
    "death": (
        "import os\ndef main(args):\n    os.kill(os.getpid(), 11)\n    import ctypes\n    ctypes.string_at(0)\n",
        "exited unexpectedly",
    ),
    "garbage": (
        "import os\ndef main(args):\n    os.write(3, b'garbage' * 1000)\n    return {}\n",
        "The action did not produce a valid",
    ),
    "stdout": (
        "import os\ndef main(args):\n    os.closerange(1, 3)\n    return {'error': 'closed'}\n",
        "closed",
    ),
}


@pytest.fixture(scope="module")
def small_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("runaways")) as platform:
        yield platform


class Steady:
    """Invokes at a steady rate and counts what goes wrong."""

    def __init__(self, platform: Platform, key: str) -> None:
        self._platform = platform
        self._key = key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.good = 0
        self.bad: list[Any] = []
        self.slowest_s = 0.0

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            started = time.monotonic()
            answer = self._platform.invoke("steady", {"n": self.good}, auth=self._key, timeout=30)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            if answer.status == 200 and answer.json["response"]["result"] == {"n": self.good}:
                self.good += 1
            else:
                self.bad.append((answer.status, answer.body))


@pytest.mark.parametrize("kind", RUNAWAYS)
def test_a_runaway_ends_by_its_limits_and_the_other_namespace_sees_no_failure(
    small_platform: Platform, kind: str
) -> None:
    platform = small_platform
    code, expected = RUNAWAYS[kind]
    quiet = platform.namespace(f"quiet-{kind}")
    noisy = platform.namespace(f"noisy-{kind}")
    platform.create_action("steady", STEADY, auth=quiet)
    platform.create_action("runaway", code, auth=noisy, limits={"timeout": 2000, "memory": 128, "logs": 1})
    assert platform.invoke("steady", {"n": 0}, auth=quiet).status == 200
    with Steady(platform, quiet) as steady:
        for _ in range(2):
            answer = platform.invoke("runaway", auth=noisy)
            assert answer.status == 502, answer.body
            assert expected in str(answer.json["response"]["result"]["error"])
        await_value(lambda: steady.good > 3)
    assert steady.bad == []
    if kind == "log":
        record = platform.record(answer.json["activationId"], auth=noisy)
        assert any("Logs were truncated" in line for line in record["logs"])
        assert sum(map(len, record["logs"])) < 2 << 20


@pytest.mark.parametrize("kind", ["nodejs:default", "python:default"])
def test_an_action_that_never_ends_by_itself_is_ended_and_its_container_replaced(
    small_platform: Platform, kind: str
) -> None:
    platform = small_platform
    code = {
        "nodejs:default": "function main(p) { if (p.spin) for (;;); return { ok: true }; }",
        "python:default": "def main(p):\n    while p.get('spin'):\n        pass\n    return {'ok': True}\n",
    }[kind]
    platform.create_action("spin", code, kind, limits={"timeout": 500})
    assert platform.invoke("spin", {"spin": True}).status == 502
    assert platform.invoke("spin", {}).json["response"]["result"] == {"ok": True}
