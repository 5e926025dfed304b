"""Addresses inside a network that the cluster itself uses: never given out, and named in a warning of the network."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import (
    Case,
    Look,
    Moment,
    absent,
    case,
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
from tests.builders.objects import ADDRESSES, NETWORK, Object, asks, made, nad, node, service
from tests.support.simulate import apply, delete

V6: Final = "2001:db8::/64"
SIX: Final = {"ipFamilies": ["IPv6"]}
NOTHING = network("net/ext", warning=None)


def carrying(*pod_cidrs: str, single: str = "") -> Object:
    """Node n2 with these podCIDRs."""
    spec: Object = {"podCIDRs": list(pod_cidrs)} if pod_cidrs else {}
    return made("Node", "n2", spec={**spec, **({"podCIDR": single} if single else {})})


def typed(kind: str, address: str) -> Object:
    return made("Node", "n2", status={"addresses": [{"type": kind, "address": address}]})


def internal(*addresses: str, name: str = "a/other") -> Object:
    """A Service of type ClusterIP."""
    return service(name, type="ClusterIP", clusterIP=addresses[0], clusterIPs=list(addresses))


def warns(*parts: str) -> Look:
    """The warning of ``net/ext`` names all of this."""

    def look(moment: Moment) -> None:
        warning = moment.step["networks"]["net/ext"]["warning"]
        assert warning is not None
        assert all(part in warning for part in parts), warning

    return look


def skipping(name: str, user: Object, first: str, *parts: str, default: Object | None = None, **spec: Any) -> Case:
    """The first Service gets ``first``, because ``user`` uses what comes before; the warning names ``parts``."""
    return case(name, world(user, service("a/s", **spec), default=default or ext()), ready("a/s", first), warns(*parts))


USERS = [
    skipping("an-internal-address-of-a-node", node("n2", "192.0.2.2"), "192.0.2.3", "192.0.2.2 (address of Node n2)"),
    skipping("an-external-address-of-a-node", typed("ExternalIP", "192.0.2.2"), "192.0.2.3", "192.0.2.2 (address of Node n2)"),
    skipping("a-link-to-one-family-only", node("n2", "192.0.2.2", "2001:db8::2"), "2001:db8::3", "2001:db8::2 (address of Node n2)", "192.0.2.2", default=ext(v6=V6), **SIX),
    skipping("the-pod-cidr-of-a-node", carrying(single="192.0.2.0/28"), "192.0.2.16", "192.0.2.0-192.0.2.15 (podCIDR of Node n2)"),
    skipping("every-pod-cidr-of-a-node", carrying("192.0.2.0/28", "2001:db8::/112"), "2001:db8::1:0", "192.0.2.0-192.0.2.15", "2001:db8::-2001:db8::ffff", default=ext(v6=V6), **SIX),
    skipping("the-cluster-address-of-a-service", internal("192.0.2.2"), "192.0.2.3", "192.0.2.2 (ClusterIP of Service a/other)"),
    skipping("both-cluster-addresses-of-a-service", internal("192.0.2.2", "2001:db8::2"), "2001:db8::3", "2001:db8::2 (ClusterIP of Service a/other)", default=ext(v6=V6), **SIX),
    skipping("its-own-cluster-address", internal("192.0.2.9"), "192.0.2.3", "192.0.2.2 (ClusterIP of Service a/s)", clusterIP="192.0.2.2", clusterIPs=["192.0.2.2"]),
    case("a-pod-cidr-around-the-network-leaves-nothing", world(carrying("192.0.0.0/16"), service("a/s")), pending("a/s", "NetworkFull"), network("net/ext", size=0), warns("192.0.2.0-192.0.2.255 (podCIDR of Node n2)")),
    case("a-host-name-uses-nothing", world(typed("Hostname", "n2.example"), service("a/s")), ready("a/s", "192.0.2.2"), NOTHING),
    case("a-pod-cidr-that-is-none-uses-nothing", world(carrying("10.1.0.0"), carrying("nonsense"), service("a/s")), ready("a/s", "192.0.2.2"), NOTHING),
    case("a-headless-service-uses-nothing", world(service("a/other", type="ClusterIP", clusterIP="None"), service("a/s")), ready("a/s", "192.0.2.2"), NOTHING),
    case("what-is-outside-the-network-changes-nothing", world(service("a/s")), NOTHING, apply(node("n2", "10.10.0.2"), internal("10.96.0.77")), happened(), NOTHING),
    case("gaps-between-uses-are-filled", world(node("n2", "192.0.2.2"), node("n3", "192.0.2.4"), internal("192.0.2.5"), *(service(f"a/s{at}") for at in range(3))), ready("a/s0", "192.0.2.3"), ready("a/s1", "192.0.2.6"), ready("a/s2", "192.0.2.7")),
    case("two-users-of-one-address-are-both-told", world(node("n2", "192.0.2.2"), node("n3", "192.0.2.2"), service("a/s")), ready("a/s", "192.0.2.3"), warns("192.0.2.2 (address of Node n2 and 1 more)")),
    case("one-of-two-users-goes", world(node("n2", "192.0.2.2"), node("n3", "192.0.2.2")), delete("Node", "n2"), warns("192.0.2.2 (address of Node n3)"), apply(service("a/s")), ready("a/s", "192.0.2.3")),
    case("many-uses-are-counted", world(*(node(f"m{at}", f"192.0.2.{at}") for at in range(10, 20))), warns("192.0.2.10", "192.0.2.14", "and 5 more")),
]  # fmt: skip

REQUESTS = [
    *(
        case(f"a-request-for-{name}-is-refused", world(user, asks("a/s", address, **spec), default=ext(v6=V6)), pending("a/s", "RequestedAddressReserved"), says("a/s", address, "in use by the cluster"))
        for name, user, address, spec in (
            ("a-nodes-address", node("n2", "192.0.2.50"), "192.0.2.50", {}),
            ("an-address-of-a-pod-cidr", carrying("192.0.2.64/26"), "192.0.2.99", {}),
            ("a-cluster-address", internal("192.0.2.50"), "192.0.2.50", {}),
            ("an-ipv6-address-of-a-node", node("n2", "2001:DB8::50"), "2001:db8::50", SIX),
        )
    ),
    case(
        "a-request-is-served-when-the-address-is-free-again",
        world(node("n2", "192.0.2.50"), asks("a/s", "192.0.2.50")),
        pending("a/s", "RequestedAddressReserved"),
        delete("Node", "n2"),
        ready("a/s", "192.0.2.50"),
        NOTHING,
    ),
    case(
        "a-request-is-served-when-the-node-takes-another-address",
        world(node("n2", "192.0.2.50"), asks("a/s", "192.0.2.50")),
        apply(node("n2", "192.0.2.51")),
        ready("a/s", "192.0.2.50"),
        warns("192.0.2.51"),
    ),
    case(
        "an-address-that-the-status-shows-is-not-taken-over",
        world(node("n2", "192.0.2.50"), {**service("a/s"), "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.50"}]}}}),
        ready("a/s", "192.0.2.2"),
        told("AdoptionRefused", about="Service a/s"),
    ),
]  # fmt: skip

HOLDERS = [
    *(
        case(
            f"a-holder-keeps-the-address-that-{name}-takes",
            world(service("a/s")),
            ready("a/s", "192.0.2.2"),
            apply(user),
            ready("a/s", "192.0.2.2"),
            warns(told_as),
            apply(asks("a/t", "192.0.2.2")),
            pending("a/t", "RequestedAddressReserved"),
        )
        for name, user, told_as in (("a-node", node("n2", "192.0.2.2"), "192.0.2.2"), ("a-pod-cidr", carrying("192.0.2.0/29"), "192.0.2.0-192.0.2.7"), ("a-service", internal("192.0.2.2"), "192.0.2.2"))
    ),
    case(
        "an-address-that-came-into-use-is-not-given-out-again",
        world(service("a/s"), default=ext("192.0.2.0/29", quarantine="0s", lease="0s")),
        apply(node("n2", "192.0.2.2")),
        delete("Service", "a/s"),
        absent("a/s"),
        apply(service("a/t")),
        ready("a/t", "192.0.2.3"),
    ),
    case("the-network-tells-it-in-an-event", world(node("n2", "192.0.2.2")), told("AddressesInUse", about="NetworkAttachmentDefinition net/ext")),
    case("a-change-of-users-is-told-too", world(node("n2", "192.0.2.2")), apply(internal("192.0.2.9")), told("AddressesInUse", about="NetworkAttachmentDefinition net/ext"), warns("192.0.2.2", "192.0.2.9")),
    case(
        "each-network-names-its-own",
        world(node("n2", "198.51.100.9"), nad("net/x", "198.51.100.0/24"), service("a/s", {NETWORK: "net/x", ADDRESSES: "198.51.100.9"})),
        pending("a/s", "RequestedAddressReserved"),
        NOTHING,
    ),
]  # fmt: skip


@table([*USERS, *REQUESTS, *HOLDERS])
def test_in_use(case: Case) -> None:
    play(case)
