"""kube-vip: the ConfigMap of its cloud provider, with a pool for each Namespace and one for all others."""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.cli.imports.model import (
    ADDRESSES,
    Carried,
    Controller,
    Object,
    Objects,
    Source,
    ends_of,
    full_name,
    mapping,
    namespaces,
    pool_name,
)

CONFIG: Final = "kube-system/kubevip"
_GLOBAL: Final = "global"
_DHCP: Final = ("0.0.0.0", "0.0.0.0/32")  # noqa: S104 - what kube-vip writes for DHCP
_SKIPS: Final = ("skip-end-ips-in-cidr", "skip-start-ips-in-cidr")


def _pools(objects: Objects, carried: Carried) -> None:
    for config in objects.of("ConfigMap"):
        if full_name(config) == CONFIG:
            _read(config, carried)


def _read(config: Object, carried: Carried) -> None:
    data = mapping(config.get("data"))
    by_place: dict[str, list[str]] = {}
    skipped: dict[str, list[str]] = {}
    skips = any(str(data.get(key, "")).lower() == "true" for key in _SKIPS)
    for key, value in sorted(data.items()):
        form, _, place = str(key).partition("-")
        if form not in {"cidr", "range"} or not place:
            if key not in _SKIPS:
                carried.note(config, f"the key {key} has no counterpart")
            continue
        for item in (part.strip() for part in str(value).split(",") if part.strip()):
            if item in _DHCP:
                carried.note(config, f"{key}: addresses by DHCP have no counterpart")
                continue
            by_place.setdefault(place, []).append(item)
            if form == "cidr" and skips:
                skipped.setdefault(place, []).extend(ends_of(item))
    for place, items in by_place.items():
        of_place: dict[str, Any] = {} if place == _GLOBAL else {"namespaceSelector": namespaces(place), "priority": 1}
        carried.add_pool(
            config, pool_name(f"kube-vip-{place}"), items, exclude=skipped.get(place), autoAssign=True, **of_place
        )


KUBE_VIP: Final = Controller(
    name="kube-vip",
    title="kube-vip",
    sources=(Source("ConfigMap", "", "configmaps", CONFIG),),
    annotations={"kube-vip.io/loadbalancerIPs": ADDRESSES},
    ignored=("kube-vip.io/vipHost",),
    prefixes=("kube-vip.io/",),
    pools=_pools,
)
