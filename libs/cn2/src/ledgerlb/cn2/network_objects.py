"""The objects of a NetworkAttachmentDefinition: a VirtualNetwork of its name, and a Subnet for each family.

The NAD's JSON is read by the rules that derive networks, but from the NAD alone: its objects follow from it, and never
the other way round.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ledgerlb.cn2.model import CARRIED_ANNOTATION, DEFAULT_VERSION, MANAGED_BY_LABEL, Wanted, reference
from ledgerlb.core.cluster.facts import NetworkAttachmentDefinitionFact, key_of
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.networks.derive import derive, is_network
from ledgerlb.core.networks.model import ExternalNetwork
from ledgerlb.core.settings import DomainSettings

NAD_NAME: Final = "juniper.net/nad-name"
NAD_NAMESPACE: Final = "juniper.net/nad-namespace"
STATUS_ANNOTATION: Final = "juniper.net/networks-status"
NAD_FINALIZER: Final = "ledgerlb.io/virtual-network"


@dataclass(frozen=True, slots=True)
class NadObjects:
    """Subnets, then the VirtualNetwork; empty for a NAD that cannot be used. ``status`` is the NAD's new annotation.

    ``valid`` False: objects of an earlier, valid state of the NAD stay as they are.
    """

    objects: tuple[Wanted, ...] = ()
    status: str = ""
    valid: bool = True


def nad_objects(
    nad: NetworkAttachmentDefinitionFact, settings: DomainSettings, *, version: str = DEFAULT_VERSION
) -> NadObjects | None:
    """Return the objects of a NAD; None where it defines no network (it is another plug-in's, or being deleted)."""
    alone = ClusterView()
    alone.take(key_of(nad), nad)
    network = derive(alone, nad.full_name, settings)
    if network is None or not (is_network(nad) or nad.has_finalizer):  # leave a NAD alone that nothing marks as CN2's
        return None
    if network.problem is not None:
        return NadObjects(status=f"failed: {network.message}", valid=False)
    subnets = {
        offer.family: Wanted(
            "Subnet",
            nad.namespace,
            f"{nad.name}-v{offer.family}",
            _back_reference(nad),
            spec={"cidr": offer.prefix},
            version=version,
        )
        for offer in network.prefixes
    }
    cidrs = " ".join(f"v{offer.family}Subnet: {offer.prefix}" for offer in network.prefixes)
    vn = _virtual_network(nad, network, version)
    return NadObjects((*subnets.values(), vn), f"success creating VirtualNetwork {nad.name} {cidrs}")


def _back_reference(nad: NetworkAttachmentDefinitionFact) -> dict[str, str]:
    return {NAD_NAME: nad.name, NAD_NAMESPACE: nad.namespace}


def _virtual_network(nad: NetworkAttachmentDefinitionFact, network: ExternalNetwork, version: str) -> Wanted:
    spec: dict[str, Any] = {
        f"v{offer.family}SubnetReference": reference("Subnet", f"{nad.full_name}-v{offer.family}", version)
        for offer in network.prefixes
    }
    lists = {
        "routeTargetList": network.targets.both,
        "importRouteTargetList": network.targets.imports,
        "exportRouteTargetList": network.targets.exports,
    }
    spec |= {field: list(targets) for field, targets in lists.items() if targets}
    spec |= _switches(nad)
    labels = {key: value for key, value in sorted(nad.labels.items()) if key != MANAGED_BY_LABEL}
    annotations = _back_reference(nad)
    if labels:
        annotations[CARRIED_ANNOTATION] = ",".join(labels)
    return Wanted("VirtualNetwork", nad.namespace, nad.name, annotations, labels, spec, version)


def _switches(nad: NetworkAttachmentDefinitionFact) -> dict[str, bool]:
    options = json.loads(nad.networks) if nad.networks else {}
    value = options.get("fabricSNAT") if isinstance(options, dict) else None
    return {"fabricSNAT": value} if isinstance(value, bool) else {}


def owner_of(annotations: Any, namespace: str) -> str:
    """Return ``namespace/name`` of the NAD that an object was made for, empty where it names none."""
    name = annotations.get(NAD_NAME, "")
    return f"{annotations.get(NAD_NAMESPACE, '') or namespace}/{name}" if name else ""
