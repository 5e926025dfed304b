"""The planner: how one external address is reached, from the ledger (who holds it) and the cluster (who answers).

``plan`` is pure, and its answer depends on what the facts say and never on the order in which they came, so equal
inputs give equal bytes. Bounds: those of ``paths.table``, and ``MAX_NOTES`` notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS
from ledgerlb.core.paths.backend_facts import BackendFacts, Lookups
from ledgerlb.core.paths.backends import backends_of
from ledgerlb.core.paths.pathset import PathSet, Unserved
from ledgerlb.core.paths.table import PathTable
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import shortened

MAX_NOTES: Final = 32
_NAMED_IN_NOTE: Final = 3


class Held(Protocol):
    """What the planner reads of a holding."""

    @property
    def network(self) -> str:
        """Who gave the address out (``namespace/name``)."""
        ...

    @property
    def service(self) -> str:
        """Who holds it (``namespace/name``)."""
        ...

    @property
    def address(self) -> str:
        """The address that is held."""
        ...

    @property
    def family(self) -> Family:
        """4 or 6."""
        ...

    @property
    def state(self) -> str:
        """``held`` or ``releasing``."""
        ...

    @property
    def address_since(self) -> datetime:
        """When the network gave the address to its first sharer."""
        ...

    @property
    def seq(self) -> int:
        """The ledger entry that gave it out."""
        ...

    @property
    def allocation(self) -> str:
        """``network#seq``."""
        ...

    @property
    def release(self) -> str:
        """``network#seq`` of the entry that began the release, or empty."""
        ...


class Holdings(Protocol):
    """What the planner reads of the ledger."""

    def holding(self, address: str) -> Sequence[Held]:
        """Return every holding of the address, over all networks; [] where no Service holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A path set (None: no Service holds the address) and the keys (see ``Lookups``) of the facts behind it."""

    path_set: PathSet | None
    made_from: frozenset[str]


def plan(facts: BackendFacts, ledger: Holdings, address: str) -> PathSet | None:
    """Return the path set of a canonical address; None where no Service holds it."""
    return plan_from(facts, ledger, address).path_set


def plan_from(facts: BackendFacts, ledger: Holdings, address: str) -> Planned:
    """Return the path set like ``plan``, and the keys of the facts that it looked at."""
    lookups = Lookups(facts)
    holdings = sorted(ledger.holding(address), key=lambda held: (held.network, held.service, held.seq))
    if not holdings:
        return Planned(None, frozenset())
    path_set = _withdrawal(address, holdings) or _forwarding(lookups, address, holdings)
    return Planned(path_set, frozenset(lookups.keys))


def _withdrawal(address: str, holdings: Sequence[Held]) -> PathSet | None:
    """Return the order to withdraw the address, if its owner (see ``owner_of``) releases it, else None."""
    network = owner_of(holdings)
    here = [held for held in holdings if held.network == network]
    if any(held.state != "releasing" for held in here):
        return None
    last = max(here, key=lambda held: held.seq)
    return PathSet(
        address=address,
        family=last.family,
        network=network,
        services=tuple(sorted({held.service for held in here})),
        allocation=last.allocation,
        withdraw=True,
        release=last.release,
    )


def owner_of(holdings: Sequence[Held]) -> str:
    """Return the network whose holding of an address the data path serves.

    Networks with separate route targets may hold the same address, and a gateway or node has one routing context. The
    network that has held the address for longest owns it until it has released it. Only time compares: sequence numbers
    of different chains say nothing about each other, so a fresh chain must not take over a live address.
    """
    return min((held.address_since, held.network) for held in holdings)[1]


def owners_elsewhere(ledger: Holdings, holdings: Iterable[Held]) -> dict[tuple[str, str], str]:
    """Return the network that the data path serves, by (network, address) of each of the holdings that it does not
    serve.

    A holder of both is left out: it moves between the two networks and keeps the address.
    """
    found = {}
    for held in holdings:
        everyone = ledger.holding(held.address)
        owner = owner_of(everyone)
        if owner != held.network and not any(one.network == owner and one.service == held.service for one in everyone):
            found[held.network, held.address] = owner
    return found


def _forwarding(facts: Lookups, address: str, holdings: Sequence[Held]) -> PathSet:
    owner = owner_of(holdings)
    others = sorted({held.network for held in holdings} - {owner})
    holders = [held for held in holdings if held.network == owner and held.state == "held"]
    first = min(holders, key=_rank)
    names = sorted({held.service for held in holders})
    services = [service for service in map(facts.service, names) if service is not None]
    table = PathTable(facts, first.family)
    unserved: list[Unserved] = []
    missing = [name for name in names if facts.service(name) is None]
    notes = {f"Service {name} does not exist: nothing is forwarded to it" for name in missing}
    notes.update(f"network {name} holds the address too, but {owner} has held it for longer" for name in others)
    for service in services:
        notes.update(_unsupported(service))
        found = backends_of(facts, service, first.family, first.network)
        placed = table.add(service, found.found)
        notes.update(found.notes)
        notes.update(f"Service {service.full_name}: {problem}" for problem in placed.problems)
        problems = (*placed.problems, *found.unreachable)
        if problems and not placed.usable:
            unserved.append(_unserved(service, problems))
    next_hops, frontends, cut = table.result()
    return PathSet(
        address=address,
        family=first.family,
        network=first.network,
        services=tuple(names),
        frontends=frontends,
        next_hops=next_hops,
        allocation=first.allocation,
        unserved=tuple(unserved),
        sharers=tuple(held.allocation for held in sorted(holders, key=_rank) if held is not first),
        notes=_bounded({*notes, *cut}),
    )


def _rank(held: Held) -> tuple[int, str]:
    return held.seq, held.service


def _unserved(service: ServiceFact, problems: Sequence[str]) -> Unserved:
    shown = "; ".join(problems[:_NAMED_IN_NOTE]) + (
        f"; and {more} more" if (more := len(problems) - _NAMED_IN_NOTE) > 0 else ""
    )
    message = shortened(f"no backend of Service {service.full_name} can be programmed: {shown}")
    return Unserved(service=service.full_name, reason=Reason.NO_USABLE_BACKEND, message=message)


def _unsupported(service: ServiceFact) -> set[str]:
    return {
        f"{Reason.UNSUPPORTED_PROTOCOL}: Service {service.full_name}, port {port.port}/{port.protocol}: "
        "only TCP, UDP and SCTP are forwarded"
        for port in service.ports
        if port.protocol not in SUPPORTED_PROTOCOLS
    }


def _bounded(notes: Iterable[str]) -> tuple[str, ...]:
    ordered = sorted(notes)
    if len(ordered) <= MAX_NOTES:
        return tuple(ordered)
    return (*ordered[: MAX_NOTES - 1], f"… and {len(ordered) - MAX_NOTES + 1} more")
