"""A wrong clock: durations never shrink, a leap into the future decides nothing, and an idle log is no leap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledgerlb.core.intents.model import IntentsSynced
from ledgerlb.core.ipam import ClockWatch
from ledgerlb.core.paths.pathset import Heartbeat
from ledgerlb.core.text import epoch_moment
from tests.support.ledger import NETWORK, START, intent_of, offer, withdrawal_of
from tests.unit.ipam.test_processor import World

HOUR = timedelta(hours=1)


def beat(at: datetime, agent: str = "n1", **more: bool) -> Heartbeat:
    return Heartbeat(agent=agent, at=at, started=START, **more)


async def begun(*, heartbeats: bool = True):
    """A world whose IPAM has served one Service and follows the log."""
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    await world.run(ipam)
    if heartbeats:
        await world.report(beat(world.now))
        await ipam.turn()
    return world, ipam


async def turns(ipam) -> None:
    """As many rounds as a decision takes to be read back."""
    for _ in range(3):
        await ipam.turn()


def held(ipam, service: str) -> list[str]:
    return [holding.address for holding in ipam.ipam.fold.holdings_of(f"default/{service}")]


async def test_a_leap_that_an_agent_denies_stops_decisions_until_the_clock_is_right():
    world, ipam = await begun()
    right = world.now
    world.now += timedelta(days=365)
    await world.report(beat(right + timedelta(seconds=5)))
    await world.say(intent_of("late"), withdrawal_of("a"))
    await turns(ipam)
    assert held(ipam, "late") == []
    assert held(ipam, "a") == ["10.0.0.2"]
    [problem] = ipam.ipam.problems()
    assert problem.startswith("ClockAhead: ")
    assert "agent n1 says 2026-01-01T00:00:05Z" in problem
    world.now = right + timedelta(seconds=10)
    await world.run(ipam)
    assert held(ipam, "late") == ["10.0.0.3"]
    assert ipam.ipam.problems() == []


async def test_what_was_decided_before_the_agents_spoke_does_not_vouch_for_the_clock():
    world, ipam = await begun()
    right = world.now
    world.now += timedelta(days=365)
    await world.say(intent_of("early"))
    await world.run(ipam)
    assert held(ipam, "early") == ["10.0.0.3"]
    await world.report(beat(right + timedelta(seconds=5)))
    await world.say(intent_of("late"))
    await turns(ipam)
    assert held(ipam, "late") == []


async def test_a_log_that_was_idle_for_a_day_stops_nothing():
    world, ipam = await begun()
    world.now += timedelta(days=1)
    await world.say(intent_of("late"))
    await world.run(ipam)
    assert held(ipam, "late") == ["10.0.0.3"], "nobody disagrees"
    world.now += timedelta(days=1)
    fresh = world.replica("ipam-1")  # old heartbeats that a start reads are no disagreement
    await world.say(intent_of("later"))
    await world.run(fresh)
    assert held(fresh, "later") == ["10.0.0.4"]


@pytest.mark.parametrize("hours", [0.9, 1.1])
async def test_the_bound_is_an_hour(hours: float):
    world, ipam = await begun()
    right = world.now
    world.now += hours * HOUR
    await world.report(beat(right))
    await world.say(intent_of("late"))
    await turns(ipam)
    assert bool(held(ipam, "late")) is (hours < 1)


def test_one_agent_that_agrees_is_enough_and_a_silent_one_has_no_say():
    watch, now = ClockWatch(), START + 10 * HOUR
    watch.heard(beat(START), now)
    assert watch.leap(now, 300) is not None
    watch.heard(beat(now, "n2"), now)
    assert watch.leap(now, 300) is None
    watch.heard(beat(now, "n2", stopped=True), now)
    assert watch.leap(now, 300) is not None
    assert watch.leap(now + timedelta(seconds=301), 300) is None
    watch.heard(beat(START), now)
    watch.decided(now)
    assert watch.leap(now, 300) is None


async def test_an_entry_is_never_decided_before_the_one_that_it_extends():
    world, ipam = await begun(heartbeats=False)
    first = world.now
    world.now -= HOUR
    await world.say(withdrawal_of("a"))
    await world.run(ipam)
    state = ipam.ipam.fold.network(NETWORK)
    assert state.decided_at == first
    record = state.records["10.0.0.2"]
    assert record.quarantine_until == first + timedelta(seconds=300)


@pytest.mark.parametrize("seconds", [-1e300, -1, 0, 1e15, 1e300, float("inf")])
def test_an_absurd_time_of_the_log_is_a_moment(seconds: float):
    assert datetime(1970, 1, 1, tzinfo=UTC) <= epoch_moment(seconds) <= datetime(9001, 1, 1, tzinfo=UTC)
