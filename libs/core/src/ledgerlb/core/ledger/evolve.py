"""``evolve``: what each event does to the state of its network.

Total and clockless. The chain alone says which entries count; an event that contradicts the state (a bug, or a
forged log) is applied as it stands and counted in ``contradictions``, for the audit to report. Expiry is an event,
so folding the same log gives the same state at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ledgerlb.core.addresses import to_int
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.records import AddressRecord, Holder, Refusal
from ledgerlb.core.ledger.state import NetworkState


def evolve(state: NetworkState, event: Event, at: datetime, seq: int) -> NetworkState:
    """Apply one event of the entry ``seq`` that was decided at ``at``; returns the same (changed) state."""
    _HANDLERS[type(event)](state, event, at, seq)
    return state


def _contradiction(state: NetworkState) -> None:
    state.assign("contradictions", state.contradictions + 1)


def _defined(state: NetworkState, event: ev.NetworkDefined, _at: datetime, seq: int) -> None:
    had = {} if state.gone else state.since
    state.assign("since", {prefix.family: had.get(prefix.family, seq) for prefix in event.prefixes})
    state.assign("plan", event.prefixes)
    state.assign("gone", value=False)
    state.assign("change_refused", None)


def _change_refused(state: NetworkState, event: ev.PrefixChangeRefused, _at: datetime, _seq: int) -> None:
    state.assign("change_refused", event)


def _gone(state: NetworkState, _event: ev.NetworkGone, _at: datetime, _seq: int) -> None:
    state.assign("gone", value=True)


def _allocated(state: NetworkState, event: ev.AddressAllocated, at: datetime, seq: int) -> None:
    _join(state, event, Holder(event.service, event.uid, at, seq, event.choice, event.ports, event.basis))


def _adopted(state: NetworkState, event: ev.AddressAdopted, at: datetime, seq: int) -> None:
    _join(state, event, Holder(event.service, event.uid, at, seq, "adopted", event.ports, event.basis))


def _join(state: NetworkState, event: ev.AddressAllocated | ev.AddressAdopted, holder: Holder) -> None:
    record = state.records.get(event.address)
    if record is None or not record.holders:
        value = to_int(event.address) if record is None else record.value
        state.put(
            event.address,
            AddressRecord(event.address, event.family, value, "held", (holder,), event.sharing_key, holder.since),
        )
        return
    if record.status == "releasing" or not event.sharing_key or record.sharing_key != event.sharing_key:
        _contradiction(state)
    others = tuple(other for other in record.holders if other.service != holder.service)
    state.put(
        event.address,
        replace(record, status="held", holders=(*others, holder), sharing_key=event.sharing_key),
    )


def _adoption_refused(_state: NetworkState, _event: ev.AdoptionRefused, _at: datetime, _seq: int) -> None:
    """Said for people; changes nothing."""


def _changed(state: NetworkState, event: ev.HoldingChanged, _at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or all(holder.service != event.service for holder in record.holders):
        _contradiction(state)
        return
    holders = tuple(
        replace(holder, uid=event.uid, ports=event.ports, basis=event.basis)
        if holder.service == event.service
        else holder
        for holder in record.holders
    )
    state.put(event.address, replace(record, holders=holders, sharing_key=event.sharing_key))


def _left(state: NetworkState, event: ev.HolderLeft, _at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    staying = tuple(holder for holder in record.holders if holder.service != event.service) if record else ()
    if record is None or not staying:
        _contradiction(state)
        return
    state.put(event.address, replace(record, holders=staying))


def _releasing(state: NetworkState, event: ev.AddressReleasing, at: datetime, seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.status != "held":
        _contradiction(state)
        return
    state.put(event.address, replace(record, status="releasing", release_seq=seq, release_at=at))


def _cancelled(state: NetworkState, event: ev.ReleaseCancelled, _at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.status != "releasing":
        _contradiction(state)
        return
    holder = replace(record.holders[0], uid=event.uid, ports=event.ports, basis=event.basis)
    state.put(
        event.address,
        replace(
            record,
            status="held",
            holders=(holder,),
            release_seq=0,
            release_at=None,
            sharing_key=event.sharing_key,
        ),
    )


def _released(state: NetworkState, event: ev.AddressReleased, _at: datetime, seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.status != "releasing":
        _contradiction(state)
        if record is None:
            return
    status: Any = "quarantined" if event.quarantine_until else "leased" if event.lease_until else "idle"
    state.put(
        event.address,
        AddressRecord(
            record.address,
            record.family,
            record.value,
            status,
            former=event.service,
            released_seq=seq,
            quarantine_until=event.quarantine_until,
            lease_until=event.lease_until,
        ),
    )


def _quarantine_ended(state: NetworkState, event: ev.QuarantineEnded, _at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.status != "quarantined":
        _contradiction(state)
        return
    state.put(
        event.address,
        replace(record, status="leased" if record.lease_until else "idle", quarantine_until=None),
    )


def _lease_ended(state: NetworkState, event: ev.LeaseEnded, _at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.lease_until is None:
        _contradiction(state)
        return
    status = "idle" if record.status == "leased" else record.status
    state.put(event.address, replace(record, status=status, lease_until=None))


def _refused(state: NetworkState, event: ev.AllocationRefused, at: datetime, seq: int) -> None:
    state.refuse(
        event.service,
        Refusal(state.network, event.service, event.uid, event.reason, event.message, event.families, at, seq),
    )


def _cleared(state: NetworkState, event: ev.RefusalCleared, _at: datetime, _seq: int) -> None:
    state.refuse(event.service, None)


_HANDLERS: Final[dict[type, Callable[[NetworkState, Any, datetime, int], None]]] = {
    ev.NetworkDefined: _defined,
    ev.PrefixChangeRefused: _change_refused,
    ev.NetworkGone: _gone,
    ev.AddressAllocated: _allocated,
    ev.AddressAdopted: _adopted,
    ev.AdoptionRefused: _adoption_refused,
    ev.HoldingChanged: _changed,
    ev.HolderLeft: _left,
    ev.AddressReleasing: _releasing,
    ev.ReleaseCancelled: _cancelled,
    ev.AddressReleased: _released,
    ev.QuarantineEnded: _quarantine_ended,
    ev.LeaseEnded: _lease_ended,
    ev.AllocationRefused: _refused,
    ev.RefusalCleared: _cleared,
}
