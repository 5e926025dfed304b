"""Networks whose prefixes overlap in one routing context: the younger one gives out nothing, until the overlap goes."""

from __future__ import annotations

from typing import Any

from tests.behaviour.play import Case, case, happened, network, pending, play, ready, table, told
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, NETWORK, Object, aged, by_vn, nad, service
from tests.support.simulate import apply, delete

WIDE = "198.51.100.0/24"
INSIDE = "198.51.100.128/25"


def on(place: str, name: str = "a/s", **spec: Any) -> Object:
    return service(name, {NETWORK: place}, **spec)


def pair(older: Object, younger: Object) -> list[Object]:
    return [aged(older, "01"), aged(younger, "02")]


def clash(name: str, older: Object, younger: Object, **spec: Any) -> Case:
    """``net/o`` serves, ``net/y`` conflicts with it."""
    return case(
        name,
        world(*pair(older, younger), on("net/o", "a/o", **spec), on("net/y", "a/y", **spec)),
        pending("a/y", "NetworkConflict"),
        network("net/y", conflict="net/o", problem="NetworkConflict"),
        network("net/o", conflict=None, problem=None, allocated=1),
    )


def peace(name: str, older: Object, younger: Object) -> Case:
    return case(
        name,
        world(*pair(older, younger)),
        network("net/o", conflict=None, problem=None),
        network("net/y", conflict=None, problem=None),
    )


def targets(both: Any = None, imports: Any = None, exports: Any = None) -> Object:
    return {"routeTargetList": both, "importRouteTargetList": imports, "exportRouteTargetList": exports}


