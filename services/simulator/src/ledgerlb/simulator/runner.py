"""Runs a scenario step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ledgerlb.core.errors import NotSupported
from ledgerlb.simulator.engine import Engine
from ledgerlb.simulator.faults import Fault
from ledgerlb.simulator.scenario import (
    Advance,
    Agents,
    Apply,
    Crash,
    Delete,
    Expect,
    Redeliver,
    Restart,
    Scenario,
    Step,
)
from ledgerlb.simulator.snapshot import Snapshots


class Simulation:
    """One run of a scenario. ``warnings`` are the problems that did not stop it, each with its step."""

    def __init__(self, scenario: Scenario, *, fault: Fault | None = None) -> None:
        counts = [step.action.count for step in scenario.steps if isinstance(step.action, Redeliver)]
        self.scenario = scenario
        self.engine = Engine(scenario.settings, remember=max(counts, default=0), fault=fault)
        self.snapshots = Snapshots(self.engine)
        self.warnings: list[str] = []
        self._problems = 0

    async def run(self) -> AsyncIterator[dict[str, Any]]:
        """Run the steps; yields the JSON object of each. Raises BadInput for an object that cannot be applied."""
        for step in self.scenario.steps:
            try:
                await self._do(step)
            except NotSupported as error:
                raise NotSupported(f"{step.where}: step {step.number} ({step.verb}): {error}") from error
            fresh = self.engine.problems[self._problems :]
            self._problems += len(fresh)
            self.warnings += [f"step {step.number}: {message}" for message in fresh]
            yield self.snapshots.take(step)

    async def _do(self, step: Step) -> None:
        engine = self.engine
        match step.action:
            case Apply() as apply:
                await engine.apply(zip(apply.objects, apply.places, strict=True))
            case Delete() as delete:
                for missing in await engine.delete(delete.references):
                    name = f"{missing.namespace}/{missing.name}" if missing.namespace else missing.name
                    self.warnings.append(f"step {step.number}: there is no {missing.kind} {name} to delete")
            case Advance() as advance:
                await engine.advance(advance.seconds)
            case Restart() as restart:
                await engine.restart(restart.parts)
            case Crash() as crash:
                await engine.restart((crash.part,))
            case Redeliver() as redeliver:
                await engine.redeliver(redeliver.count)
            case Agents() as agents:
                await engine.agents(agents.mode)
            case Expect():
                await engine.pump()
