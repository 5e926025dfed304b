"""Clusters as MetalLB, Cilium, PureLB and kube-vip leave them: their objects, and Services with addresses in the status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.builders.objects import Object, made, namespace, service

FIRST: Final = (10 << 24) + (20 << 16)
"""10.20.0.0 as a number."""
PLACES: Final = ("shop", "pay", "web", "edge")


def text_of(value: int) -> str:
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def showing(found: Object, *addresses: str, **spec: Any) -> Object:
    """The Service with these addresses in its status."""
    ingress = [{"ip": address} for address in addresses]
    return {**found, "spec": {**found["spec"], **spec}, "status": {"loadBalancer": {"ingress": ingress}}}


def foreign(kind: str, full_name: str, version: str, **spec: Any) -> Object:
    return made(kind, full_name, api_version=version, spec=spec)


def labelled(found: Object, labels: Mapping[str, str]) -> Object:
    return {**found, "metadata": {**found["metadata"], "labels": dict(labels)}}


def spaces() -> list[Object]:
    return [namespace(place, {"team": place}) for place in PLACES]


def metallb(count: int) -> list[Object]:
    """Three pools (a range across /24 borders, a pinned one, one to be named), shared addresses, both domains."""
    pools = [
        foreign("IPAddressPool", "metallb-system/main", "metallb.io/v1beta1", addresses=["10.20.0.0-10.20.1.200"]),
        foreign(
            "IPAddressPool",
            "metallb-system/pinned",
            "metallb.io/v1beta1",
            addresses=["10.30.0.0/24"],
            serviceAllocation={"priority": 10, "namespaces": ["pay"]},
        ),
        foreign(
            "IPAddressPool",
            "metallb-system/by_name",
            "metallb.io/v1beta1",
            addresses=["10.40.0.0/24"],
            autoAssign=False,
        ),
        foreign("BGPAdvertisement", "metallb-system/all", "metallb.io/v1beta1", localPref=100),
    ]
    services: list[Object] = []
    for number in range(count):
        name = f"{PLACES[number % 4]}/s{number:04}"
        offset = number // 10
        match number % 10:
            case 0:
                annotations = {"metallb.universe.tf/address-pool": "by_name"}
                services.append(showing(service(name, annotations), text_of((10 << 24) + (40 << 16) + offset)))
            case 1 | 5:
                # These two numbers fall on other Namespaces than pay: they share no address and got one of the main pool.
                services.append(showing(service(name), text_of(FIRST + number)))
            case 2:
                wanted = text_of(FIRST + number)
                services.append(showing(service(name, {"metallb.io/loadBalancerIPs": wanted}), wanted))
            case 3:
                wanted = text_of(FIRST + number)
                services.append(showing(service(name), wanted, loadBalancerIP=wanted))
            case 4:
                keys = {"metallb.io/allow-shared-ip": f"key-{number}"}
                address = text_of(FIRST + number)
                services.append(showing(service(name, keys, port=80), address))
                services.append(showing(service(f"{name}-tls", keys, port=443), address))
            case _:
                services.append(showing(service(name), text_of(FIRST + number)))
    return [*spaces(), *pools, *services[:count]]


def cilium(count: int) -> list[Object]:
    """Two pools, one for a Namespace by Cilium's own label, one of blocks without their ends."""
    pools = [
        foreign(
            "CiliumLoadBalancerIPPool",
            "blue",
            "cilium.io/v2alpha1",
            blocks=[{"cidr": "10.20.0.0/23"}, {"start": "10.21.0.1", "stop": "10.21.3.9"}, {"start": "10.22.0.1"}],
            allowFirstLastIPs="No",
        ),
        foreign(
            "CiliumLoadBalancerIPPool",
            "pay",
            "cilium.io/v2",
            blocks=[{"cidr": "10.30.0.0/24"}],
            serviceSelector={"matchLabels": {"io.kubernetes.service.namespace": "pay"}},
        ),
        foreign("CiliumL2AnnouncementPolicy", "policy", "cilium.io/v2alpha1", loadBalancerIPs=True),
    ]
    services: list[Object] = []
    for number in range(count):
        place = PLACES[number % 4]
        name = f"{place}/s{number:04}"
        address = text_of((10 << 24) + (30 << 16) + number // 4) if place == "pay" else text_of(FIRST + 1 + number)
        annotations = {"lbipam.cilium.io/ips": address} if number % 7 == 0 else None
        services.append(showing(service(name, annotations), address))
    return [*spaces(), *pools, *services]


def purelb(count: int) -> list[Object]:
    """The default group, and one that Services name."""
    groups = [
        foreign(
            "ServiceGroup",
            "purelb/default",
            "purelb.io/v1",
            local={"v4pool": {"subnet": "10.20.0.0/16", "pool": "10.20.0.0-10.20.3.255", "aggregation": "default"}},
        ),
        foreign(
            "ServiceGroup",
            "purelb/second",
            "purelb.io/v2",
            remote={"v4pools": [{"subnet": "10.30.0.0/24", "pool": "10.30.0.0/25", "aggregation": "/32"}]},
        ),
        foreign("LBNodeAgent", "purelb/default", "purelb.io/v1", local={"localint": "default"}),
    ]
    services: list[Object] = []
    for number in range(count):
        name = f"{PLACES[number % 4]}/s{number:04}"
        if number % 5 == 0:
            annotations = {"purelb.io/service-group": "second", "purelb.io/allocated-from": "second"}
            services.append(showing(service(name, annotations), text_of((10 << 24) + (30 << 16) + number // 5)))
        else:
            services.append(showing(service(name, {"purelb.io/allocated-by": "PureLB"}), text_of(FIRST + number)))
    return [*spaces(), *groups, *services]


def kube_vip(count: int) -> list[Object]:
    """The ConfigMap with a pool of one Namespace, and one for all others."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "kube-system", "name": "kubevip"},
        "data": {"cidr-global": "10.20.0.0/23,10.21.0.0/24", "range-pay": "10.30.0.5-10.30.1.5"},
    }
    services: list[Object] = []
    for number in range(count):
        place = PLACES[number % 4]
        address = text_of((10 << 24) + (30 << 16) + 5 + number // 4) if place == "pay" else text_of(FIRST + number)
        annotations = {"kube-vip.io/loadbalancerIPs": address}
        services.append(showing(service(f"{place}/s{number:04}", annotations), address, loadBalancerIP=address))
    return [*spaces(), config, *services]


def patched(objects: Iterable[Object], patches: Iterable[Mapping[str, Any]]) -> list[Object]:
    """The objects as a server-side apply of the patches leaves them."""
    by_name = {(patch["metadata"]["namespace"], patch["metadata"]["name"]): patch for patch in patches}
    found = []
    for obj in objects:
        meta = obj["metadata"]
        patch = by_name.get((meta.get("namespace", ""), meta["name"])) if obj["kind"] == "Service" else None
        if patch is not None:
            meta = {**meta, "annotations": {**meta.get("annotations", {}), **patch["metadata"]["annotations"]}}
        found.append({**obj, "metadata": meta})
    return found
