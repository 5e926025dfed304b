"""What counts as programmed, agent by agent: what a scenario cannot hold between two reports."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledgerlb.core.cluster.facts import Condition
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import Heartbeat, Report
from ledgerlb.core.publication.publish import publish
from ledgerlb.core.settings import DomainSettings
from tests.unit.publication.world import NEW, NOW, holds, selected, service

A = "192.168.2.4"
DONE = f"{A}: programmed"


def table(*beats: tuple[str, str, float], **reports: Report) -> AgentTable:
    """Agents as (name, back end, age of the heartbeat in seconds), and the report of each, by name."""
    found = AgentTable()
    for name, backend, age in beats:
        at = NOW - timedelta(seconds=age)
        found.take(f"heartbeat/{name}", Heartbeat(agent=name, at=at, started=at, backend=backend), NOW)
    for name, report in reports.items():
        found.take(f"{A}/{name}", report.model_copy(update={"agent": name}), NOW)
    return found


def report(state: str = "programmed", allocation: str = f"{NEW}#1", message: str = "") -> Report:
    body = {"address": A, "agent": "", "state": state, "path": "p", "at": NOW, "message": message}
    return Report.model_validate({**body, "allocations": (allocation,) if allocation else ()})


def answer(agents: AgentTable, *conditions: Condition) -> tuple[str, str]:
    fact = service(conditions=conditions)
    found = publish(fact, selected(), [holds(A, seq=1)], [], agents, NOW, DomainSettings()).reachability
    assert found is not None
    return found.status, found.reason


REAL, OTHER, RECORDER = ("n1", "fabric-linux", 1.0), ("n2", "fabric-linux", 1.0), ("r", "record", 1.0)
DEAD = ("n2", "fabric-linux", 1000.0)


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        (table(), ("False", "NoAgents")),
        (table(RECORDER), ("False", "RecordOnly")),
        (table(RECORDER, r=report()), ("False", "RecordOnly")),
        (table(("r", "record", 1000.0)), ("False", "RecordOnly")),
        (table(REAL), ("Unknown", "WaitingForAgents")),
        (table(REAL, n1=report()), ("True", "Programmed")),
        (table(REAL, n1=report(allocation="")), ("True", "Programmed")),
        (table(REAL, n1=report(allocation="contrail/old#1")), ("Unknown", "WaitingForAgents")),
        (table(REAL, n1=report("withdrawn")), ("Unknown", "WaitingForAgents")),
        (table(REAL, OTHER, n1=report()), ("Unknown", "WaitingForAgents")),
        (table(REAL, OTHER, n1=report(), n2=report()), ("True", "Programmed")),
        (table(REAL, OTHER, n1=report(), n2=report("failed")), ("False", "ProgrammingFailed")),
        (table(REAL, DEAD, n1=report()), ("True", "Programmed")),
        (table(REAL, DEAD, n1=report(), n2=report("failed")), ("True", "Programmed")),
        (table(DEAD, n2=report()), ("False", "NoAgents")),
        (table(DEAD, RECORDER, n2=report()), ("False", "NoAgents")),
        (table(REAL, RECORDER, n1=report(), r=report("failed")), ("True", "Programmed")),
    ],
)
def test_only_what_live_agents_with_a_real_back_end_report_counts(agents, expected):
    assert answer(agents) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [(DONE, ("True", "Programmed")), ("192.168.2.9: programmed", ("Unknown", "WaitingForAgents"))],
)
def test_an_answer_about_the_same_address_stays_while_a_new_agent_is_still_to_report(message, expected):
    shown = Condition(type="ledgerlb.io/Programmed", status="True", reason="Programmed", message=message)
    assert answer(table(REAL, OTHER, n1=report()), shown) == expected


def test_a_heartbeat_ends_what_was_worked_out_about_the_same_moment():
    agents = table(REAL)
    assert agents.live(NOW, 300).programming == ("n1",)
    agents.take("heartbeat/n2", Heartbeat(agent="n2", at=NOW, started=NOW, backend="node"), NOW)
    assert agents.live(NOW, 300).programming == ("n1", "n2")
    assert agents.next_death(NOW, 300) == 299.0
    assert table(RECORDER).next_death(NOW, 300) is None


def test_an_older_report_is_judged_by_the_heartbeat():
    agents = table(RECORDER, REAL, r=report(), n1=report())
    assert [agents.done_by(one) for one in agents.reports(A)] == ["programmed", "recorded"]
