"""A test activation: whether a sandbox can be made here, and runs what it is given. It leaves no record."""

from __future__ import annotations

import logging
import os
from typing import Final

import msgspec

from sabayon.errors import SabayonError
from sabayon.sandbox.base import Egress, SandboxDriver, SandboxSpec

logger = logging.getLogger("sabayon.invoker")

MEMORY_MB: Final = 128
STEP_S: Final = 5.0
"""How long init and run may take, each."""

_CODE: Final = {  # the fastest first
    "python": "def main(args):\n    return args\n",
    "nodejs": "function main(args) { return args }",
}


async def try_out(driver: SandboxDriver) -> bool:
    """Whether it works, with a kind of the family that starts fastest. Raises nothing that a machine may do."""
    found = [kind for family in _CODE for kind in driver.kinds if kind.startswith(f"{family}:")]
    if not found:
        return False
    kind = found[0]
    try:
        return await _try(driver, kind)
    except (SabayonError, msgspec.DecodeError) as error:
        logger.warning("a test of this invoker failed: %s", error)
        return False


async def _try(driver: SandboxDriver, kind: str) -> bool:
    sandbox = await driver.create(SandboxSpec(kind, MEMORY_MB, Egress.NONE))
    try:
        code, nonce = _CODE[kind.partition(":")[0]], {"nonce": os.urandom(8).hex()}
        init = {"value": {"name": "test", "main": "main", "binary": False, "env": {}, "code": code}}
        opened = await sandbox.init(msgspec.json.encode(init), STEP_S)
        reply = await sandbox.run(msgspec.json.encode({"value": nonce}), STEP_S)
        return opened.status == reply.status == 200 and msgspec.json.decode(reply.body) == nonce
    finally:
        await sandbox.destroy("the test is over")
