"""The fold of the whole ledger: every network's chain, checked and evolved, with lookups across networks.

Every reader of the ledger (IPAM, planner, publisher, auditor, command line) uses this one class, so all agree by
construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledgerlb.core.index import Index
from ledgerlb.core.ledger.chain import Head, extends, why_not
from ledgerlb.core.ledger.entry import Entry, decode_entry, digest
from ledgerlb.core.ledger.evolve import evolve
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.ledger.state import NetworkState

__all__ = ["Accepted", "Holding", "LedgerFold", "NetworkState", "Refusal", "Rejected"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The entry extended its chain and was evolved; ``digest`` is the new head."""

    entry: Entry
    digest: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The entry does not extend its chain: it never happened. ``why`` is for people."""

    entry: Entry
    why: str


class LedgerFold:
    """See module. ``accepted`` and ``rejected`` count entries; a rejected one is harmless and expected of racing
    writers.
    """

    def __init__(self) -> None:
        self.networks: dict[str, NetworkState] = {}
        self.accepted = 0
        self.rejected = 0
        self._networks_of: Index[str, str, None] = Index()
        self._networks_at: Index[str, str, None] = Index()

    def take(self, key: str, value: bytes | None) -> Accepted | Rejected:
        """Fold one record of the ledger topic. Raises UndecodableRecord for bytes that are no entry; nothing changed
        then.
        """
        entry = decode_entry(key, value)
        assert value is not None
        state = self.networks.get(entry.network)
        if state is None:
            state = NetworkState(entry.network)
        if not extends(state.head, entry):
            self.rejected += 1
            return Rejected(entry, why_not(state.head, entry))
        self.networks[entry.network] = state
        for event in entry.events:
            evolve(state, event, entry.decided_at, entry.seq)
            service = getattr(event, "service", None)
            if service is not None:
                self._networks_of.add(service, entry.network)
            address = getattr(event, "address", None)
            if address is not None:
                self._networks_at.add(address, entry.network)
        for cause in entry.cause:
            if cause.revision and cause.service:
                state.revisions[cause.service] = max(cause.revision, state.revisions.get(cause.service, 0))
            elif cause.intent == "network":
                state.offer_revision = max(cause.revision, state.offer_revision)
        head = Head(entry.seq, digest(value))
        state.advance(head)
        self.accepted += 1
        return Accepted(entry, head.digest)

    def network(self, name: str) -> NetworkState:
        """The state of a network; an empty one (not kept) where no entry exists yet."""
        return self.networks.get(name) or NetworkState(name)

    def mentions(self, service: str) -> bool:
        """Return whether an event of any network is about the Service."""
        return bool(self._networks_of.of(service))

    def holdings_of(self, service: str) -> tuple[Holding, ...]:
        """Everything the Service holds or is leaving, by network, then in the order in which it got them."""
        return tuple(
            holding
            for network in sorted(self._networks_of.of(service))
            for holding in self.networks[network].holdings_of(service)
        )

    def refusals_of(self, service: str) -> tuple[Refusal, ...]:
        """The Service's standing refusals, by network."""
        found = (self.networks[network].refusals.get(service) for network in sorted(self._networks_of.of(service)))
        return tuple(refusal for refusal in found if refusal is not None)

    def holding(self, address: str) -> tuple[Holding, ...]:
        """Everyone on the address, over all networks."""
        return tuple(
            holding
            for network in sorted(self._networks_at.of(address))
            for holding in self.networks[network].holdings_at(address)
        )

    def gave_but_not_to(self, address: str, service: str) -> bool:
        """Return whether some entry is about the address, and the Service neither holds nor is leaving it."""
        if not self._networks_at.of(address):
            return False
        return all(holding.service != service for holding in self.holding(address))

    def holdings(self) -> Iterator[Holding]:
        """Every holding of every network, by network."""
        for name in sorted(self.networks):
            yield from self.networks[name].holdings()
