"""``LedgerFold``: every network's chain, checked and evolved, with lookups across networks.

Every reader of the ledger (IPAM, planner, publisher, command line) uses this one class, so all agree by construction.

A record is one of three things. An entry that extends its chain is accepted, with all of its events. An entry with a
``seq`` that the chain has already lost a race, and is skipped. Anything else is damage: its network keeps the state of
its last good entry and skips whatever follows, on every reader alike, so that nothing is decided on a state that the
log does not prove.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from ledgerlb.core.errors import LedgerCorrupt
from ledgerlb.core.ledger.chain import Head, damage_of, extends, why_lost
from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.entry import Entry, digest, parse_entry
from ledgerlb.core.ledger.evolve import evolve
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.ledger.state import NetworkState

__all__ = ["Accepted", "Holding", "LedgerFold", "NetworkState", "Refusal", "Rejected"]


_Places = dict[str, tuple[str, ...]]
"""Networks by Service or by address: mostly one, and never removed, so a tuple takes a third of an ``Index``."""


def _add(places: _Places, name: str, network: str) -> None:
    known = places.get(name)
    if known is None:
        places[name] = (network,)
    elif network not in known:
        places[name] = (*known, network)


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
    comes after damage. ``damage`` is the first damage of each network that has any. ``remembered`` are the heads that
    the ledger must have.
    """

    def __init__(self, remembered: RememberedHeads | None = None) -> None:
        self.networks: dict[str, NetworkState] = {}
        self.damage: dict[str, Damage] = {}
        self.accepted = 0
        self.rejected = 0
        self.skipped = 0
        self._remembered = remembered if remembered is not None else RememberedHeads()
        self._networks_of: _Places = {}
        self._networks_at: _Places = {}

    def take(self, key: str, value: bytes | None, offset: int = NO_OFFSET) -> Accepted | Rejected:
        """Fold one record of the ledger topic.

        Raises LedgerDamaged for a record that damages its network, once it is noted in ``damage``; no state of an
        address changed then.
        """
        found = parse_entry(key, value, offset)
        if isinstance(found, Damage):
            raise self._damaged(found).error()
        assert value is not None
        state = self.networks.get(key)
        head = state.head if state is not None else Head()
        if found.seq <= head.seq:
            self.rejected += 1
            return Rejected(found, why_lost(head, found))
        if key in self.damage:
            self.skipped += 1
            return Rejected(found, f"comes after damage: {self.damage[key].place} {self.damage[key].message}")
        if not extends(head, found):
            raise self._damaged(damage_of(head, found, offset)).error()
        accepted = Accepted(found, digest(value))
        if (mismatch := self._remembered.mismatch(key, Head(found.seq, accepted.digest), offset)) is not None:
            raise self._damaged(mismatch).error()
        self._apply(state if state is not None else NetworkState(key), accepted, offset)
        return accepted

    def check_ends(self) -> dict[str, Damage]:
        """Note as damage each chain that ends before its remembered head, and return what was found by network. Call it
        at the end of the log.
        """
        found: dict[str, Damage] = {}
        for network in self._remembered.networks():
            damage = self._remembered.cut_off(network, self.network(network).head)
            if damage is not None and network not in self.damage:
                self._note(damage)
                found[network] = damage
        return found

    def _apply(self, state: NetworkState, accepted: Accepted, offset: int) -> None:
        """Evolve all events of an entry, or none; raises LedgerDamaged."""
        entry = accepted.entry
        state.begin()
        try:
            for event in entry.events:
                evolve(state, event, entry.decided_at, entry.seq)
        except LedgerCorrupt as error:
            state.rollback()
            damage = Damage(DamageKind.CONTRADICTION, entry.network, entry.seq, str(error), offset)
            raise self._damaged(damage).error() from error
        state.commit()
        self._index(state, entry)
        state.advance(Head(entry.seq, accepted.digest))
        self.networks[entry.network] = state
        self.accepted += 1

    def _index(self, state: NetworkState, entry: Entry) -> None:
        for event in entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                _add(self._networks_of, service, state.network)
            address = getattr(event, "address", None)
            if address is not None:
                _add(self._networks_at, address, state.network)
        for cause in entry.cause:
            if cause.service:
                if cause.revision > state.revisions.get(cause.service, 0):
                    state.revisions[cause.service] = cause.revision
            elif cause.intent == "network":
                state.offer_revision = max(cause.revision, state.offer_revision)

    def _damaged(self, damage: Damage) -> Damage:
        """Note the damage of its network, and of the network that a misplaced entry is missing from."""
        self._note(damage)
        if damage.named and damage.seq > self.network(damage.named).seq:
            self._note(replace(damage, network=damage.named, message=f"is filed under key {damage.network!r}"))
        return damage

    def _note(self, damage: Damage) -> None:
        first = self.damage.setdefault(damage.network, damage)
        state = self.networks.get(damage.network)
        if state is not None:
            state.damage = first

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
