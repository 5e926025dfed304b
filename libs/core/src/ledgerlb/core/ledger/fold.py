"""``LedgerFold``: every network's chain, checked and evolved, with lookups across networks.

Every reader of the ledger (IPAM, planner, publisher, command line) uses this one class, so all agree by construction.

A record is one of three things. An entry that extends its chain is accepted, with all of its events. An entry with a
``seq`` that the chain has already lost a race, and is skipped. Anything else is damage: its network keeps the state of
its last good entry and skips whatever follows, on every reader alike, so that nothing is decided on a state that the
log does not prove. An operator ends that with an entry that extends the last good one and begins with
``DamageSetAside``. It counts only if it names exactly the records that came since, so a reader that was there all the
time and one that reads the log afresh have the same state, and no record slips in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ledgerlb.core.errors import LedgerCorrupt
from ledgerlb.core.ledger.chain import Head, damage_of, extends, why_lost
from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.entry import Entry, digest, parse_entry
from ledgerlb.core.ledger.events import DamageSetAside, SetAsideRecord
from ledgerlb.core.ledger.evolve import evolve
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.pace import DecisionPace
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.ledger.setaside import (
    AFTER_DAMAGE,
    NOTHING_ASIDE,
    SetAside,
    counted_damage,
    repair_of,
    repairs_what_counted,
)
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.signatures import Headers

__all__ = ["Accepted", "Holding", "LedgerFold", "NetworkState", "Refusal", "Rejected"]


_Places = dict[str, tuple[str, ...]]
"""Networks by Service or by address: mostly one, and never removed, so a tuple takes a third of an ``Index``."""


def _add(places: _Places, name: str, alone: tuple[str]) -> None:
    """Add a network to the places of a name. ``alone`` is the network's own tuple: most names share it."""
    known = places.get(name)
    if known is None:
        places[name] = alone
    elif alone[0] not in known:
        places[name] = known + alone


