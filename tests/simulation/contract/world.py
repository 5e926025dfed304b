"""Objects of the small cluster in which the contract is put to the test.

Namespaces ``contrail``, ``net``, ``a``, ``b``; a Kubemanager with the selector ``default-external``; the network
``net/ext`` (192.0.2.0/24) that it chooses; one Node. Everything is a plain Kubernetes object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.simulation.support import (
    ADDRESSES,
    DEFAULT_LABELS,
    NETWORK,
    SELECTOR,
    Object,
    kubemanager,
    meta,
    namespace,
    node,
    service,
)

__all__ = [
    "ADDRESSES", "ALLOWED", "CORE", "DEFAULT_LABELS", "EXCLUDE", "FORCE", "LEASE", "NETWORK", "QUARANTINE", "QUOTA",
    "SELECTOR", "SHARING", "Object", "aged", "asks", "by_vn", "dual", "endpoint", "ext", "kubemanager", "labelled", "matching",
    "meta", "nad", "namespace", "node", "pod", "port", "service", "slice_of", "subnet", "vn", "world",
]  # fmt: skip

EXCLUDE: Final = "ledgerlb.io/exclude"
ALLOWED: Final = "ledgerlb.io/allowed-namespaces"
QUOTA: Final = "ledgerlb.io/quota-per-namespace"
QUARANTINE: Final = "ledgerlb.io/quarantine"
LEASE: Final = "ledgerlb.io/lease"
FORCE: Final = "ledgerlb.io/force-prefix"
SHARING: Final = "ledgerlb.io/sharing-key"
CORE: Final = "core.contrail.juniper.net"

_UNSAID: Final[Any] = object()


def aged(obj: Object, age: str) -> Object:
    """The object with a creationTimestamp of 2025: ``aged(nad(…), "03")`` is of March."""
    return {**obj, "metadata": {**obj["metadata"], "creationTimestamp": f"2025-{age}-01T00:00:00Z"}}


def nad(
    full_name: str,
    v4: Any = "192.0.2.0/24",
    v6: Any = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    raw: Any = _UNSAID,
    config: str = '{"cniVersion": "0.3.1", "type": "contrail-k8s-cni"}',
    **said: Any,
) -> Object:
    """A NetworkAttachmentDefinition without labels; ``said`` are further keys of its JSON, ``raw`` replaces it (None:
    no annotation).
    """
    text = json.dumps({"ipamV4Subnet": v4, "ipamV6Subnet": v6, **said}) if raw is _UNSAID else raw
    own = {} if text is None else {"juniper.net/networks": text}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": meta(full_name, labels=dict(labels or {}), annotations={**own, **(annotations or {})}),
        "spec": {"config": config},
    }


def vn(
    full_name: str,
    v4: str = "",
    v6: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    version: str = "v1",
    **spec: Any,
) -> Object:
    """A VirtualNetwork; ``v4`` and ``v6`` name its Subnets as ``namespace/name``."""
    for key, name in (("v4SubnetReference", v4), ("v6SubnetReference", v6)):
        if name:
            place, _, bare = name.partition("/")
            spec[key] = {"apiVersion": f"{CORE}/{version}", "kind": "Subnet", "namespace": place, "name": bare}
    return {
        "apiVersion": f"{CORE}/{version}",
        "kind": "VirtualNetwork",
        "metadata": meta(full_name, labels=dict(labels or {}), annotations=dict(annotations or {})),
        "spec": spec,
    }


def subnet(
    full_name: str, cidr: str, *, gateway: str = "", ranges: Iterable[tuple[str, str]] = (), version: str = "v1"
) -> Object:
    spec: Object = {"cidr": cidr}
    if gateway:
        spec["defaultGateway"] = gateway
    if ranges:
        spec["ranges"] = [{"ipRanges": [{"from": low, "to": high} for low, high in ranges]}]
    return {
        "apiVersion": f"{CORE}/{version}",
        "kind": "Subnet",
        "metadata": meta(full_name),
        "spec": spec,
    }


def by_vn(full_name: str, v4: str = "", v6: str = "", **how: Any) -> list[Object]:
    """A VirtualNetwork with the Subnets ``<name>-v4`` and ``<name>-v6`` of these prefixes; ``gateway`` and ``ranges``
    go to the first of them, all else to the VirtualNetwork.
    """
    plan = {key: how.pop(key) for key in ("gateway", "ranges") if key in how}
    names: dict[str, Any] = {"v4": f"{full_name}-v4" if v4 else "", "v6": f"{full_name}-v6" if v6 else ""}
    subnets = [subnet(names[key], cidr) for key, cidr in (("v4", v4), ("v6", v6)) if cidr]
    subnets[0] = subnet(f"{subnets[0]['metadata']['namespace']}/{subnets[0]['metadata']['name']}", v4 or v6, **plan)
    return [vn(full_name, **names, **how), *subnets]


def ext(v4: Any = "192.0.2.0/24", v6: Any = None, **annotations: str) -> Object:
    """The default network ``net/ext``, with annotations of ours: ``ext(lease="0s")``."""
    keys = {"quarantine": QUARANTINE, "lease": LEASE, "quota": QUOTA, "exclude": EXCLUDE}
    return nad(
        "net/ext", v4, v6, labels=DEFAULT_LABELS, annotations={keys[key]: text for key, text in annotations.items()}
    )


def asks(name: str, *addresses: str, **spec: Any) -> Object:
    return service(name, {ADDRESSES: ",".join(addresses)}, **spec)


def world(*more: Object, kubemanagers: Iterable[Object] | None = None, default: Object | None = None) -> Object:
    """The step that applies the whole small cluster, and ``more``."""
    network = default if default is not None else nad("net/ext", labels=DEFAULT_LABELS)
    spaces = [namespace(name) for name in ("contrail", "net", "a", "b")]
    given = {(obj["kind"], obj["metadata"]["name"]) for obj in more}
    spaces = [obj for obj in spaces if ("Namespace", obj["metadata"]["name"]) not in given]
    managers = [kubemanager()] if kubemanagers is None else list(kubemanagers)
    return {"apply": [*spaces, *managers, network, node("n1"), *more]}


def matching(labels: Mapping[str, str] | None = None, namespaces: Any = _UNSAID, expressions: Any = None) -> Object:
    """An entry of ``externalNetworkSelectors``."""
    selector: Object = {}
    if labels is not None:
        selector["matchLabels"] = dict(labels)
    if expressions is not None:
        selector["matchExpressions"] = expressions
    return {"networkSelector": selector, **({} if namespaces is _UNSAID else {"namespaceSelector": namespaces})}


def labelled(key: str, operator: str, *values: str) -> Object:
    """One match expression."""
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def dual(full_name: str, policy: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A Service with an ``ipFamilyPolicy``."""
    return service(full_name, annotations, ipFamilyPolicy=policy, **spec)


