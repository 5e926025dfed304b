"""External networks: which objects define one, what it gives out, and how LedgerLB refuses broken ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.play import (
    Case,
    case,
    event,
    happened,
    moving,
    network,
    no_network,
    pending,
    play,
    ready,
    says,
    table,
    told,
)
from tests.behaviour.world import world
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    DEFAULT_LABELS,
    EXCLUDE,
    FORCE,
    LEASE,
    NETWORK,
    QUARANTINE,
    QUOTA,
    SELECTOR,
    Object,
    by_vn,
    dual,
    kubemanager,
    matching,
    nad,
    service,
    subnet,
    vn,
)
from tests.support.simulate import apply, delete

NULLS = (
    '{"ipamV4Subnet": "198.51.100.0/24", "ipamV6Subnet": null, "routeTargetList": null, '
    '"importRouteTargetList": null, "exportRouteTargetList": null, "fabricSNAT": null, "podNetwork": null}'
)
OTHER = "198.51.100.0/24"


def on(place: str, name: str = "a/s", **spec: Any) -> Object:
    """A Service that names the network."""
    return service(name, {NETWORK: place}, **spec)


def wants(place: str, address: str, name: str = "a/s", **spec: Any) -> Object:
    """A Service that names the network and the address."""
    return service(name, {NETWORK: place, ADDRESSES: address}, **spec)


FROM_NADS = [
    case("a-nad-defines-the-network-of-its-name", world(nad("net/x", OTHER), on("net/x")), ready("a/s", "198.51.100.2", network="net/x")),
    case("null-values-in-a-nad-say-nothing", world(nad("net/x", raw=NULLS), on("net/x")), ready("a/s", "198.51.100.2"), network("net/x", size=253, problem=None)),
    case(
        "a-nad-may-be-ipv6-alone",
        world(nad("net/x", None, "2001:db8::/64"), on("net/x", ipFamilies=["IPv6"])),
        ready("a/s", "2001:db8::2"),
        network("net/x", size=2**64 - 2),
    ),
    case(
        "a-nad-may-have-both-families",
        world(nad("net/x", OTHER, "2001:db8::/64"), dual("a/s", "RequireDualStack", {NETWORK: "net/x"})),
        ready("a/s", "198.51.100.2", "2001:db8::2"),
        network("net/x", size=253 + 2**64 - 2, allocated=2),
    ),
    case(
        "host-bits-of-a-nad-prefix-are-cleared",
        world(nad("net/x", "198.51.100.77/24"), wants("net/x", "198.51.100.77")),
        ready("a/s", "198.51.100.77"),
        network("net/x", size=253, problem=None),
    ),
    case(
        "a-nad-with-route-targets-is-a-network",
        world(nad("net/x", OTHER, routeTargetList=["target:64512:1"], importRouteTargetList="target:64512:2, target:64512:3"), on("net/x")),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-nad-of-another-plugin-defines-no-network",
        world(nad("net/x", raw=None, config='{"cniVersion": "0.3.1", "type": "macvlan"}'), on("net/x")),
        pending("a/s", "NetworkNotFound"),
        no_network("net/x"),
    ),
    case(
        "the-labels-of-a-nad-are-those-of-its-network",
        world(nad("net/x", OTHER, labels={"tier": "gold"}), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching({"tier": "gold"}, {})})]),
        ready("a/s", "198.51.100.2", network="net/x"),
    ),
    case(
        "the-virtual-network-of-a-nad-may-be-deleted-and-made-again",
        world(nad("net/x", OTHER), vn("net/x", annotations={"juniper.net/nad-name": "x", "juniper.net/nad-namespace": "net"}), on("net/x")),
        ready("a/s", "198.51.100.2"),
        delete("VirtualNetwork", "net/x"),
        happened(),
        ready("a/s", "198.51.100.2"),
        apply(on("net/x", "a/t")),
        ready("a/t", "198.51.100.3"),
    ),
    case(
        "a-deleted-nad-takes-its-network-along",
        world(nad("net/x", OTHER), service("a/s")),
        network("net/x", size=253),
        delete("NetworkAttachmentDefinition", "net/x"),
        apply(on("net/x", "a/t")),
        pending("a/t", "NetworkNotFound"),
        no_network("net/x"),
    ),
    case(
        "a-network-made-again-under-its-name-serves-its-holder-on",
        world(nad("net/x", OTHER), on("net/x")),
        delete("NetworkAttachmentDefinition", "net/x"),
        moving("a/s", "198.51.100.2", reason="NetworkNotFound"),
        apply(nad("net/x", OTHER)),
        ready("a/s", "198.51.100.2", network="net/x"),
    ),
]  # fmt: skip

BROKEN_NADS = {
    "that-is-not-json": "{",
    "that-is-empty": "",
    "that-is-null": "null",
    "that-is-a-list": '["198.51.100.0/24"]',
    "without-a-prefix": "{}",
    "whose-prefixes-are-null": '{"ipamV4Subnet": null, "ipamV6Subnet": null}',
    "whose-prefix-is-a-number": '{"ipamV4Subnet": 19851100}',
    "whose-prefix-has-no-length": '{"ipamV4Subnet": "198.51.100.0"}',
    "whose-length-is-too-long": '{"ipamV4Subnet": "198.51.100.0/33"}',
    "whose-prefix-is-a-word": '{"ipamV4Subnet": "external"}',
    "whose-ipv4-prefix-is-ipv6": '{"ipamV4Subnet": "2001:db8::/64"}',
    "one-of-whose-prefixes-is-broken": '{"ipamV4Subnet": "198.51.100.0/24", "ipamV6Subnet": "nonsense"}',
    "whose-route-targets-are-a-number": '{"ipamV4Subnet": "198.51.100.0/24", "routeTargetList": 5}',
}
BROKEN = [
    case(
        f"a-nad-{how}-gives-out-nothing-and-says-so",
        world(nad("net/x", raw=text), on("net/x"), service("a/t")),
        told("InvalidAnnotation", about="NetworkAttachmentDefinition net/x"),
        pending("a/s", "InvalidAnnotation"),
        network("net/x", problem="InvalidAnnotation"),
        ready("a/t", "192.0.2.2"),
        apply(nad("net/x", OTHER)),
        ready("a/s", "198.51.100.2"),
        network("net/x", problem=None),
    )
    for how, text in BROKEN_NADS.items()
]

BROKEN_TERMS = {
    EXCLUDE: "192.0.2.5-192.0.2.1",
    ALLOWED: "team in (",
    QUOTA: "many",
    QUARANTINE: "soon",
    LEASE: "5 fortnights",
    FORCE: "everything",
}
BROKEN += [
    case(
        f"an-annotation-{key.partition('/')[2]}-that-does-not-parse-closes-the-network-to-newcomers",
        world(nad("net/x", OTHER), on("net/x")),
        ready("a/s", "198.51.100.2"),
        apply(nad("net/x", OTHER, annotations={key: text}), on("net/x", "a/t")),
        told("InvalidAnnotation", about="NetworkAttachmentDefinition net/x"),
        ready("a/s", "198.51.100.2"),
        pending("a/t", "InvalidAnnotation"),
        says("a/t", key),
        network("net/x", problem="InvalidAnnotation", allocated=1),
        apply(nad("net/x", OTHER)),
        ready("a/t", "198.51.100.3"),
    )
    for key, text in BROKEN_TERMS.items()
]  # fmt: skip
BROKEN += [
    case(
        "a-negative-quota-is-refused",
        world(nad("net/x", OTHER, annotations={QUOTA: "-1"}), on("net/x")),
        pending("a/s", "InvalidAnnotation"),
    ),
    case(
        "a-holder-keeps-its-address-when-the-nad-breaks",
        world(nad("net/x", OTHER), on("net/x")),
        apply(nad("net/x", raw="{")),
        happened(),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "an-annotation-of-a-virtual-network-that-does-not-parse-is-reported-there",
        world(*by_vn("net/x", OTHER, annotations={QUOTA: "x"}), on("net/x")),
        told("InvalidAnnotation", about="VirtualNetwork net/x"),
        pending("a/s", "InvalidAnnotation"),
    ),
    case(
        "an-annotation-that-does-not-parse-is-reported-on-the-virtual-network-also-where-a-nad-made-it",
        world(nad("net/x", OTHER), *by_vn("net/x", OTHER, annotations={FORCE: "everything"}), on("net/x")),
        told("InvalidAnnotation", about="VirtualNetwork net/x"),
        pending("a/s", "InvalidAnnotation"),
    ),
    case(
        "a-problem-of-the-nad-is-reported-there-also-beside-a-virtual-network",
        world(nad("net/x", OTHER, annotations={QUOTA: "x"}), *by_vn("net/x", OTHER), on("net/x")),
        told("InvalidAnnotation", about="NetworkAttachmentDefinition net/x"),
    ),
    case(
        "a-problem-of-a-virtual-network-stays-reported-there-when-a-nad-comes",
        world(*by_vn("net/x", OTHER, annotations={QUOTA: "x"})),
        apply(nad("net/x", OTHER)),
        network("net/x", problem="InvalidAnnotation"),
    ),
]

FROM_VNS = [
    case("a-virtual-network-with-a-subnet", world(*by_vn("net/x", OTHER), on("net/x")), ready("a/s", "198.51.100.2"), network("net/x", size=253)),
    *(
        case(
            f"custom-resources-of-version-{version}",
            world(vn("net/x", "net/s", version=version), subnet("net/s", OTHER, version=version), on("net/x")),
            ready("a/s", "198.51.100.2"),
        )
        for version in ("v1alpha1", "v2", "v4")
    ),
    case(
        "a-virtual-network-of-both-families",
        world(*by_vn("net/x", OTHER, "2001:db8::/64"), dual("a/s", "RequireDualStack", {NETWORK: "net/x"})),
        ready("a/s", "198.51.100.2", "2001:db8::2"),
    ),
    case("a-virtual-network-without-a-subnet-gives-out-nothing", world(vn("net/x"), on("net/x")), pending("a/s", "InvalidAnnotation")),
    case(
        "a-subnet-that-comes-late-opens-its-network",
        world(vn("net/x", "net/s"), on("net/x")),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "net/s"),
        apply(subnet("net/s", OTHER)),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-subnet-that-goes-closes-its-network-and-holders-keep",
        world(*by_vn("net/x", OTHER), on("net/x")),
        delete("Subnet", "net/x-v4"),
        apply(on("net/x", "a/t")),
        ready("a/s", "198.51.100.2"),
        pending("a/t", "InvalidAnnotation"),
    ),
    case("a-subnet-in-another-namespace", world(vn("net/x", "b/s"), subnet("b/s", OTHER), on("net/x")), ready("a/s", "198.51.100.2")),
    case("host-bits-of-a-cidr-are-cleared", world(*by_vn("net/x", "198.51.100.9/24"), on("net/x")), ready("a/s", "198.51.100.2"), network("net/x", size=253)),
    case("a-broken-cidr-is-refused", world(*by_vn("net/x", "198.51.100.0/99"), on("net/x")), pending("a/s", "InvalidAnnotation"), says("a/s", "Subnet net/x-v4")),
    case("an-ipv6-cidr-in-the-ipv4-reference-is-refused", world(*by_vn("net/x", "2001:db8::/64"), on("net/x")), pending("a/s", "InvalidAnnotation")),
    case(
        "a-virtual-network-that-is-deleted-moves-its-holder",
        world(*by_vn("net/x", OTHER), on("net/x")),
        delete("VirtualNetwork", "net/x"),
        moving("a/s", "198.51.100.2", reason="NetworkNotFound", network="net/x"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext"),
    ),
    case(
        "a-virtual-network-whose-nad-is-gone-is-none",
        world(*by_vn("net/x", OTHER, annotations={"juniper.net/nad-name": "x"}), on("net/x")),
        pending("a/s", "NetworkNotFound"),
    ),
]  # fmt: skip

GATEWAYS_AND_RANGES = [
    case("without-a-gateway-network-plus-one-is-kept-free", world(*by_vn("net/x", OTHER), wants("net/x", "198.51.100.1")), pending("a/s", "RequestedAddressReserved")),
    case("an-explicit-gateway-is-kept-free-instead", world(*by_vn("net/x", OTHER, gateway="198.51.100.254"), on("net/x")), ready("a/s", "198.51.100.1"), network("net/x", size=253)),
    case("an-explicit-gateway-is-never-given-out", world(*by_vn("net/x", OTHER, gateway="198.51.100.254"), wants("net/x", "198.51.100.254")), pending("a/s", "RequestedAddressReserved")),
    case("the-network-address-is-never-given-out", world(*by_vn("net/x", OTHER), wants("net/x", "198.51.100.0")), pending("a/s", "RequestedAddressReserved")),
    case("the-broadcast-address-is-never-given-out", world(*by_vn("net/x", OTHER), wants("net/x", "198.51.100.255")), pending("a/s", "RequestedAddressReserved")),
    case("a-gateway-outside-the-prefix-is-refused", world(*by_vn("net/x", OTHER, gateway="10.0.0.1"), on("net/x")), pending("a/s", "InvalidAnnotation")),
    case("a-range-is-all-that-is-given-out", world(*by_vn("net/x", OTHER, ranges=[("198.51.100.10", "198.51.100.12")]), on("net/x")), ready("a/s", "198.51.100.10"), network("net/x", size=3)),
    case(
        "several-ranges-are-used-lowest-first",
        world(*by_vn("net/x", OTHER, ranges=[("198.51.100.20", "198.51.100.20"), ("198.51.100.10", "198.51.100.10")]), on("net/x", "a/s"), on("net/x", "a/t"), on("net/x", "a/u")),
        ready("a/s", "198.51.100.10"),
        ready("a/t", "198.51.100.20"),
        pending("a/u", "NetworkFull"),
    ),
    case("overlapping-ranges-count-once", world(*by_vn("net/x", OTHER, ranges=[("198.51.100.10", "198.51.100.12"), ("198.51.100.11", "198.51.100.13")])), network("net/x", size=4)),
    case("a-request-inside-the-prefix-but-outside-the-ranges", world(*by_vn("net/x", OTHER, ranges=[("198.51.100.10", "198.51.100.12")]), wants("net/x", "198.51.100.13")), pending("a/s", "RequestedAddressOutsideNetwork")),
    case("a-range-the-wrong-way-round-is-refused", world(*by_vn("net/x", OTHER, ranges=[("198.51.100.12", "198.51.100.10")]), on("net/x")), pending("a/s", "InvalidAnnotation")),
    case("a-range-outside-the-prefix-is-refused", world(*by_vn("net/x", OTHER, ranges=[("10.0.0.1", "10.0.0.9")]), on("net/x")), pending("a/s", "InvalidAnnotation")),
    case("the-gateway-inside-a-range-is-kept-free", world(*by_vn("net/x", OTHER, gateway="198.51.100.10", ranges=[("198.51.100.10", "198.51.100.11")]), on("net/x")), ready("a/s", "198.51.100.11"), network("net/x", size=1)),
]  # fmt: skip

EXCLUSIONS = [
    case("an-excluded-address-is-passed-over", world(nad("net/x", OTHER, annotations={EXCLUDE: "198.51.100.2"}), on("net/x")), ready("a/s", "198.51.100.3"), network("net/x", size=252)),
    case(
        "addresses-ranges-and-prefixes-may-be-excluded-blanks-are-fine",
        world(nad("net/x", OTHER, annotations={EXCLUDE: " 198.51.100.2 , 198.51.100.4-198.51.100.5,198.51.100.8/29 "}), *(on("net/x", f"a/s{n}") for n in range(5))),
        ready("a/s0", "198.51.100.3"),
        ready("a/s1", "198.51.100.6"),
        ready("a/s2", "198.51.100.7"),
        ready("a/s3", "198.51.100.16"),
        network("net/x", size=253 - 11),
    ),
    case("an-excluded-address-cannot-be-requested", world(nad("net/x", OTHER, annotations={EXCLUDE: "198.51.100.7"}), wants("net/x", "198.51.100.7")), pending("a/s", "RequestedAddressReserved")),
    case("exclusions-of-ipv6", world(nad("net/x", None, "2001:db8::/64", annotations={EXCLUDE: "2001:db8::/120"}), on("net/x", ipFamilies=["IPv6"])), ready("a/s", "2001:db8::100")),
    case("a-network-all-of-which-is-excluded-is-full", world(nad("net/x", OTHER, annotations={EXCLUDE: OTHER}), on("net/x")), pending("a/s", "NetworkFull"), network("net/x", size=0)),
    case("exclusions-may-be-on-the-virtual-network", world(*by_vn("net/x", OTHER, annotations={EXCLUDE: "198.51.100.2"}), on("net/x")), ready("a/s", "198.51.100.3")),
    case(
        "a-held-address-that-is-excluded-later-is-kept",
        world(nad("net/x", OTHER), on("net/x")),
        apply(nad("net/x", OTHER, annotations={EXCLUDE: "198.51.100.2-198.51.100.3"}), on("net/x", "a/t")),
        ready("a/s", "198.51.100.2"),
        ready("a/t", "198.51.100.4"),
        network("net/x", problem=None),
    ),
    case(
        "an-exclusion-lifted-makes-room",
        world(nad("net/x", "198.51.100.0/30", annotations={EXCLUDE: "198.51.100.2"}), on("net/x")),
        pending("a/s", "NetworkFull"),
        apply(nad("net/x", "198.51.100.0/30")),
        ready("a/s", "198.51.100.2"),
    ),
]  # fmt: skip


def sized(prefix: str, size: int, first: str, *, gateway: str = "") -> Case:
    ipv6 = ":" in prefix
    made = by_vn("net/x", *(("", prefix) if ipv6 else (prefix, "")), **({"gateway": gateway} if gateway else {}))
    suffix = f"-with-gateway-{gateway}" if gateway else ""
    return case(
        f"a-{prefix}{suffix}-has-{size}-addresses",
        world(*made, on("net/x", ipFamilies=["IPv6" if ipv6 else "IPv4"])),
        ready("a/s", first),
        network("net/x", size=size, allocated=1),
    )


SIZES = [
    sized("198.51.100.0/16", 65533, "198.51.0.2"),
    sized("198.51.100.0/29", 5, "198.51.100.2"),
    sized("198.51.100.0/30", 1, "198.51.100.2"),
    sized("198.51.100.0/31", 2, "198.51.100.0"),
    sized("198.51.100.0/31", 1, "198.51.100.1", gateway="198.51.100.0"),
    sized("198.51.100.7/32", 1, "198.51.100.7"),
    sized("2001:db8::/64", 2**64 - 2, "2001:db8::2"),
    sized("2001:db8::/64", 2**64 - 2, "2001:db8::1", gateway="2001:db8::fe"),
    sized("2001:db8::/126", 2, "2001:db8::2"),
    sized("2001:db8::/127", 2, "2001:db8::"),
    sized("2001:db8::/127", 1, "2001:db8::1", gateway="2001:db8::"),
    sized("2001:db8::9/128", 1, "2001:db8::9"),
    *(
        case(
            f"the-ipv6-{what}",
            world(nad("net/x", None, "2001:db8::/120"), wants("net/x", address, ipFamilies=["IPv6"])),
            pending("a/s", "RequestedAddressReserved") if refused else ready("a/s", address),
        )
        for what, address, refused in (
            ("subnet-router-anycast-address-is-reserved", "2001:db8::", True),
            ("network-plus-one-is-reserved-without-a-gateway", "2001:db8::1", True),
            ("last-address-is-no-broadcast-and-usable", "2001:db8::ff", False),
        )
    ),
]

MULTUS = [
    case(
        "with-multus-a-bare-virtual-network-that-is-named-is-refused",
        world(*by_vn("net/x", OTHER), on("net/x"), service("a/t")),
        told("MultusRequiresNAD", about="VirtualNetwork net/x"),
        told("MultusRequiresNAD", about="Service a/s"),
        pending("a/s", "MultusRequiresNAD"),
        network("net/x", problem="MultusRequiresNAD"),
        ready("a/t", "192.0.2.2"),
        settings={"multus": True},
    ),
    case(
        "with-multus-a-selector-that-matches-bare-virtual-networks-only",
        world(*by_vn("net/x", OTHER, labels={"tier": "gold"}), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching({"tier": "gold"}, {})})]),
        pending("a/s", "MultusRequiresNAD"),
        settings={"multus": True},
    ),
    case(
        "with-multus-a-selector-passes-over-bare-virtual-networks",
        world(*by_vn("net/a", OTHER, labels={"tier": "gold"}), nad("net/x", "203.0.113.0/24", labels={"tier": "gold"}), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching({"tier": "gold"}, {})})]),
        ready("a/s", "203.0.113.2", network="net/x"),
        settings={"multus": True},
    ),
    case(
        "with-multus-a-virtual-network-made-by-a-nad-serves",
        world(nad("net/x", OTHER), *by_vn("net/x", OTHER, annotations={"juniper.net/nad-name": "x", "juniper.net/nad-namespace": "net"}), on("net/x")),
        ready("a/s", "198.51.100.2"),
        settings={"multus": True},
    ),
    case("without-multus-a-bare-virtual-network-serves", world(*by_vn("net/x", OTHER), on("net/x")), ready("a/s", "198.51.100.2")),
]  # fmt: skip

PREFIX_CHANGES = [
    case(
        "a-wider-prefix-is-taken",
        world(nad("net/x", "198.51.100.0/30"), on("net/x"), on("net/x", "a/t")),
        pending("a/t", "NetworkFull"),
        apply(nad("net/x", "198.51.100.0/29")),
        ready("a/s", "198.51.100.2"),
        ready("a/t", "198.51.100.3"),
    ),
    case(
        "a-shrink-that-would-cut-holders-off-is-refused-with-the-holders",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200"), on("net/x", "a/t")),
        apply(nad("net/x", "198.51.100.0/25")),
        event("PrefixChangeRefused", holders=[["198.51.100.200", "a/s"]]),
        told("PrefixChangeRefused", about="NetworkAttachmentDefinition net/x"),
        network("net/x", problem="PrefixChangeRefused"),
        ready("a/s", "198.51.100.200"),
        ready("a/t", "198.51.100.2"),
    ),
    case(
        "while-a-shrink-is-refused-newcomers-get-what-old-and-new-have-in-common",
        world(nad("net/x", "198.51.100.0/29"), wants("net/x", "198.51.100.6")),
        apply(nad("net/x", "198.51.100.0/30"), on("net/x", "a/t"), on("net/x", "a/u"), wants("net/x", "198.51.100.5", "a/v")),
        ready("a/t", "198.51.100.2"),
        pending("a/u", "NetworkFull"),
        pending("a/v", "RequestedAddressOutsideNetwork"),
        ready("a/s", "198.51.100.6"),
    ),
    case(
        "a-refused-shrink-takes-place-when-the-holder-has-left",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25")),
        network("net/x", problem="PrefixChangeRefused"),
        delete("Service", "a/s"),
        network("net/x", problem=None, size=125),
    ),
    case(
        "a-refused-shrink-that-is-taken-back-leaves-no-trace",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25")),
        apply(nad("net/x", OTHER)),
        network("net/x", problem=None, size=253),
    ),
    case(
        "a-forced-shrink-strands-its-holders-who-keep-working",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25", annotations={FORCE: "198.51.100.0/25"})),
        event("NetworkDefined", stranded=["198.51.100.200"]),
        network("net/x", problem=None, size=125),
        ready("a/s", "198.51.100.200"),
        apply(wants("net/x", "198.51.100.9")),
        ready("a/s", "198.51.100.9"),
    ),
    case(
        "a-forced-shrink-needs-no-force-for-the-other-family",
        world(nad("net/x", OTHER, "2001:db8::/64"), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25", "2001:db8::/60", annotations={FORCE: "198.51.100.0/25"})),
        event("NetworkDefined", stranded=["198.51.100.200"]),
        network("net/x", problem=None, size=125 + 2**68 - 2),
        ready("a/s", "198.51.100.200"),
    ),
    case(
        "a-forced-shrink-of-one-family-forces-none-of-the-other",
        world(
            nad("net/x", OTHER, "2001:db8::/64"),
            wants("net/x", "198.51.100.200"),
            wants("net/x", "2001:db8::ffff", "a/t", ipFamilies=["IPv6"]),
        ),
        apply(nad("net/x", "198.51.100.0/25", "2001:db8::/120", annotations={FORCE: "198.51.100.0/25"})),
        network("net/x", problem="PrefixChangeRefused"),
    ),
    case(
        "forcing-another-prefix-forces-nothing",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25", annotations={FORCE: "198.51.100.0/26"})),
        network("net/x", problem="PrefixChangeRefused"),
    ),
    case(
        "a-shrunk-range-of-a-subnet-is-refused-alike",
        world(*by_vn("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(subnet("net/x-v4", OTHER, ranges=[("198.51.100.2", "198.51.100.9")])),
        network("net/x", problem="PrefixChangeRefused"),
        ready("a/s", "198.51.100.200"),
    ),
    case(
        "a-refused-shrink-of-one-family-leaves-the-other-its-change",
        world(nad("net/x", OTHER), wants("net/x", "198.51.100.200")),
        apply(nad("net/x", "198.51.100.0/25", "2001:db8::/64")),
        event("PrefixChangeRefused", holders=[["198.51.100.200", "a/s"]]),
        network("net/x", problem="PrefixChangeRefused"),
        apply(dual("a/t", "RequireDualStack", {NETWORK: "net/x"})),
        ready("a/t", "198.51.100.2", "2001:db8::2"),
        {"restart": "all"},
        happened(),
        delete("Service", "a/s"),
        network("net/x", problem=None),
    ),
    case(
        "a-family-that-goes-as-a-whole-moves-who-needs-it",
        world(nad("net/x", OTHER, "2001:db8::/64"), on("net/x")),
        apply(nad("net/x", None, "2001:db8::/64")),
        moving("a/s", "198.51.100.2", reason="FamilyUnavailable", network="net/x"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext"),
    ),
]  # fmt: skip

CASES = [
    *FROM_NADS,
    *BROKEN,
    *FROM_VNS,
    *GATEWAYS_AND_RANGES,
    *EXCLUSIONS,
    *SIZES,
    *MULTUS,
    *PREFIX_CHANGES,
]


@table(CASES)
def test_networks(case: Case) -> None:
    play(case)


@pytest.mark.parametrize("form", ["nad", "vn"])
def test_cleared_host_bits_are_a_warning_that_names_the_object(form: str) -> None:
    made = [nad("net/x", "198.51.100.9/24")] if form == "nad" else by_vn("net/x", "198.51.100.9/24")

    def look(moment: object) -> None:
        (selection,) = moment.simulation.engine.view.intents.selections.values()  # type: ignore[attr-defined]
        (warning,) = selection.warnings
        assert "198.51.100.9/24" in warning
        assert "198.51.100.0/24" in warning

    play(case("cleared", world(*made, on("net/x"), default=nad("net/y", "10.0.0.0/24", labels=DEFAULT_LABELS)), look))
