"""Attempts by JavaScript, with what Node.js itself offers; what a system call can do is tried from Python."""

from __future__ import annotations

import errno
from typing import Any

from tests.attacks.frame import (
    NOT_THERE,
    Attack,
    Verdict,
    cases,
    fails_with,
    gains_nothing,
    gains_something,
    inside,
    outside,
)
from tests.conformance.sandbox_stage import Stage

READ = "const attack = (args) => require('fs').readFileSync(%s, 'utf8');"

SYMLINK = """
const fs = require('fs');
function attack(args) {
  const link = `${fs.existsSync(args.folder) ? args.folder : '/tmp'}/from-javascript`;
  fs.symlinkSync(args.secret, link);
  return fs.readFileSync(link, 'utf8');
}
"""

IN_A_WORKER = """
const { Worker } = require('worker_threads');
const attack = (args) => new Promise((resolve, reject) => {
  const code = `const { parentPort, workerData } = require('worker_threads');
    parentPort.postMessage(require('fs').readFileSync(workerData, 'utf8'));`;
  new Worker(code, { eval: true, workerData: args.secret }).on('message', resolve).on('error', reject);
});
"""

BY_A_PROGRAM = """
const attack = (args) => require('child_process').spawnSync('/bin/cat', [args.secret], { encoding: 'utf8' }).stdout;
"""

CONNECT = """
const attack = (args) => new Promise((resolve, reject) => {
  require('net').connect(args.port, '127.0.0.1').on('connect', () => resolve(true)).on('error', reject);
});
"""

CONNECT_NAMED = """
const attack = (args) => new Promise((resolve, reject) => {
  require('net').connect(args.path).on('connect', () => resolve(true)).on('error', reject);
});
"""

SIGNAL = "const attack = (args) => process.kill(args.pid, 0);"
PRIORITY = "const attack = () => { os.setPriority(0, -5); return os.getPriority(0) === -5; };"
OTHER_NAMES = """
const attack = (args) => require('fs').readdirSync('/proc').includes(String(args.pid));
"""
OPEN_FOLDERS = """
const fs = require('fs');
const attack = (args) => fs.readdirSync('/proc/self/fd').filter((fd) => {
  try { return fs.existsSync(`/proc/self/fd/${fd}${args.secret}`); } catch { return false; }
}).concat(fs.existsSync(args.secret) ? ['root'] : []);
"""


def _attack(name: str, code: str, denied: Verdict, **rest: Any) -> Attack:
    return Attack(f"{name} by JavaScript", code, denied, language="nodejs", **rest)


REFUSED = fails_with(errno.EPERM, errno.EACCES)

ATTACKS = [
    _attack("read a file of the host", READ % "args.secret", NOT_THERE),
    _attack("read it through the root of this process", READ % "'/proc/self/root' + args.secret", NOT_THERE),
    _attack("read it by its address", READ % "new URL('file://' + args.secret)", NOT_THERE),
    _attack("follow a symbolic link to it", SYMLINK, NOT_THERE),
    _attack("read it in a worker", IN_A_WORKER, NOT_THERE),
    _attack("read it by a program", BY_A_PROGRAM, gains_nothing),
    _attack("use a folder that was left open", OPEN_FOLDERS, gains_nothing),
    _attack("read the environment of another process", READ % "`/proc/${args.pid}/environ`", NOT_THERE),
    _attack("see another process", OTHER_NAMES, gains_nothing),
    _attack("signal another process", SIGNAL, fails_with(errno.ESRCH)),
    _attack("connect to the host", CONNECT, fails_with(errno.ECONNREFUSED)),
    _attack("connect to a named socket of the host", CONNECT_NAMED, NOT_THERE),
    _attack("get more time than its share", PRIORITY, REFUSED),
]  # fmt: skip


@cases(ATTACKS)
def test_an_attack_by_javascript_fails_in_a_sandbox(stage: Stage, ground: dict[str, Any], attack: Attack) -> None:
    outcome = inside(stage, attack, ground)
    assert attack.denied(outcome), outcome


@cases(ATTACKS)
def test_an_attack_by_javascript_works_on_the_host(ground: dict[str, Any], attack: Attack) -> None:
    outcome = outside(attack, ground)
    assert gains_something(outcome), outcome
