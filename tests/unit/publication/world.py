"""What publication tests are made of: one Service, what it holds, what was refused, which agents live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledgerlb.core.agents import AgentTable
from ledgerlb.core.facts import ServiceFact
from ledgerlb.core.intents import Selection
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.pathset import Heartbeat, Report

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
OLD = "contrail/old"
NEW = "contrail/new"


def service(**fields: object) -> ServiceFact:
    base = {
        "namespace": "a",
        "name": "web",
        "uid": "u1",
        "type": "LoadBalancer",
        "ip_families": (4,),
        "has_finalizer": True,
    }
    return ServiceFact.model_validate(base | fields)


def selected(network: str | None = NEW, **fields: object) -> Selection:
    base = {"service": "a/web", "revision": 1, "uid": "u1", "network": network, "rung": "default-selector"}
    return Selection.model_validate(base | fields)


def holds(address: str, network: str = NEW, **fields: object) -> Holding:
    base = {
        "network": network, "address": address, "family": 6 if ":" in address else 4, "service": "a/web", "uid": "u1",
        "state": "held", "since": NOW, "seq": 1, "release_seq": 0, "release_at": None, "sharing_key": "", "ports": (),
        "basis": "", "choice": "never-used",
    }  # fmt: skip
    return Holding(**(base | fields))


def refused(reason: str, network: str = NEW, families: tuple[int, ...] = (), **fields: object) -> Refusal:
    base = {
        "network": network, "service": "a/web", "uid": "u1", "reason": reason, "message": f"says {reason}",
        "families": families, "at": NOW, "seq": 2,
    }  # fmt: skip
    return Refusal(**(base | fields))


def agents(*living: str, programmed: dict[str, list[str]] | None = None, age: float = 1.0) -> AgentTable:
    """Agents heard of ``age`` seconds ago, and which addresses each reported programmed."""
    table = AgentTable()
    for name in living:
        at = NOW - timedelta(seconds=age)
        table.take(f"heartbeat/{name}", Heartbeat(agent=name, at=at, started=at))
    for name, addresses in (programmed or {}).items():
        for address in addresses:
            report = Report(address=address, agent=name, state="programmed", path="p", at=NOW)
            table.take(f"{address}/{name}", report)
    return table
