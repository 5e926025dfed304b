"""The entry that ends the damage of a network, and what it does to the holders.

Between the last good entry and now, records may have given out addresses that no reader can learn any more. What a
Service's status shows, or the data path forwards to it, is what its clients use, so the same entry gives those
addresses back: no decision can come in between and give such an address to another Service. A holder that the ledger
proves keeps its address, unless its Service no longer exists and another one uses the address.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledgerlb.core.addresses import family_of, is_canonical, to_int
from ledgerlb.core.errors import LedgerCorrupt
from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.ipam.offer import take_offer
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.entry import Cause, Entry, encode_entry
from ledgerlb.core.ledger.events import Event, Ports
from ledgerlb.core.ledger.evolve import evolve
from ledgerlb.core.ledger.records import AddressRecord, Holding
from ledgerlb.core.ledger.setaside import SetAside
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.ledger.upcast import VERSION

_SHOWN = "it uses the address: its status shows it, or the data path forwards it"


@dataclass(frozen=True, slots=True)
class Shown:
    """An address that a Service uses (its status shows it, or the data path forwards it), with the terms of its intent
    for the network.
    """

    service: str
    uid: str
    address: str
    sharing_key: str = ""
    ports: Ports = ()
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who repairs, why, and when (aware UTC)."""

    name: str
    reason: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Loss:
    """A Service that does not keep an address, and why."""

    service: str
    address: str
    why: str


