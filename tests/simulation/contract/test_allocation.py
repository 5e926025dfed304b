"""Which address a Service gets, and why it does not get the one it asks for."""

from __future__ import annotations

from typing import Any

from tests.simulation.contract.play import (
    Case,
    absent,
    case,
    event,
    happened,
    ingress,
    moving,
    network,
    pending,
    play,
    ready,
    says,
    table,
    told,
)
from tests.simulation.contract.world import (
    ADDRESSES,
    DEFAULT_LABELS,
    LEASE,
    NETWORK,
    QUARANTINE,
    QUOTA,
    SHARING,
    Object,
    aged,
    dual,
    nad,
    namespace,
    port,
    service,
    world,
)
from tests.simulation.support import apply, delete

SILENT = {"agents": "silent"}


def ext(v4: Any = "192.0.2.0/24", v6: Any = None, **annotations: str) -> Object:
    """The default network, with annotations of ours: ``ext(lease="0s")``."""
    keys = {"quarantine": QUARANTINE, "lease": LEASE, "quota": QUOTA, "exclude": "ledgerlb.io/exclude"}
    return nad(
        "net/ext", v4, v6, labels=DEFAULT_LABELS, annotations={keys[key]: text for key, text in annotations.items()}
    )


def asks(name: str, *addresses: str, **spec: Any) -> Object:
    return service(name, {ADDRESSES: ",".join(addresses)}, **spec)


FIVE = ext("192.0.2.0/29", quarantine="0s")
"""192.0.2.2 to .6, without quarantine."""
FILLED = [service(f"a/s{number}") for number in range(2, 7)]
"""The Service ``a/s<n>`` gets 192.0.2.<n>."""


def free(*numbers: int) -> list[Object]:
    return [delete("Service", f"a/s{number}") for number in numbers]


