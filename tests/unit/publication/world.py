"""What publication tests are made of: one Service, what it holds, what was refused, which agents live."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from ledgerlb.core.intents.model import Selection
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import Heartbeat, Report
from tests.builders import entries, facts

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
OLD = "contrail/old"
NEW = "contrail/new"


service = functools.partial(facts.service, "a/web", uid="u1", ip_families=(4,), has_finalizer=True)


def selected(network: str | None = NEW, **fields: object) -> Selection:
    base = {"service": "a/web", "revision": 1, "uid": "u1", "network": network, "rung": "default-selector"}
    return Selection.model_validate(base | fields)


def holds(address: str, network: str = NEW, **fields: object) -> Holding:
    return entries.holding(address, network, **({"uid": "u1", "since": NOW} | fields))


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
        table.take(f"heartbeat/{name}", Heartbeat(agent=name, at=at, started=at), NOW)
    for name, addresses in (programmed or {}).items():
        for address in addresses:
            report = Report(address=address, agent=name, state="programmed", path="p", at=NOW)
            table.take(f"{address}/{name}", report, NOW)
    return table
