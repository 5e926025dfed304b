"""Kubernetes objects as plain data, as a manifest states them: unlabelled, and small unless the test asks for more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

Object = dict[str, Any]

NETWORK: Final = "service.contrail.juniper.net/externalNetwork"
SELECTOR: Final = "service.contrail.juniper.net/externalNetworkSelector"
ADDRESSES: Final = "ledgerlb.io/addresses"
SHARING: Final = "ledgerlb.io/sharing-key"
EXCLUDE: Final = "ledgerlb.io/exclude"
ALLOWED: Final = "ledgerlb.io/allowed-namespaces"
QUOTA: Final = "ledgerlb.io/quota-per-namespace"
QUARANTINE: Final = "ledgerlb.io/quarantine"
LEASE: Final = "ledgerlb.io/lease"
STRICT: Final = "ledgerlb.io/strict-quarantine"
FORCE: Final = "ledgerlb.io/force-prefix"
CORE: Final = "core.contrail.juniper.net"
DEFAULT_LABELS: Final = {NETWORK: "default-external"}
ADMITTED: Final = {"ledgerlb.io/external-networks": "true"}
"""Labels of a Namespace whose networks an administrator vouches for."""
DEFAULT_SELECTORS: Final = {"default-external": {"networkSelector": {"matchLabels": DEFAULT_LABELS}}}

API_VERSIONS: Final = {
    "Namespace": "v1",
    "Node": "v1",
    "Service": "v1",
    "Pod": "v1",
    "Endpoints": "v1",
    "Event": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "NetworkAttachmentDefinition": "k8s.cni.cncf.io/v1",
    "VirtualNetwork": f"{CORE}/v1",
    "Subnet": f"{CORE}/v1",
    "VirtualNetworkRouter": f"{CORE}/v1",
    "Kubemanager": "configplane.juniper.net/v1",
    "AddressPool": "ledgerlb.io/v1alpha1",
}

_UNSET: Final[Any] = object()


def meta(full_name: str, **more: Any) -> Object:
    """The metadata of an object; a name without a slash has no namespace."""
    namespace, _, name = full_name.rpartition("/")
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def made(
    kind: str, full_name: str, *, api_version: str = "", metadata: Mapping[str, Any] | None = None, **body: Any
) -> Object:
    """An object of the kind; ``metadata`` goes beside its name, labels and annotations that are None or empty are left out."""
    given = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in (metadata or {}).items() if value
    }
    return {"apiVersion": api_version or API_VERSIONS[kind], "kind": kind, "metadata": meta(full_name, **given), **body}


def aged(obj: Object, age: str) -> Object:
    """The object with a creationTimestamp of 2025: ``aged(nad(…), "03")`` is of March."""
    return {**obj, "metadata": {**obj["metadata"], "creationTimestamp": f"2025-{age}-01T00:00:00Z"}}


# The cluster


def namespace(
    name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> Object:
    return made("Namespace", name, metadata={"labels": labels, "annotations": annotations})


def node(name: str, *addresses: str, labels: Mapping[str, str] | None = None) -> Object:
    """A Node that is ready, with these InternalIPs (10.10.0.1 unless any is given)."""
    status = {
        "addresses": [{"type": "InternalIP", "address": address} for address in addresses or ("10.10.0.1",)],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return made("Node", name, metadata={"labels": labels}, status=status)


# Networks


def kubemanager(selectors: Mapping[str, Any] | None = None) -> Object:
    """The Kubemanager with these ``externalNetworkSelectors``; the default selector unless others are given."""
    spec = {"externalNetworkSelectors": dict(DEFAULT_SELECTORS if selectors is None else selectors)}
    return made("Kubemanager", "contrail/contrail-k8s-kubemanager", spec=spec)


def matching(labels: Mapping[str, str] | None = None, namespaces: Any = _UNSET, expressions: Any = None) -> Object:
    """An entry of ``externalNetworkSelectors``."""
    selector: Object = {}
    if labels is not None:
        selector["matchLabels"] = dict(labels)
    if expressions is not None:
        selector["matchExpressions"] = expressions
    return {"networkSelector": selector, **({} if namespaces is _UNSET else {"namespaceSelector": namespaces})}


def labelled(key: str, operator: str, *values: str) -> Object:
    """One match expression."""
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def nad(
    full_name: str,
    v4: Any = "192.0.2.0/24",
    v6: Any = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    raw: Any = _UNSET,
    config: str = '{"cniVersion": "0.3.1", "type": "contrail-k8s-cni"}',
    **networks: Any,
) -> Object:
    """A NetworkAttachmentDefinition; ``networks`` are further keys of its JSON, ``raw`` replaces the JSON (None: no
    annotation).
    """
    text = json.dumps({"ipamV4Subnet": v4, "ipamV6Subnet": v6, **networks}) if raw is _UNSET else raw
    own = {} if text is None else {"juniper.net/networks": text}
    metadata = {"labels": labels, "annotations": {**own, **(annotations or {})}}
    return made("NetworkAttachmentDefinition", full_name, metadata=metadata, spec={"config": config})


def default_nad(full_name: str, v4: Any = "192.0.2.0/24", v6: Any = None, **more: Any) -> Object:
    """A NetworkAttachmentDefinition that the default selector chooses."""
    return nad(full_name, v4, v6, labels=DEFAULT_LABELS, **more)


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
    metadata = {"labels": labels, "annotations": annotations}
    return made("VirtualNetwork", full_name, api_version=f"{CORE}/{version}", metadata=metadata, spec=spec)


def subnet(
    full_name: str, cidr: str, *, gateway: str = "", ranges: Iterable[tuple[str, str]] = (), version: str = "v1"
) -> Object:
    spec: Object = {"cidr": cidr}
    if gateway:
        spec["defaultGateway"] = gateway
    if ranges:
        spec["ranges"] = [{"ipRanges": [{"from": low, "to": high} for low, high in ranges]}]
    return made("Subnet", full_name, api_version=f"{CORE}/{version}", spec=spec)


def by_vn(full_name: str, v4: str = "", v6: str = "", **how: Any) -> list[Object]:
    """A VirtualNetwork with the Subnets ``<name>-v4`` and ``<name>-v6`` of these prefixes; ``gateway`` and ``ranges``
    go to the first of them, all else to the VirtualNetwork.
    """
    plan = {key: how.pop(key) for key in ("gateway", "ranges") if key in how}
    names: dict[str, Any] = {"v4": f"{full_name}-v4" if v4 else "", "v6": f"{full_name}-v6" if v6 else ""}
    prefixes = [(names[key], cidr) for key, cidr in (("v4", v4), ("v6", v6)) if cidr]
    subnets = [subnet(name, cidr, **(plan if index == 0 else {})) for index, (name, cidr) in enumerate(prefixes)]
    return [vn(full_name, **names, **how), *subnets]


# Services and what is behind them


def port(number: int, protocol: str = "TCP", target: int | str = 8080, name: str = "") -> Object:
    return {"name": name or f"{protocol.lower()}-{number}", "protocol": protocol, "port": number, "targetPort": target}


def bare_service(full_name: str, *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    """A Service of type LoadBalancer whose spec has nothing else, not even ports."""
    return made("Service", full_name, metadata=metadata, spec={"type": "LoadBalancer"} | spec)


def service(full_name: str, annotations: Mapping[str, str] | None = None, port: int = 80, **spec: Any) -> Object:
    """A Service of type LoadBalancer with one port, named http."""
    fields: Object = {
        "type": "LoadBalancer",
        "selector": {"app": full_name.rpartition("/")[2]},
        "ports": [{"name": "http", "protocol": "TCP", "port": port, "targetPort": 8080}],
    }
    return made("Service", full_name, metadata={"annotations": annotations}, spec=fields | spec)


def asks(full_name: str, *addresses: str, **spec: Any) -> Object:
    """A Service that requests these addresses."""
    return service(full_name, {ADDRESSES: ",".join(addresses)}, **spec)


def dual(full_name: str, policy: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A Service with an ``ipFamilyPolicy``."""
    return service(full_name, annotations, ipFamilyPolicy=policy, **spec)


