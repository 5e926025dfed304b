"""The end of an intent: addresses go back in two steps, and a sharer leaves at once."""

from __future__ import annotations

from ledgerlb.core.intents.model import Withdrawal
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState


def withdraw(state: NetworkState, intent: Withdrawal) -> list[Event]:
    """Begin the release of everything that the Service holds here; [] when that was done already."""
    if intent.revision < state.revisions.get(intent.service, 0):
        return []
    events: list[Event] = [
        release_event(record, intent.service, intent.why)
        for record in state.held_by(intent.service)
        if record.status == "held"
    ]
    if intent.service in state.refusals:
        events.append(ev.RefusalCleared(intent.service))
    return events


def release_event(record: AddressRecord, service: str, why: str) -> Event:
    """Return the event by which the Service leaves a held address; when the last holder leaves, the release begins."""
    if len(record.holders) > 1:
        return ev.HolderLeft(record.address, service, why)
    return ev.AddressReleasing(record.address, service, why)
