"""The whole log folded for people: Services, networks, agents, path sets.

One fold serves the read-only commands, the live table of ``run`` and the snapshots of ``simulate``, so that all of
them show the same state in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.intents.model import Selection
from ledgerlb.core.ipam.sharing import why_apart
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import Prefix
from ledgerlb.core.ledger.fold import Accepted, Holding
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.plan import size_of
from ledgerlb.core.networks import ExternalNetwork, networks
from ledgerlb.core.paths.pathset import LocalBackends, PathSet, path_set_digest
from ledgerlb.core.paths.plan import owners_elsewhere
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.publication.publish import publish
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.text import epoch_moment
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS
from ledgerlb.runtime.projection import Projection

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys


@dataclass(frozen=True)
class ServiceLine:
    """One Service as it is now.

    ``selection`` None: the selector has no verdict yet; ``fact`` None: the Service is gone (the ledger may still be
    releasing its address).
    """

    name: str
    publication: Publication
    fact: ServiceFact | None
    selection: Selection | None
    holdings: tuple[Holding, ...]
    path_sets: dict[str, PathSet] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the Service as ``services -o json`` and scenarios show it."""
        shown = self.publication
        return {
            "state": shown.state,
            "network": shown.network,
            "wanted": shown.wanted,
            "addresses": list(shown.addresses),
            "reason": shown.reason,
            "message": shown.message,
            "rung": shown.rung,
            "reachability": shown.reachability.reason if shown.reachability is not None else None,
            "path_set": {address: path_set_as_json(found) for address, found in self.path_sets.items()},
        }


def path_set_as_json(path_set: PathSet) -> dict[str, dict[str, Any]]:
    """Return the next hops by node, each with the backends of all ports."""
    shown: dict[str, dict[str, Any]] = {}
    local = path_set.local()
    for hop in path_set.next_hops:
        here = local.get(hop.node, LocalBackends(node=hop.node))
        node: dict[str, Any] = {"weight": hop.weight, "backends": list(here.backends)}
        if here.draining:
            node["draining"] = list(here.draining)
        shown[hop.node] = node
    return shown


@dataclass(frozen=True)
class NetworkLine:
    """One external network as it is now.

    ``allocated`` counts held and releasing addresses, ``problem`` is a reason, ``conflict`` names the network that it
    overlaps, and ``exists`` is False if only its addresses are left. ``warning`` is what its owner should know although
    the network works, empty if there is nothing.
    """

    name: str
    size: int
    allocated: int
    quarantined: int
    conflict: str | None
    problem: str | None
    message: str = ""
    exists: bool = True
    warning: str = ""

    @property
    def free(self) -> int:
        """Addresses that the network can give out now, those leased to a former holder included."""
        return max(0, self.size - self.allocated - self.quarantined)

    @property
    def trouble(self) -> str:
        """What is wrong with the network, for people; empty if nothing is."""
        return ": ".join(part for part in (self.problem, self.message) if part)

    def as_json(self) -> dict[str, Any]:
        """Return the network as ``services -o json`` and scenarios show it."""
        return {
            "size": self.size,
            "allocated": self.allocated,
            "quarantined": self.quarantined,
            "conflict": self.conflict,
            "problem": self.problem,
            "warning": self.warning or None,
        }


