"""Reachability: the interfaces of pods, and which backends an external network reaches.

Pods on different networks may have the same address, so the address of an endpoint alone does not identify an
interface. ``resolve`` looks it up on the networks that the external network reaches, and only there. It never takes
another interface of the same pod instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from ledgerlb.core.addresses import canonical
from ledgerlb.core.cluster.facts import PodFact, VirtualMachineInterfaceFact
from ledgerlb.core.text import load_json

PRIMARY: Final = ""
"""The marker of the pods' primary network, whose name differs between clusters. Every network reaches it."""


@dataclass(frozen=True, slots=True)
class RouteTargets:
    """The three lists of a network, each without duplicates, in the order in which they are written.

    ``routers_in`` and ``routers_out`` are what VirtualNetworkRouters add. A network lists route targets if one of the
    three lists does.
    """

    both: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    routers_in: tuple[str, ...] = ()
    routers_out: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.both or self.imports or self.exports)

    @property
    def imported(self) -> frozenset[str]:
        """The targets that the network imports routes from."""
        return frozenset((*self.both, *self.imports, *self.routers_in))

    @property
    def exported(self) -> frozenset[str]:
        """The targets that the network exports its routes to."""
        return frozenset((*self.both, *self.exports, *self.routers_out))

    @property
    def named(self) -> tuple[str, ...]:
        """Every route target of any list, in order, with those of routers; none where the network lists none."""
        routers = (*self.routers_in, *self.routers_out) if self else ()
        return tuple(dict.fromkeys((*self.both, *self.imports, *self.exports, *routers)))


NO_TARGETS: Final = RouteTargets()


@dataclass(frozen=True, slots=True)
class Joint:
    """What decides which networks a network (``namespace/name``) reaches."""

    network: str
    targets: RouteTargets = NO_TARGETS


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a pod (``namespace/name``). ``network`` is ``namespace/name``, or ``PRIMARY``; addresses
    are canonical.
    """

    pod: str
    network: str
    addresses: tuple[str, ...]

    @property
    def primary(self) -> bool:
        """Whether this is the pod's interface on the cluster's pod network."""
        return self.network == PRIMARY


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why an endpoint cannot be a backend."""

    address: str
    message: str


def reaches(external: Joint, backend: Joint) -> bool:
    """Return whether an external network reaches a backend's network: the same network, the pods' primary network, or
    one that exports a route target which the external network imports.
    """
    if backend.network in {PRIMARY, external.network}:
        return True
    return not backend.targets.exported.isdisjoint(external.targets.imported)


def resolve(
    address: str,
    attached: Iterable[Interface],
    external: Joint,
    targets_of: Callable[[str], RouteTargets | None],
    pod: str = "",
) -> Interface | Unreachable:
    """Return the pod interface that an endpoint's address means, seen from an external network.

    ``attached`` are the interfaces that have the address (in a fixed order), ``targets_of`` tells a network's
    route targets (None: no such network), ``pod`` restricts the search to the pod that the endpoint refers to,
    where it does.
    """
    here = [interface for interface in attached if not pod or interface.pod == pod]
    if not here:
        whose = f"Pod {pod} has no interface" if pod else "no known pod has an interface"
        remedy = "list an address that the pod's network-status shows"
        return Unreachable(
            address,
            f"endpoint {address}: {whose} with this address that external network {external.network} could reach; "
            f"{remedy}",
        )
    reached = [interface for interface in here if reaches(external, _joint(interface, targets_of))]
    if not reached:
        networks = ", ".join(dict.fromkeys(interface.network for interface in here))
        return Unreachable(
            address,
            f"endpoint {address} is on network {networks}, which external network {external.network} does not reach; "
            "give both a common route target",
        )
    if len({(interface.pod, interface.network) for interface in reached}) > 1:
        places = ", ".join(map(_described, reached))
        return Unreachable(
            address,
            f"endpoint {address} is ambiguous from external network {external.network}: {places}; "
            "let the endpoint name its pod (targetRef), or separate the networks",
        )
    return reached[0]


def _described(interface: Interface) -> str:
    whose = f"Pod {interface.pod}" if interface.pod else "several pods"
    return f"{whose} on {interface.network or 'the pod network'}"


def _joint(interface: Interface, targets_of: Callable[[str], RouteTargets | None]) -> Joint:
    targets = None if interface.primary else targets_of(interface.network)
    return Joint(interface.network, targets if targets is not None else NO_TARGETS)


def interfaces_of(pod: PodFact) -> tuple[Interface, ...]:
    """Return a pod's interfaces: the primary one, and those in its network-status annotation. An entry that cannot be
    read is left out, because it has no address to send traffic to.
    """
    primary = [canonical(ip) for ip in pod.ips]
    secondary: list[Interface] = []
    for entry in _entries(pod.network_status):
        addresses = _addresses(entry.get("ips"))
        name = entry.get("name")
        if entry.get("default") is True or (addresses and set(addresses) <= set(primary)):
            primary += addresses
        elif addresses and isinstance(name, str) and name:
            network = name if "/" in name else f"{pod.namespace}/{name}"
            secondary.append(Interface(pod.full_name, network, addresses))
    own = tuple(dict.fromkeys(primary))
    return (*((Interface(pod.full_name, PRIMARY, own),) if own else ()), *secondary)


def interface_of_vmi(vmi: VirtualMachineInterfaceFact) -> tuple[Interface, ...]:
    """Return the interface that a CN2 VirtualMachineInterface describes; none if it lacks a pod, a network or an
    address.
    """
    if not (vmi.pod and vmi.network and vmi.address):
        return ()
    return (Interface(vmi.pod, vmi.network, (canonical(vmi.address),)),)


def _entries(status: str) -> list[dict[str, Any]]:
    if not status:
        return []
    try:
        raw = load_json(status)
    except (ValueError, RecursionError):
        return []
    return [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []


def _addresses(raw: Any) -> tuple[str, ...]:
    listed = raw if isinstance(raw, list) else []
    return tuple(dict.fromkeys(canonical(ip) for ip in listed if isinstance(ip, str) and ip))
