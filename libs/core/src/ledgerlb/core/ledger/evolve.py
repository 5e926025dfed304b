"""``evolve``: what each event does to the state of its network.

Clockless: expiry is an event, so folding the same log gives the same state at any time. Every handler checks its event
before it changes anything, and raises LedgerCorrupt for one that no decision on this state can contain. Only what every
version of the decision has kept to is checked here; the audit checks more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from ledgerlb.core.addresses import BITS, Family, cidr_of, family_of, to_int, to_text
from ledgerlb.core.errors import LedgerCorrupt
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import is_sane
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.plan import usable
from ledgerlb.core.ledger.records import AddressRecord, Holder, Refusal, Status
from ledgerlb.core.ledger.state import NetworkState

LONGEST_RESERVATION: Final = timedelta(days=36500)
"""The longest quarantine or lease that settings admit; not imported from there, which would load pydantic."""


def evolve(state: NetworkState, event: Event, at: datetime, seq: int) -> NetworkState:
    """Apply one event of the entry ``seq`` that was decided at ``at``; return the same (changed) state.

    Raises LedgerCorrupt for an event that contradicts the state, which is unchanged then.
    """
    _HANDLERS[type(event)](state, event, at, seq)
    return state


# -- the network -------------------------------------------------------------------------------------------------------


def _defined(state: NetworkState, event: ev.NetworkDefined, _at: datetime, seq: int) -> None:
    _check_prefixes(event.prefixes)
    had = {} if state.gone else state.since
    state.assign("since", {prefix.family: had.get(prefix.family, seq) for prefix in event.prefixes})
    state.assign("plan", event.prefixes)
    state.assign("gone", value=False)
    state.assign("change_refused", None)


def _change_refused(state: NetworkState, event: ev.PrefixChangeRefused, _at: datetime, _seq: int) -> None:
    _check_prefixes(event.prefixes)
    state.assign("change_refused", event)


def _check_prefixes(prefixes: Iterable[ev.Prefix]) -> None:
    for prefix in prefixes:
        try:
            fits = cidr_of(prefix.prefix).family == prefix.family
            usable(prefix)
        except ValueError as error:
            raise LedgerCorrupt(f"defines prefix {prefix.prefix!r}, which does not parse: {error}") from error
        if not fits:
            raise LedgerCorrupt(f"defines {prefix.prefix!r} as an IPv{prefix.family} prefix")


def _gone(state: NetworkState, _event: ev.NetworkGone, _at: datetime, _seq: int) -> None:
    state.assign("gone", value=True)


@lru_cache(maxsize=4096)
def _shared(ports: ev.Ports) -> ev.Ports:
    """Return equal ports as the same object: most Services of a cluster have one of a few sets of ports."""
    return ports


# -- giving out --------------------------------------------------------------------------------------------------------


def _allocated(state: NetworkState, event: ev.AddressAllocated, at: datetime, seq: int) -> None:
    cut = event.choice == "quarantine-cut"
    _join(
        state,
        event,
        Holder(event.service, event.uid, at, seq, event.choice, _shared(event.ports), event.basis),
        cut=cut,
    )


def _adopted(state: NetworkState, event: ev.AddressAdopted, at: datetime, seq: int) -> None:
    _join(
        state, event, Holder(event.service, event.uid, at, seq, "adopted", _shared(event.ports), event.basis), cut=False
    )


def _join(state: NetworkState, event: ev.AddressAllocated | ev.AddressAdopted, holder: Holder, *, cut: bool) -> None:
    record = state.records.get(event.address)
    value = _value_of(event.address, event.family) if record is None else record.value
    if not state.covers(event.family, value):
        raise LedgerCorrupt(f"gives out {event.address}, which is outside the network's prefixes")
    if record is None or not record.holders:
        if record is not None and not cut and record.former != event.service and _in_quarantine(record, holder.since):
            raise LedgerCorrupt(f"gives {event.address} to {event.service} during the quarantine of {record.former}")
        state.put(
            event.address,
            AddressRecord(event.address, event.family, value, "held", (holder,), event.sharing_key, holder.since),
        )
        return
    others = tuple(other for other in record.holders if other.service != holder.service)
    _check_sharing(record, others, event)
    state.put(event.address, replace(record, holders=(*others, holder), sharing_key=event.sharing_key))


def _in_quarantine(record: AddressRecord, at: datetime) -> bool:
    return record.quarantine_until is not None and record.quarantine_until > at


def _value_of(address: str, family: Family) -> int:
    """The integer of an address of the family, spelled as the ledger spells it."""
    try:
        value = to_int(address)
        if family_of(address) == family and 0 <= value < 1 << BITS[family] and to_text(value, family) == address:
            return value
    except ValueError:
        pass
    raise LedgerCorrupt(f"gives out {address!r}, which is not a canonical IPv{family} address")


def _check_sharing(
    record: AddressRecord, others: Iterable[Holder], event: ev.AddressAllocated | ev.AddressAdopted | ev.HoldingChanged
) -> None:
    """Holders of one address have one namespace, one sharing key and disjoint ports."""
    if record.status == "releasing":
        raise LedgerCorrupt(f"gives {event.address} to {event.service} while {record.holders[0].service} releases it")
    for other in others:
        same_namespace = other.service.partition("/")[0] == event.service.partition("/")[0]
        if not event.sharing_key or record.sharing_key != event.sharing_key or not same_namespace:
            raise LedgerCorrupt(f"gives {event.address} to {event.service}, but {other.service} holds it")
        if not set(other.ports).isdisjoint(event.ports):
            raise LedgerCorrupt(f"gives {event.address} to {event.service} with ports that {other.service} has there")


def _adoption_refused(state: NetworkState, event: ev.AdoptionRefused, _at: datetime, _seq: int) -> None:
    state.refuse_adoption(event.service, event.uid, event.address)


def _changed(state: NetworkState, event: ev.HoldingChanged, _at: datetime, _seq: int) -> None:
    record = _record(state, event.address, event.service, "changes its holding of")
    _check_sharing(record, (other for other in record.holders if other.service != event.service), event)
    ports = _shared(event.ports)
    holders = tuple(
        replace(holder, uid=event.uid, ports=ports, basis=event.basis) if holder.service == event.service else holder
        for holder in record.holders
    )
    state.put(event.address, replace(record, holders=holders, sharing_key=event.sharing_key))


# -- giving back -------------------------------------------------------------------------------------------------------


def _record(state: NetworkState, address: str, service: str, deed: str) -> AddressRecord:
    """The record of an address that the Service holds."""
    record = state.records.get(address)
    if record is None or all(holder.service != service for holder in record.holders):
        raise LedgerCorrupt(f"says that {service} {deed} {address}, which it does not hold")
    return record


def _left(state: NetworkState, event: ev.HolderLeft, _at: datetime, _seq: int) -> None:
    record = _record(state, event.address, event.service, "leaves")
    staying = tuple(holder for holder in record.holders if holder.service != event.service)
    if not staying:
        raise LedgerCorrupt(f"says that {event.service} leaves {event.address} to other holders, but there are none")
    state.put(event.address, replace(record, holders=staying))


def _releasing(state: NetworkState, event: ev.AddressReleasing, at: datetime, seq: int) -> None:
    record = _record(state, event.address, event.service, "releases")
    if record.status != "held" or len(record.holders) > 1:
        why = "others hold it too" if len(record.holders) > 1 else "it is being released already"
        raise LedgerCorrupt(f"begins the release of {event.address} by {event.service}, but {why}")
    state.put(event.address, replace(record, status="releasing", release_seq=seq, release_at=at))


def _cancelled(state: NetworkState, event: ev.ReleaseCancelled, _at: datetime, _seq: int) -> None:
    record = _record(state, event.address, event.service, "takes back")
    if record.status != "releasing":
        raise LedgerCorrupt(f"cancels a release of {event.address} that has not begun")
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


def _released(state: NetworkState, event: ev.AddressReleased, at: datetime, seq: int) -> None:
    record = _record(state, event.address, event.service, "has released")
    if record.status != "releasing":
        raise LedgerCorrupt(f"ends a release of {event.address} that has not begun")
    for until in (event.quarantine_until, event.lease_until):
        if until is not None and not (is_sane(until) and at <= until <= at + LONGEST_RESERVATION):
            raise LedgerCorrupt(f"reserves {event.address} until an impossible time, {until}")
    status: Status = "quarantined" if event.quarantine_until else "leased" if event.lease_until else "idle"
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


def _quarantine_ended(state: NetworkState, event: ev.QuarantineEnded, at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.quarantine_until is None or record.quarantine_until > at:
        raise LedgerCorrupt(f"ends a quarantine of {event.address} that is not over")
    state.put(
        event.address,
        replace(record, status="leased" if record.lease_until else "idle", quarantine_until=None),
    )


def _lease_ended(state: NetworkState, event: ev.LeaseEnded, at: datetime, _seq: int) -> None:
    record = state.records.get(event.address)
    if record is None or record.lease_until is None or record.lease_until > at:
        raise LedgerCorrupt(f"ends a lease of {event.address} that is not over")
    status = "idle" if record.status == "leased" else record.status
    state.put(event.address, replace(record, status=status, lease_until=None))


# -- refusing ----------------------------------------------------------------------------------------------------------


def _refused(state: NetworkState, event: ev.AllocationRefused, at: datetime, seq: int) -> None:
    state.refuse(
        event.service,
        Refusal(state.network, event.service, event.uid, event.reason, event.message, event.families, at, seq),
    )


def _cleared(state: NetworkState, event: ev.RefusalCleared, _at: datetime, _seq: int) -> None:
    if event.service not in state.refusals:
        raise LedgerCorrupt(f"clears a refusal of {event.service} that was never written")
    state.refuse(event.service, None)


# -- damage ------------------------------------------------------------------------------------------------------------


def _set_aside(state: NetworkState, _event: ev.DamageSetAside, _at: datetime, _seq: int) -> None:
    """The fold has checked which records it names, and forgets the damage once the whole entry is applied."""
    if state.damage is None:
        raise LedgerCorrupt("sets damage aside, but there is none")


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
    ev.DamageSetAside: _set_aside,
}
