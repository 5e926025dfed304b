"""The table of ``ledgerlb run`` shows after each record what a view of the whole log shows."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ledgerlb.cli.service_table import ServiceTable
from ledgerlb.core.errors import BadInput
from ledgerlb.core.paths.pathset import Report, encode_path_set, encode_report
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import LEDGER, PATHS, REPORTS
from ledgerlb.runtime.logview import LogView, ServiceLine
from ledgerlb.runtime.projection import Projection
from tests.behaviour import test_agents, test_changes, test_sharing
from tests.behaviour.play import Case, case
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, NETWORK, nad, service
from tests.support.simulate import apply, delete, simulation_of

APART = [nad(f"net/{name}", "198.51.100.0/24", routeTargetList=[f"t:{name}"]) for name in "oy"]
OWNER_GOES = case(
    "the-owner-of-an-address-of-two-networks-goes",
    world(*APART, service("a/first", {NETWORK: "net/o"}), service("a/full", {ADDRESSES: "192.0.2.200"})),
    apply(service("a/second", {NETWORK: "net/y"})),
    {"agents": "silent"},
    delete("Service", "a/first"),
    {"agents": "normal"},
)
CASES = [OWNER_GOES, *test_agents.CASES, *test_changes.CASES[::5], *test_sharing.CASES[::4]]


def records_of(case: Case) -> list[Record]:
    """Everything that the case writes to the log, in the order of time."""

    async def run() -> list[Record]:
        simulation = simulation_of([dict(item) for item in case.script if isinstance(item, dict)], case.settings)
        async for _ in simulation.run():
            pass
        found = [record for topic in LogView.READS for record in simulation.engine.records(topic)]
        return sorted(found, key=lambda record: record.timestamp)

    return asyncio.run(run())


def table_of(case: Case) -> tuple[LogView, ServiceTable]:
    projection = Projection()
    view = LogView(DomainSettings(**case.settings), projection)
    return view, ServiceTable(view, projection)


def timeless(line: ServiceLine) -> ServiceLine:
    """The line without the conditions, which have the time at which they were computed."""
    return replace(line, publication=replace(line.publication, conditions=()))


def take(view: LogView, table: ServiceTable, record: Record) -> None:
    with contextlib.suppress(BadInput):
        view.take(record)
    table.take(record)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_table_shows_what_a_view_of_the_whole_log_shows(case: Case) -> None:
    view, table = table_of(case)
    logged: dict[str, object] = {}
    for record in records_of(case):
        take(view, table, record)
        now = view.as_of
        assert now is not None
        if record.key.startswith("heartbeat/"):
            continue  # an agent that returns counts as alive, and its reports follow
        expected = [timeless(line) for line in view.services(now)]
        assert [timeless(line) for line in table.lines(now)] == expected
        for name, line in table.changes(now).items():
            logged.pop(name, None)
            if line is not None:
                logged[name] = timeless(line)
        assert logged == {line.name: line for line in expected}


def folded(case: Case) -> tuple[LogView, ServiceTable, datetime]:
    view, table = table_of(case)
    for record in records_of(case):
        take(view, table, record)
    assert view.as_of is not None
    table.lines(view.as_of)
    return view, table, view.as_of


def test_damage_concerns_every_service() -> None:
    view, table, now = folded(case("waiting", world(service("a/s", {ADDRESSES: "203.0.113.9"}))))
    take(view, table, Record(LEDGER.name, 10_000, "net/ext", b"{", view.newest))
    assert view.ledger.damage
    assert [line.publication.reason for line in table.lines(now)] == [Reason.LEDGER_DAMAGED]


def test_a_service_that_leaves_a_path_set_loses_it() -> None:
    view, table, now = folded(case("one", world(service("a/s"))))
    (line,) = table.lines(now)
    ((address, path_set),) = line.path_sets.items()
    other = path_set.model_copy(update={"services": ("a/other",)})
    take(view, table, Record(PATHS.name, 10_000, address, encode_path_set(other), view.newest))
    assert [line.path_sets for line in table.lines(now)] == [{}]


def test_a_report_concerns_the_holders_of_its_address() -> None:
    _, table, now = folded(case("one", world(service("a/s"))))
    table.changes(now)
    report = Report(address="192.0.2.2", agent="n1", state="programmed", path="", at=now, seconds=0.0)
    table.take(Record(REPORTS.name, 10_000, "192.0.2.2/n1", encode_report(report), 0))
    assert list(table._stale) == ["a/s"]


def test_time_ends_the_wait_for_an_agent_that_died() -> None:
    moved = case(
        "moving",
        world(nad("net/two", "198.51.100.0/24"), service("a/s")),
        {"agents": "silent"},
        apply(service("a/s", {NETWORK: "net/two"})),
    )
    _, table, now = folded(moved)
    assert [line.publication.state for line in table.lines(now)] == ["Moving"]
    assert [line.publication.state for line in table.lines(now + timedelta(hours=1))] == ["Ready"]
