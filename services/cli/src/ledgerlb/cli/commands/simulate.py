"""``ledgerlb simulate FILE``: run a scenario through the whole decision path, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ledgerlb.cli.console import FINDINGS, Output, OutputOption, guarded, print_json, say
from ledgerlb.cli.listing import print_standing
from ledgerlb.simulator.runner import Simulation
from ledgerlb.simulator.scenario import load_scenario


@guarded
async def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A scenario file (docs/scenarios.md).", show_default=False)
    ],
    output: OutputOption = Output.text,
) -> int:
    """Run a scenario through the real selector, IPAM and planner in virtual time."""
    simulation = Simulation(load_scenario(file))
    unmet = expectations = warned = broken = 0
    before: dict[str, Any] = {}
    async for step in simulation.run():
        if step["action"] == "expect":
            expectations += 1
            unmet += step["expect"] != "met"
        broken += len(step.get("broken", ()))
        for warning in simulation.warnings[warned:]:
            say(f"warning: {warning}", err=True)
        warned = len(simulation.warnings)
        if output is Output.json:
            print_json(step)
        else:
            _print_step(step, before)
        before = step["services"]
    if output is Output.text:
        _print_end(simulation, expectations, unmet)
    return FINDINGS if unmet or broken else 0


def _print_step(step: dict[str, Any], before: dict[str, Any]) -> None:
    events = [event["type"] for entry in step["entries"] for event in entry["events"]]
    did = f"{len(step['entries'])} entries, {len(step['writes'])} writes" if events or step["writes"] else "no change"
    if step["action"] == "expect":
        did = "met" if step["expect"] == "met" else "NOT MET"
    say(f"{step['step']:>3}  {step['action']:<9}  {step['time']}  {did}")
    if step["expect"] != "met":
        for line in step["expect"]:
            say(f"       {line}")
    for line in step.get("broken", ()):
        say(f"       BROKEN: {line}")
    for name, service in step["services"].items():
        if before.get(name) != service:
            say(f"       {name}: {_summary(service)}")


def _summary(service: dict[str, Any]) -> str:
    parts = [service["state"]]
    if service["addresses"]:
        parts.append(f"{', '.join(service['addresses'])} of {service['network']}")
    weights = {
        f"{node} x{shown['weight']}"
        for nodes in service["path_set"].values()
        for node, shown in nodes.items()
        if shown["weight"]
    }
    if weights:
        parts.append(f"next hops {', '.join(sorted(weights))}")
    why = ": ".join(part for part in (service["reason"], service["message"]) if part)
    return "; ".join([*parts, why] if why else parts)


def _print_end(simulation: Simulation, expectations: int, unmet: int) -> None:
    say()
    print_standing(simulation.snapshots.lines(), list(simulation.engine.view.networks()), Output.text)
    if expectations:
        say()
        say(f"{expectations - unmet} of {expectations} expectations met")
