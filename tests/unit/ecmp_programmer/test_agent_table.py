"""Whose address is programmed: a report counts for the holder whose allocation it answers, and for nobody before."""

from __future__ import annotations

from datetime import timedelta

from ledgerlb.core.ledger.events import AddressAllocated, AddressReleased, AddressReleasing, NetworkDefined, Prefix
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import Heartbeat, Report, report_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.planner import Planner
from tests.support.ledger import NETWORK, START, Office, intent_of, offer
from tests.unit.ecmp_programmer.pipeline import Clock, FakeBackend, Pipeline

ADDRESS = "192.168.102.2"


def table(*reports: Report) -> AgentTable:
    made = AgentTable()
    made.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    for report in reports:
        made.take(report_key(report), report, START)
    return made


def said(*allocations: str, address: str = ADDRESS) -> Report:
    return Report(address=address, agent="n1", state="programmed", path="x", at=START, allocations=allocations)


def test_a_report_from_an_earlier_holding_is_not_one_for_this() -> None:
    earlier = table(said("a/b#1"))
    assert earlier.programmed(ADDRESS, START, 60, allocations=("a/b#1",))
    assert not earlier.programmed(ADDRESS, START, 60, allocations=("a/b#7",))
    assert earlier.programmed(ADDRESS, START, 60), "without an allocation the address alone counts"


def test_every_sharer_of_the_path_set_is_programmed_with_it() -> None:
    shared = table(said("a/b#1", "a/b#7"))
    assert shared.programmed(ADDRESS, START, 60, allocations=("a/b#7",))
    assert not shared.programmed(ADDRESS, START, 60, allocations=("a/b#9",))


def test_a_report_that_names_no_allocation_counts_as_before() -> None:
    assert table(said()).programmed(ADDRESS, START, 60, allocations=("a/b#7",))


def test_a_changed_request_keeps_the_old_address_until_this_allocation_is_programmed() -> None:
    office = Office(offer("192.168.102.0/24"))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    office.settle(intent_of("web"))
    again = intent_of("web", revision=2, requested=("192.168.102.50",))
    office.settle(again)
    given = office.state.records["192.168.102.50"].holders[0].seq
    for allocation, held in (("0", ["192.168.102.2", "192.168.102.50"]), (str(given), ["192.168.102.50"])):
        report = said(f"{NETWORK}#{allocation}", address="192.168.102.50")
        office.agents.take(report_key(report), report, START)
        office.settle(again)
        assert office.held("web") == held


def test_a_heartbeat_from_the_future_counts_from_when_it_was_read() -> None:
    table = AgentTable()
    table.take("heartbeat/n1", Heartbeat(agent="n1", at=START + timedelta(days=365), started=START), START)
    assert table.alive(START + timedelta(seconds=60), 60) == ("n1",)
    assert table.alive(START + timedelta(seconds=61), 60) == ()
    assert table.heard_since(START + timedelta(seconds=1)) == ()


async def test_planner_and_agent_tell_whose_path_set_was_answered() -> None:
    pipeline = Pipeline(Planner(DomainSettings()))
    reading = Pipeline(Agent(FakeBackend(), "n1", Clock()))
    reading.log = pipeline.log
    await pipeline.sync()
    key = {"sharing_key": "k"}
    defined = NetworkDefined(prefixes=(Prefix(family=4, prefix="192.168.102.0/24"),))

    async def answered() -> tuple[str, ...]:
        await pipeline.turn()
        await reading.turn()
        return reading.reports()[-1].allocations

    first = AddressAllocated(address=ADDRESS, family=4, service="a/one", uid="1", choice="never-used", **key)
    await pipeline.decide(defined, first)
    assert await answered() == ("contrail/external#1",)
    await pipeline.decide(AddressAllocated(address=ADDRESS, family=4, service="a/two", uid="2", choice="shared", **key))
    assert await answered() == ("contrail/external#1", "contrail/external#2")
    assert reading.reports()[-1].state == "programmed"


async def test_an_address_that_comes_back_is_reported_under_its_new_allocation() -> None:
    pipeline = Pipeline(Planner(DomainSettings()))
    reading = Pipeline(Agent(FakeBackend(), "n1", Clock()))
    reading.log = pipeline.log
    await pipeline.sync()
    defined = NetworkDefined(prefixes=(Prefix(family=4, prefix="192.168.102.0/24"),))

    def given(name: str) -> AddressAllocated:
        return AddressAllocated(address=ADDRESS, family=4, service=name, uid="u", choice="never-used")

    await pipeline.decide(defined, given("a/one"))
    await pipeline.turn()
    await reading.turn()
    # The agent is away while the address is released and given to somebody else: its last word is an old one.
    await pipeline.decide(AddressReleasing(address=ADDRESS, service="a/one"))
    await pipeline.decide(AddressReleased(address=ADDRESS, service="a/one"))
    await pipeline.decide(given("a/two"))
    await pipeline.turn()
    (old,) = reading.reports()
    assert not table(old).programmed(ADDRESS, START, 60, allocations=("contrail/external#4",))
    await reading.turn()
    assert table(reading.reports()[-1]).programmed(ADDRESS, START, 60, allocations=("contrail/external#4",))
