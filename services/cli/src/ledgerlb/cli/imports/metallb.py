"""MetalLB: IPAddressPool (and the older AddressPool), and its annotations under both of its domains."""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.cli.imports.model import (
    ADDRESSES,
    POOL,
    SHARING,
    Carried,
    Controller,
    Object,
    Objects,
    Source,
    entries,
    full_name,
    mapping,
    namespaces,
    own_name,
    pool_name,
)
from ledgerlb.core.addresses import parse_item, to_text
from ledgerlb.core.errors import BadInput

GROUP: Final = "metallb.io"
DOMAINS: Final = ("metallb.io/", "metallb.universe.tf/")
_WISHES: Final = {"loadBalancerIPs": ADDRESSES, "allow-shared-ip": SHARING, "address-pool": POOL}
_ANNOUNCING: Final = ("BGPAdvertisement", "L2Advertisement", "BGPPeer", "BFDProfile", "Community")
_MOST_BUGGY: Final = 1024
"""Addresses ending in .0 or .255 that an import lists one by one."""


def _pools(objects: Objects, carried: Carried) -> None:
    found = [*objects.of("IPAddressPool", GROUP), *objects.of("AddressPool", GROUP)]
    lowest = max((_priority(pool) for pool in found), default=0) + 1
    for pool in found:
        _pool(pool, lowest, carried)
    carried.note_announcing(objects, _ANNOUNCING, GROUP)


def _pool(pool: Object, lowest: int, carried: Carried) -> None:
    spec = mapping(pool.get("spec"))
    allocation = mapping(spec.get("serviceAllocation"))
    auto = spec.get("autoAssign") is not False
    selectors, places, auto = _selectors(pool, allocation, carried, auto=auto)
    pinned = bool(selectors or places)
    # MetalLB tries pools that name Services or Namespaces first; there a lower number comes first, and 0 last.
    given = _priority(pool)
    priority = (lowest - given if given else 0) + (lowest if pinned else 0)
    addresses = [item for item in entries(spec.get("addresses")) if isinstance(item, str)]
    buggy = _buggy(pool, addresses, carried) if spec.get("avoidBuggyIPs") is True else []
    carried.add_pool(
        pool,
        pool_name(own_name(pool)),
        addresses,
        exclude=buggy,
        priority=priority,
        serviceSelector=selectors,
        namespaceSelector=places,
        autoAssign=auto,
        spillOver=auto,
    )


def _priority(pool: Object) -> int:
    found = mapping(mapping(pool.get("spec")).get("serviceAllocation")).get("priority")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def _selectors(
    pool: Object, allocation: Object, carried: Carried, *, auto: bool
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, bool]:
    """Return selectors of Services and of Namespaces, and whether the pool may serve without being named."""
    of_services = entries(allocation.get("serviceSelectors"))
    of_places = entries(allocation.get("namespaceSelectors"))
    names = [str(name) for name in entries(allocation.get("namespaces"))]
    if len(of_services) > 1 or len(of_places) + bool(names) > 1:
        carried.note(
            pool,
            "serves any of several selectors, and an AddressPool has one for Services and one for Namespaces; it "
            "becomes a pool that serves only who names it (autoAssign: false)",
        )
        return None, None, False
    places = dict(mapping(of_places[0])) if of_places else namespaces(*names) if names else None
    return (dict(mapping(of_services[0])) if of_services else None), places, auto


def _buggy(pool: Object, items: list[str], carried: Carried) -> list[str]:
    """Return the IPv4 addresses that end in .0 or .255, as far as they are few enough to be listed."""
    found: list[str] = []
    for item in items:
        try:
            span = parse_item(item.strip(), full_name(pool), "")
        except BadInput:
            continue
        if span.family == 6:
            continue
        first = span.low & ~0xFF
        for block in range(first, min(span.high, first + _MOST_BUGGY * 128) + 1, 256):
            found += [to_text(value, 4) for value in (block, block + 255) if span.low <= value <= span.high]
        if span.high > first + _MOST_BUGGY * 128:
            carried.note(pool, f"avoidBuggyIPs: {item} is too large for a list of every .0 and .255; exclude the rest")
    return found


METALLB: Final = Controller(
    name="metallb",
    title="MetalLB",
    sources=(
        Source("IPAddressPool", GROUP, "ipaddresspools"),
        Source("AddressPool", GROUP, "addresspools"),
        Source("BGPAdvertisement", GROUP, "bgpadvertisements"),
        Source("L2Advertisement", GROUP, "l2advertisements"),
        Source("BGPPeer", GROUP, "bgppeers"),
        Source("BFDProfile", GROUP, "bfdprofiles"),
        Source("Community", GROUP, "communities"),
    ),
    annotations={f"{domain}{key}": ours for domain in DOMAINS for key, ours in _WISHES.items()},
    ignored=tuple(f"{domain}ip-allocated-from-pool" for domain in DOMAINS),
    prefixes=DOMAINS,
    pools=_pools,
)