def port(number: int, protocol: str = "TCP", target: int | str = 8080, name: str = "") -> Object:
    return {"name": name or f"{protocol.lower()}-{number}", "protocol": protocol, "port": number, "targetPort": target}


def endpoint(address: str, on: str = "n1", of: str = "", **conditions: bool) -> Object:
    """One endpoint of a slice: its node, the pod that it refers to (``namespace/name``), and its conditions as said."""
    place, _, bare = of.partition("/")
    return {
        "addresses": [address],
        **({"nodeName": on} if on else {}),
        **({"targetRef": {"kind": "Pod", "namespace": place, "name": bare}} if of else {}),
        "conditions": dict(conditions),
    }


def slice_of(
    service_name: str, *endpoints: Object, number: int = 1, ports: Iterable[Object] | None = None, family: str = "IPv4"
) -> Object:
    """An EndpointSlice of the Service; without ``ports`` it serves the port ``http`` at 8080."""
    listed = [{"name": "http", "protocol": "TCP", "port": 8080}] if ports is None else list(ports)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(
            f"{service_name}-{number}", labels={"kubernetes.io/service-name": service_name.partition("/")[2]}
        ),
        "addressType": family,
        "ports": listed,
        "endpoints": list(endpoints),
    }


def pod(full_name: str, *ips: str, on: str = "n1", status: Any = None) -> Object:
    """A running pod; ``status`` is the list of its network-status annotation."""
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)} if status is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(full_name, annotations=annotations),
        "spec": {"nodeName": on},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": ip} for ip in ips],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