V6 = {"ipFamilies": ["IPv6"]}
CASES = [
    clash("equal-prefixes-conflict", nad("net/o", WIDE), nad("net/y", WIDE)),
    clash("a-prefix-inside-an-older-one-conflicts", nad("net/o", WIDE), nad("net/y", INSIDE)),
    clash("a-prefix-around-an-older-one-conflicts", nad("net/o", INSIDE), nad("net/y", WIDE)),
    clash("ipv6-prefixes-conflict", nad("net/o", None, "2001:db8::/48"), nad("net/y", None, "2001:db8::/64"), **V6),
    clash("one-family-is-enough", nad("net/o", WIDE, "2001:db8::/64"), nad("net/y", "203.0.113.0/24", "2001:db8::/64")),
    case(
        "a-nad-and-a-virtual-network-conflict",
        world(aged(nad("net/o", WIDE), "01"), *[aged(obj, "02") for obj in by_vn("net/y", INSIDE)], on("net/y")),
        pending("a/s", "NetworkConflict"),
        network("net/y", conflict="net/o"),
    ),
    clash("route-targets-in-common-conflict", nad("net/o", WIDE, **targets(["t:1", "t:2"])), nad("net/y", WIDE, **targets(["t:2"]))),
    clash("a-network-without-route-targets-conflicts-with-one-that-has-some", nad("net/o", WIDE), nad("net/y", WIDE, **targets(["t:1"]))),
    clash("what-one-imports-and-the-other-exports-is-in-common", nad("net/o", WIDE, **targets(imports=["t:1"])), nad("net/y", WIDE, **targets(exports=["t:1"]))),
    clash("empty-lists-are-no-route-targets", nad("net/o", WIDE, **targets([], [], [])), nad("net/y", WIDE, **targets(["t:1"]))),
    peace("distinct-route-targets-do-not-conflict", nad("net/o", WIDE, **targets(["t:1"])), nad("net/y", WIDE, **targets(["t:2"]))),
    peace("distinct-import-and-export-lists-do-not-conflict", nad("net/o", WIDE, **targets(imports=["t:1"])), nad("net/y", WIDE, **targets(exports=["t:2"]))),
    peace("neighbouring-prefixes-do-not-conflict", nad("net/o", "198.51.100.0/25"), nad("net/y", INSIDE)),
    case(
        "route-targets-on-the-spec-of-a-virtual-network-count",
        world(*by_vn("net/o", WIDE, routeTargetList=["t:1"]), *by_vn("net/y", WIDE, routeTargetList=["t:2"])),
        network("net/o", conflict=None),
        network("net/y", conflict=None),
    ),
    case(
        "of-equal-age-the-name-decides",
        world(nad("net/o", WIDE), nad("net/y", WIDE), on("net/y")),
        network("net/y", conflict="net/o"),
        network("net/o", conflict=None),
    ),
    case(
        "age-goes-before-the-name",
        world(aged(nad("net/a", WIDE), "02"), aged(nad("net/z", WIDE), "01")),
        network("net/a", conflict="net/z"),
        network("net/z", conflict=None),
    ),
    case(
        "one-that-has-holders-counts-as-older",
        world(aged(nad("net/y", WIDE), "05"), on("net/y")),
        ready("a/s", "198.51.100.2"),
        apply(aged(nad("net/o", WIDE), "01"), on("net/o", "a/t")),
        happened(),
        network("net/o", conflict="net/y", problem="NetworkConflict"),
        network("net/y", conflict=None),
        pending("a/t", "NetworkConflict"),
        apply(on("net/y", "a/u")),
        ready("a/u", "198.51.100.3"),
    ),
    case(
        "the-age-of-a-network-made-by-a-nad-is-the-nads",
        world(
            aged(nad("net/y", WIDE), "03"),
            *[aged(obj, "01") for obj in by_vn("net/y", WIDE, annotations={"juniper.net/nad-name": "y"})],
            aged(nad("net/o", WIDE), "02"),
        ),
        network("net/y", conflict="net/o"),
    ),
    case(
        "the-younger-serves-when-the-older-goes",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/y")),
        pending("a/s", "NetworkConflict"),
        delete("NetworkAttachmentDefinition", "net/o"),
        ready("a/s", "198.51.100.2"),
        network("net/y", conflict=None, problem=None),
    ),
    case(
        "the-younger-serves-when-its-prefix-changes",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/y")),
        apply(nad("net/y", "203.0.113.0/24")),
        ready("a/s", "203.0.113.2"),
    ),
    case(
        "the-younger-serves-when-both-get-route-targets",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/y"), on("net/o", "a/t")),
        apply(nad("net/o", WIDE, **targets(["t:1"])), nad("net/y", WIDE, **targets(["t:2"]))),
        ready("a/t", "198.51.100.2", network="net/o"),
        ready("a/s", "198.51.100.2", network="net/y", reason="AddressInUseElsewhere"),
    ),
    case(
        "a-holder-keeps-its-address-when-its-network-comes-to-conflict",
        world(*pair(nad("net/o", WIDE), nad("net/y", "203.0.113.0/24")), on("net/y"), on("net/o", "a/t")),
        apply(nad("net/y", "203.0.113.0/24", "2001:db8::/64"), nad("net/o", WIDE, "2001:db8::/64"), on("net/y", "a/u")),
        ready("a/s", "203.0.113.2"),
        pending("a/u", "NetworkConflict"),
    ),
    case(
        "one-that-conflicts-puts-no-third-one-into-conflict",
        world(aged(nad("net/o", INSIDE), "01"), aged(nad("net/y", "198.51.100.0/23"), "02"), aged(nad("net/z", "198.51.101.0/24"), "03")),
        network("net/y", conflict="net/o"),
        network("net/z", conflict=None),
        apply(on("net/z")),
        ready("a/s", "198.51.101.2"),
    ),
    case(
        "one-that-conflicts-and-has-holders-keeps-them-and-puts-no-third-one-into-conflict",
        world(aged(nad("a/y", "198.51.100.0/23"), "02"), service("a/y", {NETWORK: "a/y", ADDRESSES: "198.51.101.2"})),
        ready("a/y", "198.51.101.2"),
        apply(aged(nad("net/o", INSIDE), "01")),
        network("a/y", conflict="net/o"),
        apply(aged(nad("a/z", "198.51.101.0/24"), "03"), on("a/z"), service("a/t", {NETWORK: "a/z", ADDRESSES: "198.51.101.2"})),
        network("a/z", conflict=None),
        ready("a/y", "198.51.101.2"),
        ready("a/s", "198.51.101.3"),
        pending("a/t", "RequestedAddressReserved"),
    ),
    case(
        "one-whose-annotation-is-invalid-puts-no-other-into-conflict-and-its-holders-keep",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/o", "a/o")),
        ready("a/o", "198.51.100.2"),
        apply(aged(nad("net/o", WIDE, annotations={"ledgerlb.io/lease": "soon"}), "01"), on("net/y")),
        network("net/y", conflict=None, problem=None),
        ready("a/s", "198.51.100.3"),
        ready("a/o", "198.51.100.2"),
        apply(aged(nad("net/o", WIDE), "01")),
        network("net/y", conflict="net/o"),
        apply(on("net/o", "a/p")),
        ready("a/p", "198.51.100.4"),
        ready("a/s", "198.51.100.3"),
    ),
    case(
        "one-that-is-gone-puts-no-other-into-conflict",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/o", "a/o"), on("net/y")),
        {"agents": "silent"},
        delete("NetworkAttachmentDefinition", "net/o"),
        network("net/y", conflict=None),
        ready("a/s", "198.51.100.3"),
    ),
    case(
        "a-conflict-is-an-event-on-the-network-and-on-its-services",
        world(*pair(nad("net/o", WIDE), nad("net/y", WIDE)), on("net/y")),
        told("NetworkConflict", about="NetworkAttachmentDefinition net/y"),
        told("NetworkConflict", about="Service a/s"),
    ),
    case(
        "an-address-held-of-a-network-that-went-is-not-given-out-by-its-successor",
        world(nad("net/o", WIDE), on("net/o")),
        ready("a/s", "198.51.100.2"),
        delete("NetworkAttachmentDefinition", "net/o"),
        apply(nad("net/y", WIDE), on("net/y", "a/t")),
        ready("a/t", "198.51.100.3"),
    ),
]  # fmt: skip


@table(CASES)
def test_conflicts(case: Case) -> None:
    play(case)
