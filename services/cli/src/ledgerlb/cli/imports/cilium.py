"""Cilium's LB IPAM: CiliumLoadBalancerIPPool, and its annotations, also those of its first versions."""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.cli.imports.model import (
    ADDRESSES,
    NAMESPACE_NAME,
    SHARING,
    Carried,
    Controller,
    Object,
    Objects,
    Source,
    ends_of,
    entries,
    mapping,
    own_name,
    pool_name,
)

GROUP: Final = "cilium.io"
_POOL: Final = "CiliumLoadBalancerIPPool"
_SERVICE_NAMESPACE: Final = "io.kubernetes.service.namespace"
_SERVICE_NAME: Final = "io.kubernetes.service.name"
_ANNOUNCING: Final = (
    "CiliumL2AnnouncementPolicy",
    "CiliumBGPAdvertisement",
    "CiliumBGPClusterConfig",
    "CiliumBGPPeerConfig",
    "CiliumBGPPeeringPolicy",
)


def _pools(objects: Objects, carried: Carried) -> None:
    for pool in objects.of(_POOL, GROUP):
        _pool(pool, carried)
    carried.note_announcing(objects, _ANNOUNCING, GROUP)


def _pool(pool: Object, carried: Carried) -> None:
    spec = mapping(pool.get("spec"))
    addresses: list[str] = []
    reserved: list[str] = []
    for block in [*entries(spec.get("blocks")), *entries(spec.get("cidrs"))]:
        cidr, start = mapping(block).get("cidr"), mapping(block).get("start")
        if isinstance(cidr, str):
            addresses.append(cidr)
            reserved += ends_of(cidr) if spec.get("allowFirstLastIPs") == "No" else []
        elif isinstance(start, str):
            stop = mapping(block).get("stop")
            addresses.append(f"{start}-{stop}" if stop else start)
    services, places, usable = _selectors(pool, mapping(spec.get("serviceSelector")), carried)
    disabled = spec.get("disabled") is True
    carried.add_pool(
        pool,
        pool_name(own_name(pool)),
        addresses,
        exclude=reserved,
        serviceSelector=services,
        namespaceSelector=places,
        disabled=disabled,
        autoAssign=usable,
        spillOver=usable and not disabled,
    )


def _selectors(pool: Object, selector: Object, carried: Carried) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Split Cilium's selector, which sees a Service's namespace as one of its labels, in two."""
    services: dict[str, Any] = {}
    places: dict[str, Any] = {}
    usable = True
    for key, value in mapping(selector.get("matchLabels")).items():
        usable = usable and key != _SERVICE_NAME
        where, name = (places, NAMESPACE_NAME) if key == _SERVICE_NAMESPACE else (services, key)
        where.setdefault("matchLabels", {})[name] = value
    for expression in entries(selector.get("matchExpressions")):
        key = str(mapping(expression).get("key"))
        usable = usable and key != _SERVICE_NAME
        where, name = (places, NAMESPACE_NAME) if key == _SERVICE_NAMESPACE else (services, key)
        where.setdefault("matchExpressions", []).append({**mapping(expression), "key": name})
    if usable:
        return services, places, True
    carried.note(
        pool,
        f"selects Services by name ({_SERVICE_NAME}), which is no label; it becomes a pool that serves only who "
        "names it (autoAssign: false)",
    )
    return {}, {}, False


CILIUM: Final = Controller(
    name="cilium",
    title="Cilium",
    sources=(
        Source(_POOL, GROUP, "ciliumloadbalancerippools"),
        Source("CiliumL2AnnouncementPolicy", GROUP, "ciliuml2announcementpolicies"),
        Source("CiliumBGPAdvertisement", GROUP, "ciliumbgpadvertisements"),
        Source("CiliumBGPClusterConfig", GROUP, "ciliumbgpclusterconfigs"),
        Source("CiliumBGPPeerConfig", GROUP, "ciliumbgppeerconfigs"),
        Source("CiliumBGPPeeringPolicy", GROUP, "ciliumbgppeeringpolicies"),
    ),
    annotations={
        "lbipam.cilium.io/ips": ADDRESSES,
        "io.cilium/lb-ipam-ips": ADDRESSES,
        "lbipam.cilium.io/sharing-key": SHARING,
        "io.cilium/lb-ipam-sharing-key": SHARING,
    },
    ignored=(),
    prefixes=("lbipam.cilium.io/", "io.cilium/lb-ipam"),
    pools=_pools,
)
