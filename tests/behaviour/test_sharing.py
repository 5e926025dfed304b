"""Services of one namespace with one sharing key and disjoint ports share an address."""

from __future__ import annotations

from typing import Any

from tests.behaviour.play import (
    Case,
    absent,
    case,
    condition,
    happened,
    moving,
    network,
    pending,
    play,
    ready,
    says,
    table,
)
from tests.behaviour.world import ext, world
from tests.builders.objects import (
    ADDRESSES,
    DEFAULT_LABELS,
    FORCE,
    SHARING,
    Object,
    aged,
    asks,
    backends,
    dual,
    nad,
    port,
    service,
)
from tests.support.simulate import apply, delete

SILENT = {"agents": "silent"}


def sharing(name: str, key: str = "k", number: int = 80, *addresses: str, protocol: str = "TCP") -> Object:
    annotations = {SHARING: key, **({ADDRESSES: ",".join(addresses)} if addresses else {})}
    return service(name, annotations, ports=[port(number, protocol)])


def local(
    name: str, number: int = 80, pods: str | None = "web", *, policy: str = "Local", key: str = "k", **spec: Any
) -> Object:
    """A Service that shares under a key, with this traffic policy and these pods (None: no selector)."""
    selector = {"app": pods} if pods is not None else {}
    return service(name, {SHARING: key}, ports=[port(number)], externalTrafficPolicy=policy, selector=selector, **spec)


