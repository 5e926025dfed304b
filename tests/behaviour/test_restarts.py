"""Repeat the longer cases of every table with a restart of all parts after each step: the outcome is the same.
Every case ends so anyhow (see ``play``).
"""

from __future__ import annotations

import pytest

from tests.behaviour import (
    test_adoption,
    test_agents,
    test_allocation,
    test_changes,
    test_conflicts,
    test_known_failures,
    test_networks,
    test_paths,
    test_requests,
    test_secondary_interfaces,
    test_selection,
    test_service_contract,
    test_sharing,
)
from tests.behaviour.play import Case, play

TABLES = (
    test_adoption,
    test_agents,
    test_allocation,
    test_changes,
    test_conflicts,
    test_known_failures,
    test_networks,
    test_paths,
    test_requests,
    test_secondary_interfaces,
    test_selection,
    test_service_contract,
    test_sharing,
)
BETWEEN = ({"restart": "all"},)
FEWEST_STEPS = 4


def steps(one: Case) -> int:
    return sum(isinstance(item, dict) and "expect" not in item for item in one.script)


ALL = [one for table in TABLES for one in table.CASES]
CASES = [one for one in ALL if steps(one) >= FEWEST_STEPS]


def test_no_two_cases_have_one_name() -> None:
    names = [one.name for one in ALL]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_restarts_after_every_step_change_nothing(case: Case) -> None:
    play(case, between=BETWEEN)