class LogView:
    """See module. Takes records of ``READS``; one that does not decode raises BadInput and changes nothing."""

    READS: Final = (FACTS, INTENTS, LEDGER, PATHS, REPORTS)

    def __init__(self, settings: DomainSettings, projection: Projection | None = None) -> None:
        self.settings = settings
        self._projection = projection or Projection()
        self.accepted: list[tuple[Entry, str]] | None = None
        """Set to a list to keep every accepted entry with its hash."""
        self.reset()

    def reset(self) -> None:
        """Forget everything folded so far."""
        self._projection.reset()
        self.cluster = self._projection.cluster
        self.ledger = self._projection.ledger
        self.agents = self._projection.agents
        self.intents = self._projection.intents
        self.path_sets: dict[str, PathSet] = {}
        self.path_digests: dict[str, str] = {}
        """By address: the digest by which agents name the path set that they report."""
        self.newest = 0
        """The newest timestamp of a record, in milliseconds since the epoch by the log's clock; 0: none yet."""

    def take(self, record: Record) -> None:
        """Fold one record."""
        self.newest = max(self.newest, record.timestamp)
        match record.topic:
            case FACTS.name:
                self._projection.fact(record)
            case INTENTS.name:
                self._projection.intent(record)
            case LEDGER.name:
                outcome = self._projection.entry(record)
                if isinstance(outcome, Accepted) and self.accepted is not None:
                    self.accepted.append((outcome.entry, outcome.digest))
            case PATHS.name:
                path_set = self._projection.path_set(record)
                if path_set is None:
                    self.path_sets.pop(record.key, None)
                    self.path_digests.pop(record.key, None)
                else:
                    self.path_sets[record.key] = path_set
                    self.path_digests[record.key] = path_set_digest(record.value)
            case REPORTS.name:
                self._projection.report(record)

    @property
    def heads(self) -> RememberedHeads:
        """The heads that the ledger must have."""
        return self._projection.heads

    def trust(self, keys: TrustedKeys) -> None:
        """Demand that these keys signed path sets and reports."""
        self._projection.trust(keys)

    def at_end(self) -> None:
        """Find chains that end too early; call it when the log was read to its end."""
        self._projection.at_end()

    @property
    def as_of(self) -> datetime | None:
        """The time of the newest record; None where the log has none."""
        return epoch_moment(self.newest / 1000) if self.newest else None

    def service_names(self) -> list[str]:
        """Return every Service of type LoadBalancer or with an address, sorted."""
        names = {fact.full_name for fact in self.cluster.services()}
        names.update(holding.service for holding in self.ledger.holdings())
        return sorted(names)

    def services(self, now: datetime) -> Iterator[ServiceLine]:
        """Return every Service, by name."""
        for name in self.service_names():
            yield self.service(name, now)

    def service(self, name: str, now: datetime) -> ServiceLine:
        """Return one Service; one that the log does not have is ``Deleted``."""
        fact = self.cluster.service(name)
        holdings = self.ledger.holdings_of(name)
        selection = self.intents.selections.get(name)
        if fact is None:
            publication = Publication("Deleted", message="no longer exists")
        else:
            refusals = self.ledger.refusals_of(name)
            wanting = self.intents.wants(name)
            publication = publish(
                fact,
                selection,
                holdings,
                refusals,
                self.agents,
                now,
                self.settings,
                wanting=wanting,
                damaged=self.ledger.damage,
                elsewhere=owners_elsewhere(self.ledger, holdings),
                pace=self.ledger.pace,
                unserved={
                    holding.address: found.unserved
                    for holding in holdings
                    if (found := self.path_sets.get(holding.address)) is not None
                },
                apart=why_apart(self.ledger, self.intents, holdings),
            )
        path_sets = {
            holding.address: found
            for holding in holdings
            if holding.state == "held"
            and (found := self.path_sets.get(holding.address))
            and not found.withdraw
            and name in found.services  # else another routing context's holder owns the address
        }
        return ServiceLine(name, publication, fact, selection, holdings, path_sets)

    def networks(self) -> Iterator[NetworkLine]:
        """Return every external network by name, also those that are gone but still have holders."""
        holders = {holding.network for holding in self.ledger.holdings()}
        known = networks(self.cluster, self.settings, holders)
        for name in sorted({*known, *holders, *self.ledger.damage}):
            yield self._network(name, known.get(name))

    def network(self, name: str) -> NetworkLine | None:
        """Return one external network, also a gone one that the ledger has; None if the log never had it."""
        known = networks(self.cluster, self.settings, {holding.network for holding in self.ledger.holdings()}).get(name)
        if known is None and not self.ledger.network(name).seq:
            return None
        return self._network(name, known)

    def _network(self, name: str, network: ExternalNetwork | None) -> NetworkLine:
        state = self.ledger.network(name)
        size = 0
        if state.plan and not state.gone:
            size = state.size()
        elif network is not None:
            size = size_of(
                Prefix(part.family, part.prefix, part.gateway, part.ranges, part.excluded) for part in network.prefixes
            )
        problem = network.problem if network is not None else None
        message = network.message if network is not None else "no longer exists"
        if problem is None and state.change_refused is not None:
            problem = Reason.PREFIX_CHANGE_REFUSED
            holders = ", ".join(f"{address} {service}" for address, service in state.change_refused.holders)
            message = f"the new prefixes would cut off {holders}"
        if state.damage is not None:
            problem, message = state.damage.reason, state.damage.text()
        conflict = network.conflict if network is not None else None
        offer = self.intents.offers.get(name)
        warning = offer.reserved if offer is not None and network is not None else ""
        return NetworkLine(
            name, size, state.allocated(), state.quarantined(), conflict, problem, message, network is not None, warning
        )
