"""Adoption: addresses that a Service's status showed before the ledger held one for it."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    case,
    event,
    happened,
    ingress,
    moving,
    pending,
    play,
    ready,
    shows,
    table,
    told,
)
from tests.behaviour.world import ext, world
from tests.builders.objects import NETWORK, SHARING, Object, aged, asks, dual, nad, service
from tests.support.simulate import apply


def shown(one: Object, *addresses: str) -> Object:
    """The Service with a status from before."""
    return {**one, "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}}


CASES = [
    case("an-address-that-is-shown-is-adopted", world(shown(service("a/s"), "192.0.2.77")), ready("a/s", "192.0.2.77"), happened("AddressAdopted"), told("AddressAdopted", about="Service a/s")),
    case("adoption-goes-before-newcomers", world(aged(service("a/n"), "01"), aged(shown(service("a/s"), "192.0.2.2"), "09")), ready("a/s", "192.0.2.2"), ready("a/n", "192.0.2.3")),
    case("adoption-goes-before-requests-of-newcomers", world(aged(asks("a/n", "192.0.2.5"), "01"), aged(shown(service("a/s"), "192.0.2.5"), "09")), ready("a/s", "192.0.2.5"), pending("a/n", "RequestedAddressInUse")),
    case(
        "of-two-that-show-one-address-the-older-adopts-it",
        world(aged(shown(service("a/y"), "192.0.2.5"), "02"), aged(shown(service("a/z"), "192.0.2.5"), "01")),
        ready("a/z", "192.0.2.5"),
        ready("a/y", "192.0.2.2"),
        event("AdoptionRefused", address="192.0.2.5", service="a/y"),
    ),
    case("both-families-are-adopted", world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5", "2001:db8::5"), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.5", "2001:db8::5")),
    case("a-shown-address-is-adopted-however-it-is-spelled", world(shown(service("a/s", ipFamilies=["IPv6"]), "2001:DB8:0::5"), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::5")),
    case("a-shown-ipv4-mapped-address-is-in-no-network", world(shown(service("a/s", ipFamilies=["IPv6"]), "::ffff:192.0.2.5"), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::2")),
    case("what-is-shown-and-is-no-address-is-passed-over", world(shown(service("a/s"), "fe80::1%eth0", "192.0.2", "garbage")), ready("a/s", "192.0.2.2"), happened("AddressAllocated")),
    case("one-family-is-adopted-the-other-is-new", world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5"), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.5", "2001:db8::2")),
    case("a-shown-address-that-is-also-requested-is-adopted", world(shown(asks("a/s", "192.0.2.5"), "192.0.2.5")), ready("a/s", "192.0.2.5")),
    *(
        case(
            f"a-shown-address-that-is-{name}-is-not-adopted",
            world(shown(one, address), default=ext(exclude="192.0.2.50")),
            ready("a/s", instead),
            event("AdoptionRefused", address=address, service="a/s"),
            told("AdoptionRefused", about="Service a/s"),
        )
        for name, one, address, instead in (
            ("reserved", service("a/s"), "192.0.2.1", "192.0.2.2"),
            ("excluded", service("a/s"), "192.0.2.50", "192.0.2.2"),
            ("outside", service("a/s"), "203.0.113.5", "192.0.2.2"),
            ("not-the-requested-one", asks("a/s", "192.0.2.9"), "192.0.2.5", "192.0.2.9"),
        )
    ),
    case(
        "a-shown-address-beyond-the-quota-is-not-adopted-for-that-reason",
        world(shown(service("a/s"), "192.0.2.50"), shown(service("a/t"), "192.0.2.51"), default=ext(quota="1")),
        ready("a/s", "192.0.2.50"),
        pending("a/t", "QuotaExceeded"),
        event("AdoptionRefused", address="192.0.2.51", service="a/t", reason="QuotaExceeded"),
    ),
    case(
        "a-shown-address-that-a-refused-shrink-would-cut-off-is-not-adopted",
        world(asks("a/h", "192.0.2.200")),
        apply(ext("192.0.2.0/25")),
        apply(shown(service("a/s"), "192.0.2.201")),
        event("AdoptionRefused", address="192.0.2.201", reason="RequestedAddressOutsideNetwork"),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-shown-address-is-adopted-when-its-network-comes-late",
        world(shown(service("a/s", {NETWORK: "net/l"}), "10.0.0.9")),
        pending("a/s", "NetworkNotFound"),
        apply(nad("net/l", "10.0.0.0/24")),
        ready("a/s", "10.0.0.9"),
        event("AddressAdopted", address="10.0.0.9"),
    ),
    case(
        "an-ipv6-address-is-adopted-in-any-form",
        world(shown(service("a/s", ipFamilies=["IPv6"]), "2001:0DB8::0099"), default=ext(v6="2001:db8::/64")),
        ready("a/s", "2001:db8::99"),
        ingress("a/s", "2001:db8::99"),
    ),
    case(
        "a-status-that-another-client-writes-later-is-not-adopted-but-put-right",
        world(service("a/s")),
        apply(shown(service("a/s"), "192.0.2.99")),
        happened(),
        ready("a/s", "192.0.2.2"),
        ingress("a/s", "192.0.2.2"),
    ),
    case("a-host-name-in-the-status-is-nothing-to-adopt", world({**service("a/s"), "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}}), ready("a/s", "192.0.2.2")),
    *(
        case(
            f"a-status-with-{name}-is-read",
            world({**service("a/s"), "status": status}),
            ready("a/s", expected),
            apply(service("a/s", port=81)),
            ready("a/s", expected),
            ingress("a/s", expected),
        )
        for name, status, expected in (
            ("conditions-null", {"conditions": None}, "192.0.2.2"),
            ("everything-null", {"loadBalancer": None, "conditions": None}, "192.0.2.2"),
            ("a-null-ingress", {"loadBalancer": {"ingress": None}, "conditions": None}, "192.0.2.2"),
            ("a-condition-of-another-controller", {"conditions": [{"type": "example.com/X", "status": "True"}]}, "192.0.2.2"),
            ("a-host-name-and-an-address", {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "192.0.2.9"}]}}, "192.0.2.9"),
            ("a-proxy-mode-and-ports", {"loadBalancer": {"ingress": [{"ip": "192.0.2.9", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]}}, "192.0.2.9"),
        )
    ),
    case(
        "a-second-address-of-a-family-goes-with-an-event",
        world(shown(service("a/s"), "192.0.2.20", "192.0.2.21")),
        ready("a/s", "192.0.2.20"),
        event("AdoptionRefused", address="192.0.2.21", reason="SurplusAddress"),
        told("AdoptionRefused", about="Service a/s"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "an-address-of-a-family-that-the-service-has-not-goes-with-an-event",
        world(shown(service("a/s"), "192.0.2.20", "2001:db8::20"), default=ext(v6="2001:db8::/64")),
        ready("a/s", "192.0.2.20"),
        event("AdoptionRefused", address="2001:db8::20", reason="FamilyUnavailable"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "an-address-of-a-preferred-family-that-the-network-lacks-goes-with-one-event",
        world(shown(dual("a/s", "PreferDualStack"), "192.0.2.20", "2001:db8::20")),
        ready("a/s", "192.0.2.20"),
        happened("AdoptionRefused", "AddressAdopted"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "who-shows-another-address-than-it-requests-hears-that-reason",
        world(shown(asks("a/s", "192.0.2.9"), "192.0.2.5")),
        event("AdoptionRefused", address="192.0.2.5", reason="AddressRequested"),
    ),
    case(
        "a-required-family-that-is-full-does-not-hinder-adoption-in-the-other",
        world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5"), default=ext(v6="2001:db8::/127", exclude="2001:db8::,2001:db8::1")),
        moving("a/s", "192.0.2.5", reason="NetworkFull"),
        shows("a/s", "192.0.2.5"),
        apply(ext(v6="2001:db8::/64")),
        ready("a/s", "192.0.2.5", "2001:db8::2"),
    ),
    case(
        "a-request-in-one-family-that-waits-does-not-hinder-adoption-in-the-other",
        world(asks("a/h", "2001:db8::9", ipFamilies=["IPv6"]), default=ext(v6="2001:db8::/64")),
        apply(shown(asks("a/s", "2001:db8::9", ipFamilyPolicy="RequireDualStack"), "192.0.2.5")),
        moving("a/s", "192.0.2.5", reason="RequestedAddressInUse"),
        shows("a/s", "192.0.2.5"),
    ),
    case(
        "two-that-show-one-address-and-may-share-it-both-adopt-it",
        world(shown(service("a/s", {SHARING: "k"}), "192.0.2.5"), shown(service("a/t", {SHARING: "k"}, 443), "192.0.2.5")),
        ready("a/s", "192.0.2.5"),
        ready("a/t", "192.0.2.5"),
        happened("AddressAdopted", "AddressAdopted"),
    ),
    case(
        "two-that-show-one-address-under-one-key-with-a-clash-do-not-both-adopt-it",
        world(shown(service("a/s", {SHARING: "k"}), "192.0.2.5"), shown(service("a/t", {SHARING: "k"}), "192.0.2.5")),
        ready("a/s", "192.0.2.5"),
        ready("a/t", "192.0.2.2"),
        event("AdoptionRefused", address="192.0.2.5", service="a/t", reason="SharingConflict"),
    ),
    case(
        "a-shown-address-of-a-class-that-is-not-served-is-left-alone",
        world(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.9"), asks("a/t", "192.0.2.9")),
        ready("a/t", "192.0.2.9"),
        happened("AddressAllocated"),
    ),
]  # fmt: skip


@table(CASES)
def test_adoption(case: Case) -> None:
    play(case)