ORDER = [
    case("never-used-addresses-lowest-first", world(service("a/s"), service("a/t")), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.3"), event("AddressAllocated", choice="never-used")),
    case(
        "an-older-service-goes-first-then-the-name",
        world(aged(service("a/z"), "01"), service("a/y"), service("a/x")),
        ready("a/z", "192.0.2.2"),
        ready("a/x", "192.0.2.3"),
        ready("a/y", "192.0.2.4"),
    ),
    case("a-request-leaves-the-lowest-to-the-next", world(asks("a/s", "192.0.2.2"), service("a/t")), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.3")),
    case(
        "its-own-former-address-goes-before-never-used-ones",
        world(service("a/r"), service("a/s")),
        delete("Service", "a/s"),
        apply(service("a/t")),
        ready("a/t", "192.0.2.4"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
        event("AddressAllocated", choice="former"),
    ),
    case(
        "a-request-goes-before-its-own-former-address",
        world(service("a/s")),
        delete("Service", "a/s"),
        apply(asks("a/s", "192.0.2.9")),
        ready("a/s", "192.0.2.9"),
    ),
    case(
        "never-used-addresses-go-before-free-ones",
        world(service("a/s"), default=ext(quarantine="0s", lease="0s")),
        delete("Service", "a/s"),
        apply(service("a/t")),
        ready("a/t", "192.0.2.3"),
    ),
    case(
        "free-addresses-longest-free-first",
        world(*FILLED, default=ext("192.0.2.0/29", quarantine="0s", lease="0s")),
        *free(4, 2),
        apply(service("a/x")),
        ready("a/x", "192.0.2.4"),
        event("AddressAllocated", choice="longest-free"),
        apply(service("a/y")),
        ready("a/y", "192.0.2.2"),
    ),
    case(
        "free-addresses-go-before-those-leased-to-somebody-else",
        world(*FILLED, default=FIVE),
        *free(3),
        apply(ext("192.0.2.0/29", quarantine="0s", lease="0s")),
        *free(5),
        apply(service("a/x")),
        ready("a/x", "192.0.2.5"),
        apply(service("a/y")),
        ready("a/y", "192.0.2.3"),
        event("AddressAllocated", choice="leased-to-other"),
    ),
    case(
        "leased-addresses-longest-free-first",
        world(*FILLED, default=FIVE),
        *free(4, 2),
        apply(service("a/x")),
        ready("a/x", "192.0.2.4"),
        event("AddressAllocated", choice="leased-to-other"),
    ),
    case(
        "leased-addresses-go-before-quarantined-ones",
        world(*FILLED, default=FIVE),
        *free(6),
        apply(ext("192.0.2.0/29", quarantine="10m")),
        *free(2),
        apply(service("a/x")),
        ready("a/x", "192.0.2.6"),
    ),
    case(
        "quarantine-is-cut-short-oldest-first-and-the-entry-says-so",
        world(*FILLED, default=ext("192.0.2.0/29")),
        *free(5, 3),
        apply(service("a/x")),
        event("AddressAllocated", address="192.0.2.5", choice="quarantine-cut"),
        ready("a/x", "192.0.2.5"),
        network("net/ext", quarantined=1, allocated=4),
    ),
    case(
        "quarantine-is-kept-while-anything-else-is-free",
        world(*FILLED[:4], default=ext("192.0.2.0/29")),
        *free(2),
        apply(service("a/x")),
        ready("a/x", "192.0.2.6"),
    ),
    case(
        "quarantine-of-one-family-is-cut-short-though-the-other-has-room",
        world(service("a/s"), default=ext("192.0.2.0/30", "2001:db8::/64")),
        delete("Service", "a/s"),
        apply(dual("a/t", "RequireDualStack")),
        ready("a/t", "192.0.2.2", "2001:db8::2"),
    ),
    case(
        "after-the-lease-a-former-address-is-like-any-other",
        world(service("a/s"), default=ext(lease="1h")),
        delete("Service", "a/s"),
        {"advance": "61m"},
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
    ),
    case(
        "a-lease-turned-off-reserves-nothing",
        world(service("a/s"), default=ext(lease="0s")),
        delete("Service", "a/s"),
        {"advance": "6m"},
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
    ),
    case(
        "lease-and-quarantine-of-the-settings-count-where-the-network-says-nothing",
        world(service("a/s")),
        delete("Service", "a/s"),
        network("net/ext", quarantined=1),
        {"advance": "11s"},
        network("net/ext", quarantined=0),
        {"advance": "50s"},
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
        settings={"defaults": {"quarantine": "10s", "lease": "1m"}},
    ),
    case(
        "the-network-overrules-the-settings",
        world(service("a/s"), default=ext(quarantine="1h", lease="2h")),
        delete("Service", "a/s"),
        {"advance": "59m"},
        network("net/ext", quarantined=1),
        {"advance": "2m"},
        network("net/ext", quarantined=0),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2"),
        settings={"defaults": {"quarantine": "1s", "lease": "2s"}},
    ),
    case(
        "quarantine-and-lease-begin-when-the-address-is-released",
        world(service("a/s")),
        SILENT,
        delete("Service", "a/s"),
        {"advance": "4m"},
        {"agents": "normal"},
        event("AddressReleased", quarantine_until="2026-01-01T00:09:00Z", lease_until="2026-01-02T00:04:00Z"),
    ),
    case(
        "a-service-that-comes-back-while-its-address-is-released-keeps-it",
        world(service("a/s")),
        SILENT,
        apply(service("a/s", type="ClusterIP")),
        happened("AddressReleasing"),
        apply(service("a/s")),
        {"agents": "normal"},
        ready("a/s", "192.0.2.2"),
        network("net/ext", allocated=1, quarantined=0),
    ),
]  # fmt: skip

REQUESTS = [
    case("the-annotation-asks-for-an-address", world(asks("a/s", "192.0.2.77")), ready("a/s", "192.0.2.77"), event("AddressAllocated", choice="requested")),
    case("the-deprecated-field-asks-where-the-annotation-does-not", world(service("a/s", loadBalancerIP="192.0.2.77")), ready("a/s", "192.0.2.77")),
    case("the-annotation-goes-before-the-deprecated-field", world(asks("a/s", "192.0.2.77", loadBalancerIP="192.0.2.78")), ready("a/s", "192.0.2.77")),
    case("blanks-around-requested-addresses-are-fine", world(service("a/s", {ADDRESSES: " 192.0.2.77 "})), ready("a/s", "192.0.2.77")),
    case("an-ipv6-request-in-any-form", world(asks("a/s", "2001:DB8:0::00ab", ipFamilies=["IPv6"]), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::ab")),
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
]  # fmt: skip

FULL = [
    case("a-full-network-says-so", world(service("a/s"), service("a/t"), default=ext("192.0.2.0/30")), ready("a/s", "192.0.2.2"), pending("a/t", "NetworkFull"), told("NetworkFull", about="Service a/t")),
    case(
        "a-freed-address-goes-to-the-oldest-who-waits",
        world(service("a/s"), default=ext("192.0.2.0/30")),
        apply(aged(service("a/y"), "03"), aged(service("a/z"), "02")),
        delete("Service", "a/s"),
        ready("a/z", "192.0.2.2"),
        pending("a/y", "NetworkFull"),
    ),
    case(
        "full-is-judged-per-family-who-requires-both-gets-none",
        world(service("a/s"), dual("a/t", "RequireDualStack"), default=ext("192.0.2.0/30", "2001:db8::/64")),
        pending("a/t", "NetworkFull"),
        network("net/ext", allocated=1),
        delete("Service", "a/s"),
        ready("a/t", "192.0.2.2", "2001:db8::2"),
    ),
    case(
        "full-is-judged-per-family-who-prefers-both-gets-the-other",
        world(service("a/s"), dual("a/t", "PreferDualStack"), default=ext("192.0.2.0/30", "2001:db8::/64")),
        ready("a/t", "2001:db8::2"),
        says("a/t", "IPv4"),
        delete("Service", "a/s"),
        ready("a/t", "192.0.2.2", "2001:db8::2"),
    ),
    case(
        "a-held-address-is-never-given-to-two",
        world(*(service(f"a/s{n}") for n in range(4)), *(service(f"b/s{n}") for n in range(4)), default=ext("192.0.2.0/29")),
        network("net/ext", allocated=5),
        ready("a/s0", "192.0.2.2"),
        ready("b/s0", "192.0.2.6"),
        pending("b/s1", "NetworkFull"),
    ),
]  # fmt: skip

QUOTAS = [
    case(
        "a-quota-counts-per-namespace",
        world(service("a/s"), service("a/t"), service("a/u"), service("b/s"), default=ext(quota="2")),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        pending("a/u", "QuotaExceeded"),
        told("QuotaExceeded", about="Service a/u"),
        ready("b/s", "192.0.2.4"),
        delete("Service", "a/s"),
        {"expect": {"services": {"a/u": {"state": "Ready"}}}},
    ),
    case("a-quota-of-nothing", world(service("a/s"), default=ext(quota="0")), pending("a/s", "QuotaExceeded")),
    case("a-quota-counts-addresses-not-services", world(dual("a/s", "RequireDualStack"), default=ext(v6="2001:db8::/64", quota="1")), pending("a/s", "QuotaExceeded"), network("net/ext", allocated=0)),
    case("a-quota-of-two-suffices-for-both-families", world(dual("a/s", "RequireDualStack"), service("a/t"), default=ext(v6="2001:db8::/64", quota="2")), ready("a/s", "192.0.2.2", "2001:db8::2"), pending("a/t", "QuotaExceeded")),
    case("who-prefers-both-gets-what-the-quota-leaves", world(dual("a/s", "PreferDualStack"), default=ext(v6="2001:db8::/64", quota="1")), ready("a/s", "192.0.2.2"), network("net/ext", allocated=1)),
    case("a-shared-address-counts-once", world(service("a/s", {SHARING: "k"}), service("a/t", {SHARING: "k"}, port=443), default=ext(quota="1")), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.2")),
    case("a-move-within-the-network-needs-no-quota", world(service("a/s"), default=ext(quota="1")), apply(asks("a/s", "192.0.2.9")), ready("a/s", "192.0.2.9"), network("net/ext", allocated=1)),
    case("a-request-is-bound-by-the-quota", world(service("a/s"), asks("a/t", "192.0.2.9"), default=ext(quota="1")), pending("a/t", "QuotaExceeded")),
]  # fmt: skip


def sharing(name: str, key: str = "k", number: int = 80, *addresses: str, protocol: str = "TCP") -> Object:
    annotations = {SHARING: key, **({ADDRESSES: ",".join(addresses)} if addresses else {})}
    return service(name, annotations, ports=[port(number, protocol)])


SHARED = [
    case("services-with-one-key-and-disjoint-ports-share", world(sharing("a/s"), sharing("a/t", number=443)), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.2"), network("net/ext", allocated=1)),
    case("one-port-of-two-protocols-is-disjoint", world(sharing("a/s", number=53, protocol="TCP"), sharing("a/t", number=53, protocol="UDP")), ready("a/t", "192.0.2.2")),
    case("a-clash-gets-an-address-of-its-own-under-the-same-key", world(sharing("a/s"), sharing("a/t"), sharing("a/u", number=443)), ready("a/t", "192.0.2.3"), ready("a/u", "192.0.2.2"), network("net/ext", allocated=2)),
    case("the-own-address-of-a-clash-is-shared-too", world(sharing("a/s"), sharing("a/t"), sharing("a/u", number=443), sharing("a/v", number=443)), ready("a/u", "192.0.2.2"), ready("a/v", "192.0.2.3")),
    case("another-key-shares-nothing", world(sharing("a/s"), sharing("a/t", "j", 443)), ready("a/t", "192.0.2.3")),
    case("another-namespace-shares-nothing", world(sharing("a/s"), sharing("b/t", "k", 443)), ready("b/t", "192.0.2.3")),
    case("without-a-key-nothing-is-shared", world(sharing("a/s"), service("a/t", port=443)), ready("a/t", "192.0.2.3")),
    case("a-shared-address-may-be-requested", world(sharing("a/s", "k", 80, "192.0.2.9"), sharing("a/t", "k", 443, "192.0.2.9")), ready("a/s", "192.0.2.9"), ready("a/t", "192.0.2.9")),
    case("a-request-that-clashes-under-the-same-key", world(sharing("a/s", "k", 80, "192.0.2.9"), sharing("a/t", "k", 80, "192.0.2.9")), pending("a/t", "SharingConflict"), says("a/t", "TCP/80", "a/s")),
    case("a-request-for-an-address-under-another-key", world(sharing("a/s", "k", 80, "192.0.2.9"), sharing("a/t", "j", 443, "192.0.2.9")), pending("a/t", "RequestedAddressInUse")),
    case("a-request-for-an-address-without-a-key", world(asks("a/s", "192.0.2.9"), sharing("a/t", "k", 443, "192.0.2.9")), pending("a/t", "RequestedAddressInUse")),
    case("a-request-for-an-address-of-another-namespace-under-the-same-key", world(sharing("a/s", "k", 80, "192.0.2.9"), sharing("b/t", "k", 443, "192.0.2.9")), pending("b/t", "RequestedAddressInUse")),
    case(
        "a-clash-that-goes-lets-the-request-join",
        world(sharing("a/s", "k", 80, "192.0.2.9"), sharing("a/t", "k", 443, "192.0.2.9"), sharing("a/u", "k", 443, "192.0.2.9")),
        pending("a/u", "SharingConflict"),
        delete("Service", "a/t"),
        ready("a/u", "192.0.2.9"),
    ),
    case(
        "who-leaves-a-shared-address-releases-nothing",
        world(sharing("a/s"), sharing("a/t", number=443)),
        delete("Service", "a/s"),
        happened("HolderLeft"),
        ready("a/t", "192.0.2.2"),
        absent("a/s"),
        delete("Service", "a/t"),
        happened("AddressReleasing", "AddressReleased"),
        network("net/ext", allocated=0, quarantined=1),
    ),
    case(
        "a-key-changed-while-sharing-is-a-move",
        world(sharing("a/s"), sharing("a/t", number=443)),
        apply(sharing("a/t", "j", 443)),
        ready("a/t", "192.0.2.3"),
        ready("a/s", "192.0.2.2"),
        network("net/ext", allocated=2),
    ),
    case(
        "a-key-taken-away-while-sharing-is-a-move",
        world(sharing("a/s"), sharing("a/t", number=443)),
        apply(service("a/t", port=443)),
        ready("a/t", "192.0.2.3"),
    ),
    case("a-sole-holder-keeps-its-address-under-a-new-key", world(sharing("a/s")), apply(sharing("a/s", "j")), ready("a/s", "192.0.2.2"), apply(sharing("a/t", "j", 443)), ready("a/t", "192.0.2.2")),
    case("a-key-given-later-lets-others-join", world(service("a/s")), apply(sharing("a/s")), apply(sharing("a/t", number=443)), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.2")),
    case(
        "a-port-that-comes-to-clash-moves-who-changed",
        world(sharing("a/s"), sharing("a/t", number=443)),
        apply(sharing("a/t", number=80)),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
    ),
    case("sharing-in-both-families", world(dual("a/s", "RequireDualStack", {SHARING: "k"}), dual("a/t", "RequireDualStack", {SHARING: "k"}, port=443), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.2", "2001:db8::2"), ready("a/t", "192.0.2.2", "2001:db8::2"), network("net/ext", allocated=2)),
    case(
        "a-shared-address-whose-release-began-is-joined-by-nobody",
        world(sharing("a/s")),
        SILENT,
        delete("Service", "a/s"),
        apply(sharing("a/t", number=443)),
        ready("a/t", "192.0.2.3"),
    ),
]  # fmt: skip


def shown(one: Object, *addresses: str) -> Object:
    """The Service with a status from before."""
    return {**one, "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}}


ADOPTIONS = [
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
        "a-status-that-somebody-writes-later-is-not-adopted-but-put-right",
        world(service("a/s")),
        apply(shown(service("a/s"), "192.0.2.99")),
        happened(),
        ready("a/s", "192.0.2.2"),
        ingress("a/s", "192.0.2.2"),
    ),
    case("a-host-name-in-the-status-is-nothing-to-adopt", world({**service("a/s"), "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}}), ready("a/s", "192.0.2.2")),
    case(
        "a-shown-address-of-a-class-that-is-not-served-is-left-alone",
        world(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.9"), asks("a/t", "192.0.2.9")),
        ready("a/t", "192.0.2.9"),
        happened("AddressAllocated"),
    ),
]  # fmt: skip

WAITING = [
    case(
        "a-namespace-without-rights-does-not-hold-others-up",
        world(namespace("b", {"team": "z"}), service("a/s"), service("b/s"), default=nad("net/ext", labels=DEFAULT_LABELS, annotations={"ledgerlb.io/allowed-namespaces": "team=z"})),
        pending("a/s", "NetworkNotAllowed"),
        ready("b/s", "192.0.2.2"),
    ),
    case(
        "a-holder-that-loses-its-wish-to-a-refusal-keeps-its-address",
        world(service("a/s"), service("a/t")),
        apply(asks("a/s", "192.0.2.3")),
        moving("a/s", "192.0.2.2", reason="RequestedAddressInUse"),
        delete("Service", "a/t"),
        moving("a/s", "192.0.2.2", reason="RequestedAddressQuarantined"),
        {"advance": "6m"},
        ready("a/s", "192.0.2.3"),
        network("net/ext", allocated=1),
    ),
]  # fmt: skip

CASES = [*ORDER, *REQUESTS, *FULL, *QUOTAS, *SHARED, *ADOPTIONS, *WAITING]


@table(CASES)
def test_allocation(case: Case) -> None:
    play(case)