def endpoint(address: str, on: str = "n1", of: str = "", **conditions: bool) -> Object:
    """One endpoint of a slice: its node, the pod that it refers to (``namespace/name``), and exactly these conditions."""
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
    return made(
        "EndpointSlice",
        f"{service_name}-{number}",
        metadata={"labels": {"kubernetes.io/service-name": service_name.rpartition("/")[2]}},
        addressType=family,
        ports=[{"name": "http", "protocol": "TCP", "port": 8080}] if ports is None else list(ports),
        endpoints=list(endpoints),
    )


def backends(service_name: str, **pods: Iterable[str]) -> Object:
    """An EndpointSlice; keyword arguments are nodes (``_`` for ``-``) with the addresses of their ready pods."""
    listed = ((name.replace("_", "-"), address) for name, found in pods.items() for address in found)
    return slice_of(service_name, *(endpoint(address, on, ready=True) for on, address in listed))


def pod(full_name: str, *ips: str, on: str = "n1", status: Any = None) -> Object:
    """A running pod; ``status`` is the list of its network-status annotation."""
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)} if status is not None else {}
    shown = {
        "phase": "Running",
        "podIPs": [{"ip": ip} for ip in ips],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return made("Pod", full_name, metadata={"annotations": annotations}, spec={"nodeName": on}, status=shown)


# Pools


def pool(full_name: str, *addresses: str, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """An AddressPool; ``annotations`` are its own, all other keywords fields of its spec."""
    annotations = spec.pop("annotations", None)
    metadata = {"labels": labels, "annotations": annotations}
    return made("AddressPool", full_name, metadata=metadata, spec={"addresses": list(addresses), **spec})
