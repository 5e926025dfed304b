"""Which waiting Services an accepted entry wakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.core.intents.model import AddressIntent, ServiceIntent
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.records import Refusal
from ledgerlb.core.reasons import Reason

_FREEING: Final = (
    ev.AddressReleased,
    ev.QuarantineEnded,
    ev.LeaseEnded,
    ev.HolderLeft,
    ev.HoldingChanged,
    ev.ReleaseCancelled,
    ev.NetworkDefined,
    ev.PrefixChangeRefused,
)
_TAKING: Final = (ev.AddressAllocated, ev.AddressAdopted)


def woken_by(entry: Entry, refusals: Mapping[str, Refusal], intents: Mapping[str, ServiceIntent]) -> list[str]:
    """List the Services to decide about again after ``entry``; ``refusals`` are those that are in force after it.

    An entry that sets damage aside wakes everyone: the records that do not count may have been about any of them.
    Otherwise an entry wakes the Services that it names. Where it frees something, it wakes everyone who was refused.
    Where it gives an address out, it wakes those whose refusal may now have another reason.
    """
    if entry.events and isinstance(entry.events[0], ev.DamageSetAside):
        return list(intents)
    woken: dict[str, None] = {}
    for event in entry.events:
        service = getattr(event, "service", None)
        if service is not None:
            woken[service] = None
    if refusals and any(isinstance(event, _FREEING) for event in entry.events):
        woken.update(dict.fromkeys(refusals))
    elif refusals and any(isinstance(event, _TAKING) for event in entry.events):
        woken.update((name, None) for name, refusal in refusals.items() if _may_change(refusal, intents.get(name)))
    return list(woken)


def _may_change(refusal: Refusal, intent: ServiceIntent | None) -> bool:
    """Return whether a refusal may get another reason because another Service got an address.

    It cannot for the many Services that wait for any address of one family in a full network, so these stay asleep.
    """
    if refusal.reason != Reason.NETWORK_FULL or not isinstance(intent, AddressIntent):
        return True
    return len(intent.families) > 1 or bool(intent.sharing_key)
