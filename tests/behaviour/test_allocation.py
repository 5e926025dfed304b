"""Which address a Service gets: the order of preference, full networks, quotas."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    case,
    event,
    happened,
    moving,
    network,
    pending,
    play,
    ready,
    says,
    table,
    told,
)
from tests.behaviour.world import ext, world
from tests.builders.objects import ADDRESSES, DEFAULT_LABELS, SHARING, Object, aged, asks, dual, nad, namespace, service
from tests.support.simulate import apply, delete

SILENT = {"agents": "silent"}

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
        "of-addresses-that-are-free-equally-long-the-lowest",
        world(*(service(f"a/s{number:02}") for number in range(2, 15)), default=ext("192.0.2.0/28", quarantine="0s", lease="0s")),
        {"delete": [{"kind": "Service", "namespace": "a", "name": f"s{number:02}"} for number in (10, 9)]},
        apply(service("a/x")),
        ready("a/x", "192.0.2.9"),
    ),
    case(
        "free-addresses-go-before-those-leased-to-another-service",
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
        "a-strict-quarantine-is-never-cut-short-and-whoever-waits-is-served-when-it-ends",
        world(*FILLED, default=ext("192.0.2.0/29", strict="true")),
        *free(5, 3),
        apply(service("a/x")),
        pending("a/x", "NetworkFull"),
        says("a/x", "quarantine is strict", "192.0.2.5 is given out after"),
        {"advance": "4m59s"},
        pending("a/x", "NetworkFull"),
        {"advance": "1s"},
        ready("a/x", "192.0.2.5"),
        event("AddressAllocated", address="192.0.2.5", choice="leased-to-other"),
    ),
    case(
        "the-former-holder-gets-its-address-out-of-a-strict-quarantine",
        world(*FILLED, default=ext("192.0.2.0/29", strict="true")),
        *free(5),
        apply(service("a/s5")),
        ready("a/s5", "192.0.2.5"),
    ),
    case(
        "the-settings-make-every-quarantine-strict-and-a-network-says-otherwise",
        world(*FILLED, default=ext("192.0.2.0/29")),
        *free(5),
        apply(service("a/x")),
        pending("a/x", "NetworkFull"),
        apply(ext("192.0.2.0/29", strict="false")),
        ready("a/x", "192.0.2.5"),
        settings={"defaults": {"strictQuarantine": True}},
    ),
    case(
        "a-strict-quarantine-that-is-neither-true-nor-false-closes-the-network",
        world(service("a/x"), default=ext(strict="yes")),
        pending("a/x", "InvalidAnnotation"),
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
    case(
        "who-moves-off-a-shared-address-is-bound-by-the-quota",
        world(service("a/s", {SHARING: "k"}), service("a/t", {SHARING: "k"}, port=443), default=ext(quota="1")),
        apply(service("a/t", {SHARING: "k", ADDRESSES: "192.0.2.9"}, port=443)),
        moving("a/t", "192.0.2.2", reason="QuotaExceeded"),
        network("net/ext", allocated=1),
        delete("Service", "a/s"),
        ready("a/t", "192.0.2.9"),
        network("net/ext", allocated=1),
    ),
    case("a-request-is-bound-by-the-quota", world(service("a/s"), asks("a/t", "192.0.2.9"), default=ext(quota="1")), pending("a/t", "QuotaExceeded")),
]  # fmt: skip


WAITING = [
    case(
        "a-namespace-without-rights-does-not-hold-others-up",
        world(namespace("b", {"team": "z"}), service("a/s"), service("b/s"), default=nad("net/ext", labels=DEFAULT_LABELS, annotations={"ledgerlb.io/allowed-namespaces": "team=z"})),
        pending("a/s", "NetworkNotAllowed"),
        ready("b/s", "192.0.2.2"),
    ),
    case(
        "a-holder-that-loses-its-request-to-a-refusal-keeps-its-address",
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

CASES = [*ORDER, *FULL, *QUOTAS, *WAITING]


@table(CASES)
def test_allocation(case: Case) -> None:
    play(case)
