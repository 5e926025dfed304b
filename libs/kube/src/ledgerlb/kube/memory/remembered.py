"""What LedgerLB wrote to a cluster in memory in an earlier life of the process, taken from the facts of the log.

An API server keeps status, finalizers and made objects while LedgerLB is down. A folder of manifests has none of them,
so the cluster in memory gets them back from the facts. Otherwise each restart would write every fact twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.cn2.model import DEFAULT_VERSION, GROUP, MANAGED_BY, MANAGED_BY_LABEL
from ledgerlb.cn2.network_objects import NAD_FINALIZER, STATUS_ANNOTATION
from ledgerlb.core.cluster.facts import (
    FINALIZER,
    AddressPoolFact,
    AnyFact,
    CN2ObjectFact,
    NetworkAttachmentDefinitionFact,
    ServiceFact,
    SubnetFact,
    VirtualNetworkFact,
)

Object = dict[str, Any]

KINDS: Final = (
    "Service", "NetworkAttachmentDefinition", "AddressPool", "VirtualNetwork", "Subnet", "InstanceIP", "FloatingIP",
    "Namespace", "Node", "Pod", "EndpointSlice", "Endpoints", "Kubemanager", "VirtualMachineInterface",
)  # fmt: skip
"""Kinds whose objects are remembered."""


def metadata_of(fact: AnyFact) -> Object:
    """Return the metadata that the server sets: uid, creation time, and a generation where the fact has one."""
    found: Object = {"uid": fact.uid, "creationTimestamp": fact.created}
    generation = getattr(fact, "generation", 0)
    return {key: value for key, value in (found | {"generation": generation}).items() if value}


def written_on(fact: AnyFact) -> Object:
    """Return what LedgerLB wrote on an object of another owner: finalizers, annotations, status, cluster addresses."""
    match fact:
        case ServiceFact():
            found: Object = {"status": _service_status(fact), "finalizers": [FINALIZER] if fact.has_finalizer else []}
            if fact.cluster_ips and fact.cluster_ips[0] != "None":
                found["spec"] = {"clusterIP": fact.cluster_ips[0], "clusterIPs": list(fact.cluster_ips)}
            return found
        case NetworkAttachmentDefinitionFact():
            status = fact.annotations.get(STATUS_ANNOTATION)
            return {
                "finalizers": [NAD_FINALIZER] if fact.has_finalizer else [],
                "annotations": {STATUS_ANNOTATION: status} if status else {},
            }
        case AddressPoolFact():
            return {"status": dict(fact.status)}
    return {}


def _service_status(fact: ServiceFact) -> Object:
    conditions = [
        {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "observedGeneration": one.observed_generation,
            "lastTransitionTime": one.since,
        }
        for one in fact.conditions
    ]
    status: Object = {"conditions": conditions} if conditions else {}
    if fact.ingress:
        status["loadBalancer"] = {"ingress": [{"ip": address, "ipMode": "VIP"} for address in fact.ingress]}
    return status


def made_object(fact: AnyFact) -> Object | None:
    """Return an object that LedgerLB made itself, whole; None for every other fact."""
    match fact:
        case CN2ObjectFact(ours=True):
            spec: Object = dict(fact.spec)
        case SubnetFact(ours=True, malformed=()):
            spec = {"cidr": fact.cidr}
            if fact.default_gateway:
                spec["defaultGateway"] = fact.default_gateway
            if fact.ranges:
                spec["ranges"] = [{"ipRanges": [{"from": low, "to": high} for low, high in fact.ranges]}]
        case VirtualNetworkFact(malformed=()) if fact.labels.get(MANAGED_BY_LABEL) == MANAGED_BY:
            spec = _network_spec(fact)
        case _:
            return None
    labels: Mapping[str, str] = fact.labels or {MANAGED_BY_LABEL: MANAGED_BY}
    metadata = {
        "name": fact.name,
        "labels": dict(labels),
        "annotations": dict(fact.annotations),
        **({"namespace": fact.namespace} if fact.namespace else {}),
        **metadata_of(fact),
    }
    return {
        "apiVersion": f"{GROUP}/{DEFAULT_VERSION}",
        "kind": fact.kind,
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": spec,
    }


def _network_spec(fact: VirtualNetworkFact) -> Object:
    spec: Object = {}
    for field, name in (("v4SubnetReference", fact.v4_subnet), ("v6SubnetReference", fact.v6_subnet)):
        if name:
            namespace, _, bare = name.partition("/")
            spec[field] = {"kind": "Subnet", "namespace": namespace, "name": bare}
    targets = {
        "routeTargetList": fact.route_targets,
        "importRouteTargetList": fact.import_route_targets,
        "exportRouteTargetList": fact.export_route_targets,
    }
    return spec | {field: list(values) for field, values in targets.items() if values}
