"""What time and the agents' reports change: releases complete, quarantines and leases end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.paths.agents import AgentTable

TICK: Final = timedelta(milliseconds=1)
"""One tick: an agent is alive up to and including its time-out, and dead a tick later."""


def decision_time(state: NetworkState, clock: datetime) -> datetime:
    """Return when the next entry is decided: durations count from the later of the head's time and the clock."""
    return clock if state.decided_at is None else max(clock, state.decided_at)


def expire(state: NetworkState, terms: Terms) -> list[Event]:
    """Return the events that end the quarantines and leases that are due."""
    events: list[Event] = []
    for record in state.due(terms.now):
        if record.quarantine_until is not None and record.quarantine_until <= terms.now:
            events.append(ev.QuarantineEnded(record.address))
        if record.lease_until is not None and record.lease_until <= terms.now:
            events.append(ev.LeaseEnded(record.address))
    return events


def complete_releases(state: NetworkState, terms: Terms) -> list[Event]:
    """Return the events that complete the releases that wait for no agent any longer."""
    events = (complete_release(state, record, terms) for record in state.releasing())
    return [event for event in events if event is not None]


def complete_release(state: NetworkState, record: AddressRecord, terms: Terms) -> Event | None:
    """Return the event that completes a release, or None while an agent may still forward the address.

    The release waits for every agent that was alive at any time since the first holder got the address. The wait for an
    agent ends when it confirms the withdrawal of exactly this release, when its heartbeats stay out for the time-out,
    or when its last heartbeat reported that it forwards nothing any more.
    """
    holder = record.holders[0]
    confirmed = terms.agents.withdrawn(record.address, f"{state.network}#{record.release_seq}")
    alive = terms.agents.alive(terms.wall, terms.agent_timeout)
    if any(agent not in confirmed for agent in alive):
        return None
    since = record.since or holder.since
    concerned = terms.agents.heard_since(since - timedelta(seconds=terms.agent_timeout))
    dead = tuple(agent for agent in concerned if agent not in confirmed and agent not in alive)
    return ev.AddressReleased(
        record.address,
        holder.service,
        terms.now + timedelta(seconds=terms.quarantine) if terms.quarantine > 0 else None,
        terms.now + timedelta(seconds=terms.lease) if terms.lease > 0 else None,
        confirmed,
        dead,
    )


def next_look(state: NetworkState, agents: AgentTable, now: datetime, agent_timeout: float) -> datetime | None:
    """Return when the network needs a decision without a new record, or None.

    That is the end of the next quarantine or lease, or the moment when a silent agent that a release waits for counts
    as dead.
    """
    moments = [moment for moment in (state.next_due(), _next_death(state, agents, now, agent_timeout)) if moment]
    return min(moments, default=None)


def _next_death(state: NetworkState, agents: AgentTable, now: datetime, agent_timeout: float) -> datetime | None:
    if not state.releasing():
        return None
    silence = timedelta(seconds=agent_timeout) + TICK
    deaths = (beat.at + silence for beat in agents.agents() if not beat.stopped)
    return min((moment for moment in deaths if moment > now), default=None)
