"""Every scenario under examples/ meets its expectations."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledgerlb.simulator.runner import Simulation
from ledgerlb.simulator.scenario import Expect, load_scenario
from tests.support.simulate import run_simulation

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("scenario*.yaml"))


def test_there_are_examples() -> None:
    assert EXAMPLES / "quickstart" / "scenario.yaml" in FILES
    assert len(FILES) >= 5


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_meets_its_expectations(file: Path) -> None:
    simulation = Simulation(load_scenario(file))
    assert any(isinstance(step.action, Expect) for step in simulation.scenario.steps)
    steps = run_simulation(simulation)
    assert [(step["step"], step["expect"]) for step in steps if step["expect"] != "met"] == []
    assert simulation.warnings == []