@dataclass(frozen=True, slots=True)
class Accepted:
    """The entry extended its chain and was evolved; ``digest`` is the new head."""

    entry: Entry
    digest: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The entry does not count: it lost a race, or comes after damage. ``why`` is for people."""

    entry: Entry
    why: str


class LedgerFold:
    """See module. ``accepted``, ``rejected`` and ``skipped`` count entries: a rejected one lost a race, a skipped one
    comes after damage. ``damage`` is the first damage of each network that has any, and ``aside`` counts the records
    since its last good entry. ``remembered`` are the heads that the ledger must have.
    ``pace`` counts the decisions of the last minute.
    """

    def __init__(self, remembered: RememberedHeads | None = None) -> None:
        self.networks: dict[str, NetworkState] = {}
        self.damage: dict[str, Damage] = {}
        self.aside: dict[str, SetAside] = {}
        self.accepted = 0
        self.rejected = 0
        self.skipped = 0
        self._remembered = remembered if remembered is not None else RememberedHeads()
        self.pace = DecisionPace()
        self._repaired: dict[str, set[int]] = {}
        """The numbers of the entries that ended damage, by network."""
        self._alone: dict[str, tuple[str]] = {}
        self._networks_of: _Places = {}
        self._networks_at: _Places = {}

    def take(
        self, key: str, value: bytes | None, offset: int = NO_OFFSET, headers: Headers = ()
    ) -> Accepted | Rejected:
        """Fold one record of the ledger topic.

        Raises LedgerDamaged for a record that damages its network, once it is noted in ``damage``; no state of an
        address changed then.
        """
        found = parse_entry(key, value, offset)
        if isinstance(found, Damage):
            raise self._damaged(found, value).error()
        assert value is not None
        state = self.networks.get(key)
        head = state.head if state is not None else Head()
        if found.seq <= head.seq:
            return self._reject(head, found, value, offset)
        repair = key in self.damage and repair_of(head, found, self.aside.get(key, NOTHING_ASIDE))
        if key in self.damage and not repair:
            self.skipped += 1
            self._put_aside(key, AFTER_DAMAGE, found.seq, value, offset)
            return Rejected(found, f"comes after damage: {self.damage[key].place} {self.damage[key].message}")
        if not extends(head, found):
            raise self._damaged(damage_of(head, found, offset), value).error()
        accepted = Accepted(found, digest(value))
        mismatch = self._remembered.mismatch(key, Head(found.seq, accepted.digest), offset)
        if mismatch is not None and not (repair and self._replaces_head(key, repair)):
            raise self._damaged(mismatch, value).error()
        if (unproven := self._unproven(found, value, headers, offset)) is not None:
            raise self._damaged(unproven, value).error()
        self._apply(state if state is not None else self.network(key), accepted, value, offset)
        if repair:
            self._end_damage(key, found.seq, repair)
        return accepted

    def _unproven(self, entry: Entry, value: bytes, headers: Headers, offset: int) -> Damage | None:
        """Return the damage of an entry that no trusted key signed.

        A repair needs a signature of its own: it may replace a remembered head, so that head proves nothing of it.
        """
        ask = self._remembered.unsigned if entry.network in self.damage else self._remembered.unproven
        return ask(entry.network, entry.seq, value, headers, offset)

    def _reject(self, head: Head, entry: Entry, value: bytes, offset: int) -> Rejected:
        """Return the loser of a race. Raises LedgerDamaged for a repair of which this reader saw no damage."""
        if repairs_what_counted(entry, self._repaired.get(entry.network, ())):
            raise self._damaged(counted_damage(entry, offset), value).error()
        self.rejected += 1
        return Rejected(entry, why_lost(head, entry))

    def _replaces_head(self, network: str, repair: DamageSetAside) -> bool:
        known = self._remembered.of(network)
        return known is not None and (known.seq, known.digest) == (repair.head_seq, repair.head_digest)

    def _end_damage(self, network: str, seq: int, repair: DamageSetAside) -> None:
        self.networks[network].damage = None
        del self.damage[network]
        self.aside.pop(network, None)
        self._repaired.setdefault(network, set()).add(seq)
        if self._replaces_head(network, repair):
            self._remembered.forget(network)

    def check_ends(self) -> dict[str, Damage]:
        """Note as damage each chain that ends before its remembered head, and return what was found by network. Call it
        at the end of the log.
        """
        found: dict[str, Damage] = {}
        for network in self._remembered.networks():
            damage = self._remembered.cut_off(network, self.network(network).head)
            if damage is not None and network not in self.damage:
                self._mark(damage)
                found[network] = damage
        return found

    def _apply(self, state: NetworkState, accepted: Accepted, value: bytes, offset: int) -> None:
        """Evolve all events of an entry, or none; raises LedgerDamaged."""
        entry = accepted.entry
        state.begin()
        try:
            for event in entry.events:
                evolve(state, event, entry.decided_at, entry.seq)
        except LedgerCorrupt as error:
            state.rollback()
            damage = Damage(DamageKind.CONTRADICTION, entry.network, entry.seq, str(error), offset)
            raise self._damaged(damage, value).error() from error
        state.commit()
        self._index(state, entry)
        state.advance(Head(entry.seq, accepted.digest), entry.decided_at)
        self.networks[entry.network] = state
        self.pace.note(entry)
        self.accepted += 1

    def _index(self, state: NetworkState, entry: Entry) -> None:
        alone = self._alone.setdefault(state.network, (state.network,))
        names: dict[str, str] = {}
        for event in entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                names[service] = service
                _add(self._networks_of, service, alone)
            address = getattr(event, "address", None)
            if address is not None:
                _add(self._networks_at, address, alone)
        for cause in entry.cause:
            if cause.service:
                # The events name the same Service in strings of their own, which are kept already.
                service = names.get(cause.service, cause.service)
                if cause.revision > state.revisions.get(service, 0):
                    state.revisions[service] = cause.revision
            elif cause.intent == "network":
                state.offer_revision = max(cause.revision, state.offer_revision)

    def _damaged(self, damage: Damage, value: bytes | None) -> Damage:
        """Note the damage of its network, and of the network that a misplaced entry is missing from."""
        self._note(damage, value)
        if damage.named and damage.seq > self.network(damage.named).seq:
            self._note(damage.in_named(), value)
        return damage

    def _note(self, damage: Damage, value: bytes | None) -> None:
        self._mark(damage)
        self._put_aside(damage.network, damage.kind, damage.seq, value, damage.offset)

    def _mark(self, damage: Damage) -> None:
        first = self.damage.setdefault(damage.network, damage)
        state = self.networks.get(damage.network)
        if state is not None:
            state.damage = first

    def _put_aside(self, network: str, kind: str, seq: int, value: bytes | None, offset: int) -> None:
        record = SetAsideRecord(offset, kind, digest(value or b""), seq)
        self.aside[network] = self.aside.get(network, NOTHING_ASIDE).plus(record)

    def networks_of(self, service: str) -> Collection[str]:
        """Every network whose accepted entries ever named the Service."""
        return self._networks_of.get(service, ())

    def network(self, name: str) -> NetworkState:
        """The state of a network; an empty one, which is not kept, before its first entry."""
        state = self.networks.get(name)
        if state is None:
            state = NetworkState(name)
            state.damage = self.damage.get(name)
        return state

    def mentions(self, service: str) -> bool:
        """Return whether an event of any network is about the Service."""
        return service in self._networks_of

    def holdings_of(self, service: str) -> tuple[Holding, ...]:
        """Everything the Service holds or is leaving, by network, then in the order in which it got them."""
        return tuple(
            holding
            for network in sorted(self._networks_of.get(service, ()))
            for holding in self.networks[network].holdings_of(service)
        )

    def refusals_of(self, service: str) -> tuple[Refusal, ...]:
        """The refusals of the Service that are in force, by network."""
        found = (self.networks[network].refusals.get(service) for network in sorted(self._networks_of.get(service, ())))
        return tuple(refusal for refusal in found if refusal is not None)

    def holding(self, address: str) -> tuple[Holding, ...]:
        """Everyone on the address, over all networks."""
        return tuple(
            holding
            for network in sorted(self._networks_at.get(address, ()))
            for holding in self.networks[network].holdings_at(address)
        )

    def holding_elsewhere(self, address: str, network: str) -> tuple[Holding, ...]:
        """Return everyone on the address in other networks than this one."""
        others = sorted(name for name in self._networks_at.get(address, ()) if name != network)
        return tuple(holding for name in others for holding in self.networks[name].holdings_at(address))

    def gave_but_not_to(self, address: str, service: str) -> bool:
        """Return whether some entry is about the address, and the Service neither holds nor is leaving it."""
        if address not in self._networks_at:
            return False
        return all(holding.service != service for holding in self.holding(address))

    def holdings(self) -> Iterator[Holding]:
        """Every holding of every network, by network."""
        for name in sorted(self.networks):
            yield from self.networks[name].holdings()
