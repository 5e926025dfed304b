"""Small scenarios: their steps, and a way to run them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledgerlb.core.ledger.audit import Audit, AuditReport
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.simulator.faults import Fault
from ledgerlb.simulator.runner import Simulation
from ledgerlb.simulator.scenario import load_scenario
from tests.builders.objects import ADMITTED, Object, default_nad, kubemanager, namespace, node


def base(*more: Object) -> list[Object]:
    """Namespaces ``net`` (whose networks are admitted) and ``a``, the default selector, one /24, one node; and more."""
    return [
        namespace("contrail"),
        namespace("net", ADMITTED),
        namespace("a"),
        kubemanager(),
        default_nad("net/ext"),
        node("n1"),
        *more,
    ]


def apply(*objects: Object) -> Object:
    return {"apply": list(objects)}


def delete(kind: str, full_name: str) -> Object:
    namespace_of, _, name = full_name.rpartition("/")
    return {"delete": [{"kind": kind, "name": name, **({"namespace": namespace_of} if namespace_of else {})}]}


def document(steps: list[Object], settings: Mapping[str, Any] | None = None) -> Object:
    return {
        "apiVersion": "ledgerlb.io/v1alpha1",
        "kind": "Scenario",
        **({"settings": dict(settings)} if settings else {}),
        "steps": steps,
    }


def simulation_of(
    steps: list[Object], settings: Mapping[str, Any] | None = None, *, fault: Fault | None = None
) -> Simulation:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.yaml"
        file.write_text(json.dumps(document(steps, settings)), "utf-8")
        return Simulation(load_scenario(file), fault=fault)


def run(
    steps: list[Object], settings: Mapping[str, Any] | None = None, *, fault: Fault | None = None
) -> list[dict[str, Any]]:
    """The JSON object of each step."""
    return run_simulation(simulation_of(steps, settings, fault=fault))


def run_simulation(simulation: Simulation) -> list[dict[str, Any]]:
    """Run it; whatever the scenario is about, its ledger must verify."""

    async def steps() -> list[dict[str, Any]]:
        return [step async for step in simulation.run()]

    found = asyncio.run(steps())
    report = audit_of(simulation)
    assert report.clean, report.findings
    return found


def audit_of(simulation: Simulation) -> AuditReport:
    audit = Audit()
    for record in simulation.engine.records(LEDGER):
        audit.take(record.key, record.value)
    return audit.report()


def events(step: Mapping[str, Any]) -> list[str]:
    """Types of the ledger events of a step, in order."""
    return [event["type"] for entry in step["entries"] for event in entry["events"]]


def events_of(step: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for entry in step["entries"] for event in entry["events"] if event["type"] == kind]
