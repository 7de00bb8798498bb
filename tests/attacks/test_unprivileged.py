"""The same attacks on the sandboxes of an ordinary user's platform, as far as that level promises to withstand them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.attacks import test_files, test_javascript, test_kernel, test_network, test_processes, test_quotas
from tests.attacks.frame import Attack, Outcome, cases, for_this_machine
from tests.conformance.test_sandbox_unprivileged import answers, interpreter

_LISTS = (test_files, test_javascript, test_kernel, test_network, test_processes, test_quotas)
ATTACKS = for_this_machine([attack for module in _LISTS for attack in module.ATTACKS if not attack.only_as_root])


@pytest.fixture(scope="module")
def outcomes(ground: dict[str, Any]) -> dict[str, Outcome | None]:
    """What became of each attack, by its name; one driver tries them all, each in a sandbox of its own."""
    if os.geteuid():
        pytest.skip("only root can become an ordinary user and come back")
    python = interpreter()
    if python is None:
        pytest.skip("an ordinary user can run no Python here that finds the platform")
    addresses = test_network.addresses(ground)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    arguments = [{**ground, **addresses.get(attack.name, {}), **attack.args} for attack in ATTACKS]
    found = answers(
        python, [(attack.language, attack.source, args) for attack, args in zip(ATTACKS, arguments, strict=True)]
    )
    return {attack.name: outcome for attack, outcome in zip(ATTACKS, found, strict=True)}


@cases(ATTACKS)
def test_an_attack_fails_in_an_ordinary_users_sandbox(outcomes: dict[str, Outcome | None], attack: Attack) -> None:
    outcome = outcomes[attack.name]
    if outcome is None:
        pytest.skip("there is no `node` on the PATH")
    assert attack.denied(outcome), outcome
