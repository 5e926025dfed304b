"""Takeover: what becomes of the addresses that a Service's status shows and that it does not hold.

Another controller left them, or an earlier life of this one. A Service with a network asks that one to adopt them. A
Service without one (its choice has a reason) asks the *home* of its addresses, which is the network that has them: it
keeps them there while it waits. In every other network that has such an address, the address is reserved until the
status no longer shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ledgerlb.core.addresses import cidr_of, parse, to_int
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks import ExternalNetwork
from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.context import SelectionContext

Reserved = Mapping[str, tuple[str, ...]]
"""Addresses that a status shows, by the network in which they are reserved."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """``shown``: what the status shows and the Service does not hold. ``home``: the network that is to adopt it where
    no network is chosen. ``reserved``: see ``Reserved``.
    """

    shown: tuple[str, ...] = ()
    home: str | None = None
    reserved: Reserved = field(default_factory=dict)


NO_TAKEOVER: Final = Takeover()
NOTHING_RESERVED: Final[Reserved] = MappingProxyType({})


def shown_addresses(service: ServiceFact) -> tuple[str, ...]:
    """Return the addresses in the Service's status, in canonical spelling. Other text in the status is not ours."""
    shown = (parse(text) for text in service.ingress)
    return tuple(dict.fromkeys(address.text for address in shown if address is not None))


def unheld_addresses(service: ServiceFact, holdings: Iterable[Holding]) -> tuple[str, ...]:
    """Return the shown addresses that the Service neither holds nor is leaving."""
    if not service.ingress:
        return ()
    held = {holding.address for holding in holdings}
    return tuple(address for address in shown_addresses(service) if address not in held)


def plan_takeover(context: SelectionContext, service: ServiceFact, shown: tuple[str, ...], choice: Choice) -> Takeover:
    """Plan what becomes of ``shown``, which the Service does not hold, for a Service of ours."""
    if not shown:
        return NO_TAKEOVER
    having = {address: _networks_with(context, service, address, choice) for address in shown}
    home = None
    if choice.network is None:
        home = next((networks[0].name for networks in having.values() if networks), None)
    adopting = choice.network if choice.network is not None else home
    return Takeover(shown, home, _by_network(having, adopting))


def reserve_everywhere(context: SelectionContext, service: ServiceFact, shown: tuple[str, ...]) -> Reserved:
    """Reserve what a Service shows that is not ours to change."""
    return _by_network({address: _networks_with(context, service, address) for address in shown}, None)


def _by_network(having: Mapping[str, tuple[ExternalNetwork, ...]], besides: str | None) -> Reserved:
    found: dict[str, tuple[str, ...]] = {}
    for address, networks in having.items():
        for network in networks:
            if network.name != besides:
                found[network.name] = (*found.get(network.name, ()), address)
    return found


def _networks_with(
    context: SelectionContext, service: ServiceFact, address: str, choice: Choice | None = None
) -> tuple[ExternalNetwork, ...]:
    """Return the networks that have the address: those that admit the Service's Namespace first, then candidates of
    its choice, networks of its own Namespace and admitted ones, then the oldest.
    """
    candidates = {result.network for result in choice.candidates} if choice is not None else set()
    labels = context.view.namespace_labels(service.namespace)

    def rank(network: ExternalNetwork) -> tuple[bool, bool, bool, bool, tuple[str, str]]:
        allowed = network.allowed_namespaces
        return (
            allowed is not None and not allowed.matches(labels),
            network.name not in candidates,
            network.namespace != service.namespace,
            not network.admitted,
            network.age,
        )

    return tuple(sorted((one for one in context.networks.values() if _has(one, address)), key=rank))


def _has(network: ExternalNetwork, address: str) -> bool:
    if network.problem is not None:
        return False
    value, family = to_int(address), 6 if ":" in address else 4
    return any(
        prefix.family == family and cidr_of(prefix.prefix).covers(prefix.family, value) for prefix in network.prefixes
    )
