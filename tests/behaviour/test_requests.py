"""Requested addresses: a Service gets the one it requests, or a reason, and never silently another one."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    case,
    event,
    happened,
    network,
    pending,
    play,
    ready,
    says,
    table,
    told,
)
from tests.behaviour.world import ext, world
from tests.builders.objects import ADDRESSES, aged, asks, dual, service
from tests.support.simulate import apply, delete

SILENT = {"agents": "silent"}

CASES = [
    case("the-annotation-asks-for-an-address", world(asks("a/s", "192.0.2.77")), ready("a/s", "192.0.2.77"), event("AddressAllocated", choice="requested")),
    case("the-deprecated-field-asks-where-the-annotation-does-not", world(service("a/s", loadBalancerIP="192.0.2.77")), ready("a/s", "192.0.2.77")),
    case("the-annotation-goes-before-the-deprecated-field", world(asks("a/s", "192.0.2.77", loadBalancerIP="192.0.2.78")), ready("a/s", "192.0.2.77")),
    case("blanks-around-requested-addresses-are-fine", world(service("a/s", {ADDRESSES: " 192.0.2.77 "})), ready("a/s", "192.0.2.77")),
    case("an-ipv6-request-in-any-form", world(asks("a/s", "2001:DB8:0::00ab", ipFamilies=["IPv6"]), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::ab")),
    case("an-ipv4-mapped-request", world(asks("a/s", "::ffff:192.0.2.9", ipFamilies=["IPv6"]), default=ext(v6="2001:db8::/64")), pending("a/s", "RequestedAddressOutsideNetwork")),
    case("one-request-per-family", world(dual("a/s", "RequireDualStack", {ADDRESSES: "2001:db8::9,192.0.2.9"}), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.9", "2001:db8::9")),
    case("a-request-for-one-family-leaves-the-other-automatic", world(dual("a/s", "RequireDualStack", {ADDRESSES: "2001:db8::9"}), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.2", "2001:db8::9")),
    *(
        case(f"a-request-that-does-not-parse-{name}", world(service("a/s", {ADDRESSES: text})), pending("a/s", "InvalidAnnotation"), told("InvalidAnnotation", about="Service a/s"))
        for name, text in {"a-word": "nonsense", "empty": "", "a-prefix": "192.0.2.0/24", "two-of-one-family": "192.0.2.7,192.0.2.8", "an-empty-item": "192.0.2.7,", "three-numbers": "192.0.2", "a-leading-zero": "192.0.2.07"}.items()
    ),
    case("a-deprecated-field-that-does-not-parse", world(service("a/s", loadBalancerIP="nonsense")), pending("a/s", "InvalidAnnotation")),
    case("a-request-outside-the-network", world(asks("a/s", "203.0.113.9")), pending("a/s", "RequestedAddressOutsideNetwork"), happened("AllocationRefused")),
    case("a-request-for-a-reserved-address", world(asks("a/s", "192.0.2.1")), pending("a/s", "RequestedAddressReserved"), told("RequestedAddressReserved", about="Service a/s")),
    case("a-request-for-a-held-address-names-the-holder", world(aged(asks("b/h", "192.0.2.9"), "01"), asks("a/s", "192.0.2.9")), pending("a/s", "RequestedAddressInUse"), says("a/s", "b/h")),
    case(
        "a-request-of-a-family-that-the-service-does-not-have",
        world(asks("a/s", "2001:db8::9"), default=ext(v6="2001:db8::/64")),
        pending("a/s", "FamilyUnavailable"),
    ),
    case(
        "a-request-of-a-wrong-family-beside-a-right-one",
        world(asks("a/s", "192.0.2.9", "2001:db8::9"), default=ext(v6="2001:db8::/64")),
        pending("a/s", "FamilyUnavailable"),
    ),
    case("a-request-of-a-family-that-the-network-does-not-have", world(asks("a/s", "2001:db8::9", ipFamilies=["IPv6"])), pending("a/s", "FamilyUnavailable")),
    case(
        "one-request-that-cannot-be-met-gives-no-address-of-the-other-family",
        world(dual("a/s", "RequireDualStack", {ADDRESSES: "192.0.2.1"}), default=ext(v6="2001:db8::/64")),
        pending("a/s", "RequestedAddressReserved"),
        network("net/ext", allocated=0),
    ),
    case(
        "who-prefers-both-waits-for-no-request-but-says-so",
        world(dual("a/s", "PreferDualStack", {ADDRESSES: "192.0.2.9,2001:db8::1"}), default=ext(v6="2001:db8::/64")),
        ready("a/s", "192.0.2.9"),
        says("a/s", "2001:db8::1"),
    ),
    case(
        "a-request-in-quarantine-is-served-by-itself-when-it-ends",
        world(asks("a/s", "192.0.2.9")),
        delete("Service", "a/s"),
        apply(asks("a/t", "192.0.2.9")),
        pending("a/t", "RequestedAddressQuarantined"),
        says("a/t", "a/s"),
        {"advance": "4m59s"},
        pending("a/t", "RequestedAddressQuarantined"),
        {"advance": "2s"},
        ready("a/t", "192.0.2.9"),
    ),
    case(
        "quarantine-never-binds-the-former-holder",
        world(service("a/s")),
        delete("Service", "a/s"),
        apply(asks("a/s", "192.0.2.2")),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-leased-address-may-be-requested-by-anyone-after-quarantine",
        world(service("a/s")),
        delete("Service", "a/s"),
        {"advance": "6m"},
        apply(asks("b/t", "192.0.2.2")),
        ready("b/t", "192.0.2.2"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
    ),
    case(
        "a-requested-address-that-is-freed-goes-to-who-waits-for-it-after-quarantine",
        world(asks("a/s", "192.0.2.9"), asks("a/t", "192.0.2.9")),
        pending("a/t", "RequestedAddressInUse"),
        delete("Service", "a/s"),
        pending("a/t", "RequestedAddressQuarantined"),
        {"advance": "5m1s"},
        ready("a/t", "192.0.2.9"),
    ),
    case(
        "quarantine-is-not-cut-short-for-a-request",
        world(asks("a/s", "192.0.2.2"), default=ext("192.0.2.0/30")),
        delete("Service", "a/s"),
        apply(asks("a/t", "192.0.2.2")),
        pending("a/t", "RequestedAddressQuarantined"),
    ),
    case(
        "an-address-that-is-still-being-released-is-in-use",
        world(asks("a/s", "192.0.2.9")),
        SILENT,
        delete("Service", "a/s"),
        apply(asks("a/t", "192.0.2.9")),
        pending("a/t", "RequestedAddressInUse"),
        {"agents": "normal"},
        {"advance": "5m1s"},
        ready("a/t", "192.0.2.9"),
    ),
    case(
        "a-request-corrected-is-served",
        world(asks("a/s", "192.0.2.1")),
        apply(asks("a/s", "192.0.2.10")),
        ready("a/s", "192.0.2.10"),
        happened("AddressAllocated", "RefusalCleared"),
    ),
    case(
        "a-refusal-is-written-once-per-reason",
        world(asks("a/s", "192.0.2.1")),
        happened("AllocationRefused"),
        {"advance": "1d"},
        happened(),
        apply(service("a/t")),
        happened("AddressAllocated"),
        apply(asks("a/s", "10.0.0.1")),
        happened("AllocationRefused"),
        pending("a/s", "RequestedAddressOutsideNetwork"),
    ),
    case(
        "a-request-edited-into-another-that-is-refused-alike-gets-a-message-of-its-own",
        world(asks("a/s", "10.0.0.1")),
        says("a/s", "10.0.0.1"),
        apply(asks("a/s", "10.0.0.2")),
        happened("AllocationRefused"),
        says("a/s", "10.0.0.2"),
        {"restart": "all"},
        {"redeliver": 50},
        happened(),
        apply(asks("a/s", "10.0.0.2", ports=[{"name": "http", "protocol": "TCP", "port": 81, "targetPort": 8080}])),
        happened(),
    ),
    case(
        "a-request-that-is-given-up-brings-nothing-back-that-is-being-released",
        world(service("a/s")),
        SILENT,
        apply(asks("a/s", "192.0.2.50")),
        apply(asks("a/s", "192.0.2.2")),
        happened("HoldingChanged", "AddressReleasing"),
        apply(service("a/s")),
        happened("HoldingChanged"),
        ready("a/s", "192.0.2.2"),
        {"agents": "normal"},
        happened("AddressReleased"),
        ready("a/s", "192.0.2.2"),
    ),
]  # fmt: skip


@table(CASES)
def test_requests(case: Case) -> None:
    play(case)