CASES = [
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
        "an-address-excluded-since-is-not-joined",
        world(sharing("a/s")),
        apply(ext(exclude="192.0.2.2")),
        apply(sharing("a/t", number=443)),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        apply(sharing("a/u", number=22)),
        ready("a/u", "192.0.2.3"),
    ),
    case(
        "an-address-that-a-refused-shrink-would-cut-off-is-not-joined",
        world(sharing("a/s", "k", 80, "192.0.2.200")),
        apply(ext("192.0.2.0/25")),
        apply(sharing("a/t", number=443)),
        ready("a/t", "192.0.2.2"),
    ),
    case(
        "a-stranded-address-is-not-joined",
        world(sharing("a/s", "k", 80, "192.0.2.200")),
        apply(nad("net/ext", "192.0.2.0/25", labels=DEFAULT_LABELS, annotations={FORCE: "192.0.2.0/25"})),
        apply(sharing("a/t", number=443)),
        ready("a/s", "192.0.2.200"),
        ready("a/t", "192.0.2.2"),
    ),
    case(
        "two-that-change-their-key-together-share-their-new-address",
        world(sharing("a/s"), sharing("a/t", number=443)),
        apply(sharing("a/s", "j"), sharing("a/t", "j", 443)),
        ready("a/s", "192.0.2.3"),
        ready("a/t", "192.0.2.3"),
        network("net/ext", allocated=1, quarantined=1),
    ),
    case(
        "a-shared-address-whose-release-began-is-not-joined",
        world(sharing("a/s")),
        SILENT,
        delete("Service", "a/s"),
        apply(sharing("a/t", number=443)),
        ready("a/t", "192.0.2.3"),
    ),
    # externalTrafficPolicy Local
    case("local-services-of-the-same-pods-share", world(local("a/s"), local("a/t", 443)), ready("a/s", "192.0.2.2"), ready("a/t", "192.0.2.2")),
    case(
        "local-services-of-other-pods-do-not-share",
        world(local("a/s"), local("a/t", 443, "mail")),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        says("a/t", "192.0.2.2", "a/s", "Local"),
        condition("a/t", "ledgerlb.io/AddressAllocated", status="True", reason="AddressAllocated"),
    ),
    case("one-local-service-of-two-is-enough-to-keep-them-apart", world(local("a/s", policy="Cluster"), local("a/t", 443, "mail")), ready("a/t", "192.0.2.3")),
    case("a-local-service-that-came-first-keeps-others-apart-too", world(local("a/s"), local("a/t", 443, "mail", policy="Cluster")), ready("a/t", "192.0.2.3")),
    case("one-local-service-of-two-with-the-same-pods-share", world(local("a/s", policy="Cluster"), local("a/t", 443)), ready("a/t", "192.0.2.2")),
    case("without-local-other-pods-are-fine", world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster")), ready("a/t", "192.0.2.2")),
    case("local-services-without-a-selector-do-not-share", world(local("a/s", pods=None), local("a/t", 443, None)), ready("a/t", "192.0.2.3"), says("a/t", "Local")),
    case("a-local-service-needs-all-holders-to-fit", world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster"), local("a/u", 22)), ready("a/t", "192.0.2.2"), ready("a/u", "192.0.2.3")),
    case("the-own-address-of-a-local-service-is-shared-under-the-same-key", world(local("a/s"), local("a/t", 443, "mail"), local("a/u", 22, "mail")), ready("a/u", "192.0.2.3"), network("net/ext", allocated=2)),
    case(
        "a-request-to-join-a-local-service-of-other-pods",
        world(sharing("a/s", "k", 80, "192.0.2.9")),
        apply(service("a/t", {SHARING: "k", ADDRESSES: "192.0.2.9"}, 443, externalTrafficPolicy="Local", selector={"app": "mail"})),
        pending("a/t", "SharingConflict"),
        says("a/t", "Local", "a/s"),
    ),
    case(
        "pods-that-come-and-go-move-nobody",
        world(local("a/s"), local("a/t", 443)),
        apply(backends("a/s", n1=["10.1.0.1"])),
        happened(),
        delete("EndpointSlice", "a/s-1"),
        happened(),
        ready("a/t", "192.0.2.2"),
    ),
    case(
        "who-becomes-local-moves",
        world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster")),
        apply(local("a/s")),
        ready("a/s", "192.0.2.3"),
        ready("a/t", "192.0.2.2"),
        says("a/s", "Local"),
    ),
    case(
        "who-came-later-and-becomes-local-moves-too",
        world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster")),
        apply(local("a/t", 443, "mail")),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
    ),
    case(
        "who-selects-other-pods-moves",
        world(local("a/s"), local("a/t", 443)),
        apply(local("a/s", pods="mail")),
        ready("a/s", "192.0.2.3"),
        ready("a/t", "192.0.2.2"),
    ),
    case(
        "of-two-that-become-local-together-one-moves",
        world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster")),
        apply(local("a/s"), local("a/t", 443, "mail")),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        network("net/ext", allocated=2),
    ),
    case(
        "who-becomes-local-in-a-full-network-stays-and-the-other-too",
        world(local("a/s", policy="Cluster"), local("a/t", 443, "mail", policy="Cluster"), default=ext("192.0.2.0/30")),
        apply(local("a/s")),
        moving("a/s", "192.0.2.2", reason="NetworkFull"),
        ready("a/t", "192.0.2.2"),
        apply(local("a/s", policy="Cluster")),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "the-message-goes-with-the-other-service",
        world(local("a/s"), local("a/t", 443, "mail")),
        says("a/t", "Local"),
        delete("Service", "a/s"),
        ready("a/t", "192.0.2.3", message=""),
        condition("a/t", "ledgerlb.io/AddressAllocated", message="192.0.2.3 of net/ext"),
    ),
    case(
        "two-local-services-that-show-one-address-do-not-both-adopt-it",
        world(*({**local(f"a/{name}", number, pods), "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}} for name, number, pods in (("s", 80, "web"), ("t", 443, "mail")))),
        ready("a/s", "192.0.2.9"),
        ready("a/t", "192.0.2.2"),
    ),
    # A new key alone
    case(
        "a-new-key-keeps-the-network-whatever-older-one-would-match-now",
        world(service("a/s")),
        apply(aged(nad("net/old", "10.0.0.0/24", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "192.0.2.2", network="net/ext"),
        apply(sharing("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext"),
        apply(sharing("a/s", "j")),
        ready("a/s", "192.0.2.2", network="net/ext"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext"),
    ),
    case(
        "a-new-key-of-who-shares-moves-within-its-network",
        world(sharing("a/s"), sharing("a/t", number=443)),
        apply(aged(nad("net/old", "10.0.0.0/24", labels=DEFAULT_LABELS), "01")),
        apply(sharing("a/t", "j", 443)),
        ready("a/t", "192.0.2.3", network="net/ext"),
    ),
]  # fmt: skip


@table(CASES)
def test_sharing(case: Case) -> None:
    play(case)
