"""What the platform does, shown on one that is started for the purpose: every command is printed, run and checked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "demo"
BIN = Path(sys.executable).parent


class Demo:
    """A running platform and the means to type commands at it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("SABAYON_", "WHISK_", "WSK_"))
            },
            "HOME": str(home),
            "NO_COLOR": "1",
        }

    @contextlib.contextmanager
    def platform(self) -> Iterator[None]:
        """`sabayon up` on a free port and a fresh data directory, stopped at the end."""
        command = ["sabayon", "up", "--port", "0", "--data-dir", str(self.home / "data")]
        print(f"$ {shlex.join(command)} &")
        with subprocess.Popen(
            [BIN / command[0], *command[1:]], env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                ready = process.stdout.readline()
                if not ready:
                    raise SystemExit("demo: the platform did not start; its reason is above")
                print(ready, flush=True)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        print(f"\nThe platform has stopped (exit code {process.returncode}).")
        check(process.returncode == 0, "the platform stops cleanly")

    def wsk(self, line: str) -> str:
        """Type `wsk LINE`; its output."""
        print(f"$ wsk {line}")
        result = subprocess.run(
            [BIN / "wsk", *shlex.split(line)],
            env=self.environment,
            cwd=SOURCES,
            capture_output=True,
            text=True,
            timeout=60,
        )
        print((result.stdout + result.stderr).rstrip() + "\n", flush=True)
        check(result.returncode == 0, f"wsk {line} exits 0, not {result.returncode}")
        return result.stdout

    def result(self, line: str) -> Any:
        """Type `wsk LINE`, whose whole output is JSON."""
        return json.loads(self.wsk(line))


def check(holds: bool, what: str) -> None:
    """Stop the demonstration when something is not as it should be."""
    if not holds:
        raise SystemExit(f"demo: failed: {what}")


def title(text: str) -> None:
    print(f"\n── {text} " + "─" * max(0, 96 - len(text)) + "\n", flush=True)


def activation(demo: Demo, activation_id: str) -> Any:
    """The record of an activation, without the `ok:` line before it."""
    for _ in range(100):
        probe = subprocess.run(
            [BIN / "wsk", "activation", "get", activation_id], env=demo.environment, capture_output=True, timeout=30
        )
        if probe.returncode == 0:
            break
        time.sleep(0.1)
    output = demo.wsk(f"activation get {activation_id}")
    return json.loads(output.partition("\n")[2])


def id_in(output: str) -> str:
    found = re.search(r"[0-9a-f]{32}", output)
    check(found is not None, "the output names an activation id")
    assert found is not None
    return found.group()


def hello(demo: Demo) -> None:
    title("An action, its result and its log")
    demo.wsk("action create hello hello.js")
    output = demo.wsk("action invoke --blocking hello")
    check('"hello": "world"' in output, "the result is there")
    record = activation(demo, id_in(output))
    check(record["response"]["result"] == {"hello": "world"}, "the record holds the result")
    check(any(line.endswith("stdout: Hello World") for line in record["logs"]), "the record holds the log line")


def parameters(demo: Demo) -> None:
    title("Python and JavaScript with parameters, waiting for the result or not")
    demo.wsk("action create greet greet.py --param place Rome")
    check(
        demo.result("action invoke greet --result --param name Ada") == {"greeting": "Hello, Ada from Rome!"},
        "default and given parameters are merged",
    )
    demo.wsk("action create saluer greet.js")
    check(
        demo.result("action invoke saluer --result --param name Blaise --param place Paris")
        == {"greeting": "Bonjour, Blaise de Paris !"},
        "JavaScript gets its parameters",
    )
    record = activation(demo, id_in(demo.wsk("action invoke greet --param name Grace")))
    check(record["response"]["result"] == {"greeting": "Hello, Grace from Rome!"}, "the result can be fetched later")


def packages(demo: Demo) -> None:
    title("A package with default parameters, and a binding of it")
    demo.wsk("package create office --param place Milan")
    demo.wsk("action create office/greet greet.py")
    demo.wsk("package bind office branch --param place Naples")
    check("Milan" in demo.wsk("action invoke office/greet --result"), "the package's parameter reaches the action")
    check("Naples" in demo.wsk("action invoke branch/greet --result"), "the binding's parameter beats the package's")


def sequences(demo: Demo) -> None:
    title("A sequence of three actions in two languages")
    for action, file in (("words", "words.py"), ("sort", "sort.js"), ("join", "join.py")):
        demo.wsk(f"action create {action} {file}")
    demo.wsk("action create sortwords --sequence words,sort,join")
    check(
        demo.result("action invoke sortwords --result --param text 'the quick brown fox'")
        == {"text": "brown fox quick the"},
        "each action gets the result of the one before",
    )


def triggers(demo: Demo) -> None:
    title("A trigger with two rules")
    demo.wsk("trigger create visitor")
    demo.wsk("rule create visitor-greeted visitor greet")
    demo.wsk("rule create visitor-salue visitor saluer")
    fired = activation(demo, id_in(demo.wsk("trigger fire visitor --param name Alan")))
    outcomes = [json.loads(line) for line in fired["logs"]]
    check({o["rule"] for o in outcomes} == {"guest/visitor-greeted", "guest/visitor-salue"}, "both rules were fired")
    greetings = [activation(demo, outcome["activationId"])["response"]["result"]["greeting"] for outcome in outcomes]
    check(sorted(greetings) == ["Bonjour, Alan de nowhere !", "Hello, Alan from Rome!"], "both actions ran")


def timers(demo: Demo) -> None:
    title("A timer that fires every two seconds")
    demo.wsk("action create tick tick.py")
    demo.wsk('trigger create every-two-seconds --feed /whisk.system/alarms/alarm --param cron "*/2 * * * * *"')
    demo.wsk("rule create --enable tick-tock every-two-seconds tick")
    print("$ wsk activation poll --exit 7")
    poll = subprocess.run(
        [BIN / "wsk", "activation", "poll", "--exit", "7"],
        env=demo.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    print(poll.stdout)
    ticks = poll.stdout.count("tick at ")
    check(ticks >= 2, f"the timer fired at least twice in seven seconds, not {ticks} times")
    demo.wsk("trigger delete every-two-seconds")
    demo.wsk("rule delete tick-tock")


def main() -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sabayon-demo-") as home:
        demo = Demo(Path(home))
        with demo.platform():
            for part in (hello, parameters, packages, sequences, triggers, timers):
                part(demo)
    print(f"All of it worked, in {time.monotonic() - started:.0f} seconds.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