@dataclass(frozen=True, slots=True)
class Repair:
    """The entry to append, the remembered head that it replaces, and the holders after it: those that the ledger
    proves, those that get back what they use, and those that lose an address.
    """

    entry: bytes
    replaces: Head | None
    kept: tuple[Holding, ...]
    restored: tuple[Holding, ...]
    lost: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged network: its state as of the last good entry, and the records since (``unread``: those of them that are
    entries). ``shown`` is what Services show, ``exists`` the Services that exist (None: unknown), ``offer`` the
    network's last offer, ``remembered`` the remembered head that no longer counts.
    """

    state: NetworkState
    aside: SetAside
    unread: Sequence[Entry]
    shown: Iterable[Shown]
    exists: Container[str] | None
    offer: NetworkOffer | None
    remembered: Head | None = None


def propose_repair(network: Damaged, operator: Operator, max_bytes: int) -> Repair:
    """Return the repair of a damaged network; its state is unchanged afterwards.

    An entry larger than ``max_bytes`` gives fewer addresses back, and the others count as lost.
    """
    wanted = sorted(set(network.shown), key=lambda one: (one.service, one.address))
    limit = len(wanted)
    while True:
        repair = _propose(network, wanted[:limit], operator)
        if len(repair.entry) <= max_bytes or not limit:
            left_out = (Loss(one.service, one.address, "the entry has no room left") for one in wanted[limit:])
            return replace(repair, lost=(*repair.lost, *left_out))
        limit //= 2


def _propose(network: Damaged, shown: Iterable[Shown], operator: Operator) -> Repair:
    state, offer = network.state, network.offer
    draft = _Draft(network, operator)
    before = {(holding.service, holding.address) for holding in state.holdings()}
    with state.speculate():
        if offer is not None:
            draft.add(take_offer(state, offer), Cause("network", offer.revision, uid=offer.uid))
        for one in shown:
            draft.give_back(one, network.exists)
        after = {(holding.service, holding.address): holding for holding in state.holdings()}
    lost = {(loss.service, loss.address): loss for loss in draft.lost}
    for service, address in sorted((before | _claims(network.unread)) - after.keys() - lost.keys()):
        why = _why_lost(service, network.exists, proven=(service, address) in before)
        lost[service, address] = Loss(service, address, why)
    return Repair(
        draft.encode(),
        network.remembered,
        tuple(holding for key, holding in after.items() if key in before),
        tuple(holding for key, holding in after.items() if key not in before),
        tuple(lost.values()),
    )


def _why_lost(service: str, exists: Container[str] | None, *, proven: bool) -> str:
    if proven:
        return "the Service no longer exists, and another one uses the address"
    if exists is not None and service not in exists:
        return "a record that is set aside gave it the address; the Service no longer exists"
    return "a record that is set aside gave it the address, and the Service does not use it yet"


class _Draft:
    """The events and causes of the entry, which are evolved one after the other on the state."""

    def __init__(self, network: Damaged, operator: Operator) -> None:
        self._state = network.state
        self._operator = operator
        aside, head = network.aside, network.remembered or Head(digest="")
        first = ev.DamageSetAside(
            aside.records, aside.digest, aside.named, operator.name, operator.reason, head.seq, head.digest
        )
        self._events: list[Event] = [first]
        self._causes = [Cause("operator", requester=operator.name, explanation=operator.reason)]
        self.lost: list[Loss] = []

    def add(self, events: Sequence[Event], cause: Cause) -> None:
        """Evolve the events; raises LedgerCorrupt, and keeps those before the one that contradicts the state."""
        for event in events:
            evolve(self._state, event, self._operator.now, self._state.seq + 1)
            self._events.append(event)
        if events:
            self._causes.append(cause)

    def give_back(self, one: Shown, exists: Container[str] | None) -> None:
        """Let the Service hold the address that its status shows, if no proven holder has it."""
        state, address = self._state, one.address
        if not is_canonical(address) or not state.covers(family_of(address), to_int(address)):
            self.lost.append(Loss(one.service, address, "the network's prefixes do not contain it"))
            return
        record = state.records.get(address)
        if record is not None and any(holder.service == one.service for holder in record.holders):
            return
        try:
            if record is not None and record.holders and exists is not None:
                gone = [holder.service for holder in record.holders if holder.service not in exists]
                if len(gone) == len(record.holders):
                    self.add(_released(record), Cause("operator", requester=self._operator.name))
            self.add([self._allocation(one)], self._cause(one))
        except LedgerCorrupt as error:
            self.lost.append(Loss(one.service, address, f"the ledger proves another holder: it {error}"))

    def _allocation(self, one: Shown) -> Event:
        record = self._state.records.get(one.address)
        family, terms = family_of(one.address), (one.sharing_key, one.ports, one.basis)
        if record is not None and record.status == "quarantined" and record.former != one.service:
            return ev.AddressAllocated(one.address, family, one.service, one.uid, "quarantine-cut", *terms)
        return ev.AddressAdopted(one.address, family, one.service, one.uid, *terms)

    def _cause(self, one: Shown) -> Cause:
        name = self._operator.name
        return Cause("operator", service=one.service, uid=one.uid, requester=name, explanation=_SHOWN)

    def encode(self) -> bytes:
        """Return the entry, which extends the last good one."""
        head = self._state.head
        events = tuple(self._events)
        return encode_entry(
            Entry(
                VERSION,
                self._state.network,
                head.seq + 1,
                head.digest,
                self._operator.now,
                self._operator.name,
                tuple(self._causes),
                events,
            )
        )


def _released(record: AddressRecord) -> list[Event]:
    """Return the events by which all holders of the address, which no longer exist, give it up at once."""
    *others, last = [holder.service for holder in record.holders]
    why = "ServiceDeleted"
    events: list[Event] = [ev.HolderLeft(record.address, service, why) for service in others]
    if record.status == "held":
        events.append(ev.AddressReleasing(record.address, last, why))
    return [*events, ev.AddressReleased(record.address, last)]


def _claims(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    """Return (service, address) of those who would hold an address if the entries counted."""
    claims: set[tuple[str, str]] = set()
    for entry in entries:
        for event in entry.events:
            match event:
                case ev.AddressAllocated() | ev.AddressAdopted() | ev.ReleaseCancelled():
                    claims.add((event.service, event.address))
                case ev.HolderLeft() | ev.AddressReleasing():
                    claims.discard((event.service, event.address))
                case _:
                    pass
    return claims
