"""The agent on a log, with a back end that does as told: reports, heartbeats, retries."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ledgerlb.core.errors import BadInput
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import Frontend, NextHop, PathSet, decode_report
from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.backends.record import RecordBackend
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import PATHS, REPORTS
from tests.unit.ecmp_programmer.pipeline import Clock, FakeBackend, Pipeline

ADDRESS = "192.168.102.2"
OTHER = "192.168.102.3"
CLOSED = Frontend(service="a/s", protocol="TCP", port=80, source_ranges=())


def path_set(address: str = ADDRESS, **more: object) -> PathSet:
    hops = (NextHop(node="n1", via="10.0.0.1", weight=2),)
    given = {"next_hops": hops, "allocation": "a/b#1", **more}
    return PathSet.model_validate({"address": address, "family": 4, "network": "a/b", **given})


def release(address: str = ADDRESS) -> PathSet:
    return path_set(address, next_hops=(), withdraw=True, release="a/b#2")


class Lab:
    def __init__(self, reconcile_seconds: float = 30.0) -> None:
        self.reconcile_seconds = reconcile_seconds
        self.clock = Clock()
        self.backend = FakeBackend()
        self.pipeline = Pipeline(self.agent())

    def agent(self) -> Agent:
        return Agent(self.backend, "n1", self.clock, reconcile_seconds=self.reconcile_seconds)

    def states(self) -> list[tuple[str, str]]:
        return [(report.address, report.state) for report in self.pipeline.reports()]


async def test_what_is_programmed_is_reported_with_weights_and_the_path_sets_digest() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    (report,) = lab.pipeline.reports()
    assert (report.address, report.agent, report.state, report.weights) == (ADDRESS, "n1", "programmed", {"n1": 2})
    assert len(report.path) == 64
    assert lab.backend.there == {ADDRESS: path_set()}


async def test_a_withdrawal_is_confirmed_with_its_release_also_by_one_that_had_nothing() -> None:
    lab = Lab()
    await lab.pipeline.publish(release())
    await lab.pipeline.turn()
    table = AgentTable()
    for record in lab.pipeline.records(REPORTS):
        table.take(record.key, decode_report(record.key, record.value), lab.clock())
    assert table.withdrawn(ADDRESS, "a/b#2") == ("n1",)


async def test_each_change_is_reported_once_and_only_its_address_is_touched() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set(), path_set(OTHER))
    await lab.pipeline.turn()
    await lab.pipeline.publish(release())
    await lab.pipeline.turn()
    await lab.pipeline.turn()
    assert lab.states() == [(ADDRESS, "programmed"), (OTHER, "programmed"), (ADDRESS, "withdrawn")]
    assert lab.backend.calls == ["open", "reconcile", f"apply {ADDRESS}"]


async def test_a_batch_is_programmed_as_it_stands_at_its_end() -> None:
    lab = Lab()
    await lab.pipeline.turn()
    await lab.pipeline.publish(path_set(), path_set(frontends=(CLOSED,)), path_set(OTHER))
    await lab.pipeline.turn()
    assert lab.states() == [(ADDRESS, "programmed"), (OTHER, "programmed")]
    assert lab.backend.there[ADDRESS].admits_nobody


async def test_a_new_allocation_of_an_address_is_reported_anew() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    await lab.pipeline.publish(path_set(allocation="a/b#9"))
    await lab.pipeline.turn()
    first, second = lab.pipeline.reports()
    assert first.path != second.path


async def test_a_forgotten_path_set_takes_its_route_and_its_report_along() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    await lab.pipeline.forget(ADDRESS)
    await lab.pipeline.turn()
    assert lab.backend.there == {}
    assert (lab.pipeline.records(REPORTS)[-1].key, lab.pipeline.records(REPORTS)[-1].value) == (f"{ADDRESS}/n1", None)


async def test_a_restart_reconciles_and_says_nothing_new() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    lab.backend.there = {}
    lab.pipeline.start_over(lab.agent())
    await lab.pipeline.turn()
    assert lab.backend.there == {ADDRESS: path_set()}
    assert len(lab.pipeline.reports()) == 1


async def test_a_restart_reports_what_was_released_meanwhile() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set(), path_set(OTHER))
    await lab.pipeline.turn()
    await lab.pipeline.publish(release())
    await lab.pipeline.forget(OTHER)
    lab.pipeline.start_over(lab.agent())
    await lab.pipeline.turn()
    assert lab.states()[2:] == [(ADDRESS, "withdrawn")]
    assert lab.backend.there == {}
    assert lab.pipeline.records(REPORTS)[-1].value is None or lab.pipeline.records(REPORTS)[-2].value is None


async def test_a_failure_is_reported_once_retried_with_growing_pauses_and_the_success_reported() -> None:
    lab = Lab(reconcile_seconds=3600)
    await lab.pipeline.turn()
    lab.backend.bad.add(ADDRESS)
    await lab.pipeline.publish(path_set())
    tries = []
    for _ in range(2000):
        calls = len(lab.backend.calls)
        wake = await lab.pipeline.turn()
        if f"apply {ADDRESS}" in lab.backend.calls[calls:]:
            tries.append(lab.clock.now)
        if len(tries) == 9:
            break
        assert wake is not None
        lab.clock.pass_(max(wake, 0.01))
    pauses = [round((after - before).total_seconds()) for before, after in pairwise(tries)]
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert pauses[5:] == [32, 60, 60]
    assert lab.states() == [(ADDRESS, "failed")]
    assert lab.pipeline.reports()[0].message == "no next hop can be used"
    lab.backend.bad.clear()
    lab.clock.pass_(61)
    await lab.pipeline.turn()
    assert lab.states() == [(ADDRESS, "failed"), (ADDRESS, "programmed")]


async def test_a_machine_that_cannot_be_changed_fails_every_address_and_recovers_by_itself() -> None:
    lab = Lab()
    lab.backend.broken = True
    await lab.pipeline.publish(path_set(), path_set(OTHER))
    wake = await lab.pipeline.turn()
    assert lab.states() == [(ADDRESS, "failed"), (OTHER, "failed")]
    assert wake is not None
    assert 0 < wake <= 1
    await lab.pipeline.turn()
    assert lab.backend.calls.count("reconcile") == 1
    lab.backend.broken = False
    lab.clock.pass_(wake)
    await lab.pipeline.turn()
    assert lab.states()[2:] == [(ADDRESS, "programmed"), (OTHER, "programmed")]
    assert lab.backend.calls[-1] == "reconcile"


async def test_the_machine_is_reconciled_when_it_changed_by_itself_and_every_half_minute() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    await lab.pipeline.turn()
    assert lab.backend.calls == ["open", "reconcile"]
    lab.backend.is_stale = True
    await lab.pipeline.turn()
    assert lab.backend.calls[2:] == ["reconcile"]
    lab.clock.pass_(30)
    await lab.pipeline.turn()
    assert lab.backend.calls[3:] == ["reconcile"]
    assert len(lab.pipeline.reports()) == 1


async def test_a_heartbeat_at_start_and_every_five_seconds_and_none_on_an_ordinary_stop() -> None:
    lab = Lab()
    began = lab.clock.now
    for _ in range(20):
        await lab.pipeline.turn()
        lab.clock.pass_(1)
    agent = lab.pipeline.processor
    assert isinstance(agent, Agent)
    await agent.close()
    beats = lab.pipeline.heartbeats()
    assert [(beat.at - began).total_seconds() for beat in beats] == [0, 5, 10, 15]
    assert all(beat.agent == "n1" and beat.started == began and not beat.stopped for beat in beats)


async def fail_once(lab: Lab) -> None:
    """An address that cannot be programmed now, and could be the next time."""
    await lab.pipeline.turn()
    lab.backend.bad.add(ADDRESS)
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    lab.backend.bad.clear()


async def test_a_clock_that_is_set_back_holds_up_neither_heartbeats_nor_retries_nor_the_look_at_the_machine() -> None:
    lab = Lab()
    await fail_once(lab)
    lab.clock.pass_(-3600)
    wake = await lab.pipeline.turn()
    assert lab.pipeline.heartbeats()[-1].at == lab.clock.now
    assert lab.backend.calls[-1] == "reconcile"
    assert lab.states()[-1] == (ADDRESS, "programmed")
    assert wake is not None
    assert wake <= 5

    lab = Lab(reconcile_seconds=3600)
    await fail_once(lab)
    lab.clock.pass_(-600)
    await lab.pipeline.turn()
    assert lab.states()[-1] == (ADDRESS, "programmed")


async def test_an_agent_that_is_taken_down_forwards_nothing_says_goodbye_and_stays_silent() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    agent = lab.pipeline.processor
    assert isinstance(agent, Agent)
    await agent.take_down(lab.pipeline.log)
    assert lab.backend.there == {}
    assert lab.pipeline.heartbeats()[-1].stopped
    written = len(lab.pipeline.records(REPORTS))
    lab.clock.pass_(100)
    await lab.pipeline.turn()
    assert len(lab.pipeline.records(REPORTS)) == written


async def test_a_bad_path_set_is_refused_and_the_good_one_stays() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    await lab.pipeline.log.append(PATHS, [NewRecord(ADDRESS, b"{")])
    with pytest.raises(BadInput):
        await lab.pipeline.turn()
    assert lab.backend.there == {ADDRESS: path_set()}


async def test_reports_of_other_agents_are_not_its_own() -> None:
    lab = Lab()
    await lab.pipeline.publish(path_set())
    await lab.pipeline.turn()
    theirs = lab.pipeline.reports()[0].model_copy(update={"agent": "n2", "state": "failed"})
    await lab.pipeline.log.append(REPORTS, [NewRecord(f"{ADDRESS}/n2", theirs.model_dump_json().encode())])
    await lab.pipeline.turn()
    lab.clock.pass_(30)
    await lab.pipeline.turn()
    assert [report.agent for report in lab.pipeline.reports()] == ["n1", "n2"]


async def test_the_record_back_end_reports_what_a_machine_would_have() -> None:
    backend = RecordBackend()
    outcomes = await backend.reconcile(
        {ADDRESS: path_set(), OTHER: release(OTHER), "192.168.102.4": path_set("192.168.102.4", frontends=(CLOSED,))}
    )
    assert [(outcome.state, dict(outcome.weights)) for outcome in outcomes.values()] == [
        ("programmed", {"n1": 2}), ("withdrawn", {}), ("programmed", {}),
    ]  # fmt: skip
