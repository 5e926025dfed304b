"""Which Nodes are next hops: the exclusion label, usable InternalIPs, and endpoints on the host network."""

from __future__ import annotations

from typing import Final

from tests.behaviour.play import Case, Look, Moment, case, happened, play, ready, table
from tests.behaviour.world import ext, world
from tests.builders.objects import Object, endpoint, made, node, pod, service, slice_of
from tests.support.simulate import apply, delete

VIP: Final = "192.0.2.2"
SIX: Final = "2001:db8::2"
LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
S = service("a/s")
S6 = service("a/s", ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack")
BY_HAND = service("a/s", selector=None)


def labelled(value: str) -> Object:
    return node("n2", "10.10.0.2", labels={LABEL: value})


def on(name: str, address: str = "10.2.0.1") -> Object:
    return slice_of("a/s", endpoint(address, name))


def on_six(name: str) -> Object:
    return slice_of("a/s", endpoint("fd02::1", name), family="IPv6")


def addressed(*addresses: tuple[str, str]) -> Object:
    """Node n2 with these (type, address) pairs."""
    return made("Node", "n2", status={"addresses": [{"type": kind, "address": text} for kind, text in addresses]})


def hops_are(*names: str, address: str = VIP) -> Look:
    def look(moment: Moment) -> None:
        assert sorted(moment.step["services"]["a/s"]["path_set"][address]) == sorted(names)

    return look


def via(address: str, **nodes: str) -> Look:
    def look(moment: Moment) -> None:
        found = moment.path_set(address)
        assert found is not None
        assert {hop.node: hop.via for hop in found.next_hops} == nodes

    return look


def unserved(*parts: str, address: str = VIP) -> Look:
    """The path set says that the Service has no usable backend, and names all of this; nothing at all without parts."""

    def look(moment: Moment) -> None:
        found = moment.path_set(address)
        assert found is not None
        assert [(one.service, one.reason) for one in found.unserved] == [("a/s", "NoUsableBackend")] * bool(parts)
        assert all(part in found.unserved[0].message for part in parts)

    return look


LABELS = [
    *(
        case(f"the-exclusion-label-{value}-excludes-no-node", world(labelled(value), S, on("n2")), hops_are("n2"))
        for value in ("false", "False", "FALSE", "fAlSe")
    ),
    *(
        case(f"the-exclusion-label-{value or 'without-a-value'}-excludes-the-node", world(labelled(value), S, on("n2")), hops_are(), unserved("node n2 is excluded"))
        for value in ("", "true", "no", "0", "f", "falsey")
    ),
    case(
        "a-node-that-is-labelled-later-leaves-at-once-and-comes-back",
        world(node("n2", "10.10.0.2"), S, on("n2")),
        hops_are("n2"),
        apply(labelled("")),
        hops_are(),
        happened(),
        apply(labelled("False")),
        hops_are("n2"),
        unserved(),
    ),
]  # fmt: skip

ADDRESSES = [
    case("a-node-that-does-not-exist-is-no-next-hop", world(S, on("gone")), ready("a/s", VIP), hops_are(), unserved("node gone does not exist")),
    case("a-node-that-comes-later-becomes-a-next-hop", world(S, on("n2")), hops_are(), apply(node("n2", "10.10.0.2")), via(VIP, n2="10.10.0.2"), unserved()),
    case("a-node-that-goes-is-no-next-hop-any-more", world(node("n2", "10.10.0.2"), S, slice_of("a/s", endpoint("10.2.0.1", "n2"), endpoint("10.1.0.1"))), delete("Node", "n2"), hops_are("n1"), unserved()),
    case("a-node-without-a-status-is-no-next-hop", world(made("Node", "n2"), S, on("n2")), hops_are(), unserved("no usable InternalIP of IPv4")),
    *(
        case(f"an-address-of-type-{kind}-is-no-internal-one", world(addressed((kind, "10.10.0.2")), S, on("n2")), hops_are())
        for kind in ("ExternalIP", "Hostname", "InternalDNS")
    ),
    *(
        case(f"an-internal-address-{name}-is-not-usable", world(addressed(("InternalIP", text)), S, on("n2")), hops_are(), unserved("no usable InternalIP"))
        for name, text in (
            ("that-is-loopback", "127.0.0.1"), ("that-is-unspecified", "0.0.0.0"), ("that-is-link-local", "169.254.7.7"),
            ("that-is-multicast", "224.0.0.9"), ("that-is-broadcast", "255.255.255.255"), ("that-is-a-name", "node-2.example"), ("that-is-empty", ""),
            ("of-the-other-family", "fd10::2"), ("that-is-ipv4-mapped", "::ffff:10.10.0.2"),
        )
    ),
    *(
        case(f"an-internal-ipv6-address-{name}-is-not-usable", world(addressed(("InternalIP", text)), S6, on_six("n2"), default=ext(v6="2001:db8::/64")), hops_are(address=SIX), unserved("of IPv6", address=SIX))
        for name, text in (("that-is-link-local", "fe80::2"), ("that-is-loopback", "::1"), ("that-is-ipv4-mapped", "::ffff:10.10.0.2"), ("of-the-other-family", "10.10.0.2"))
    ),
    case("the-first-usable-internal-address-of-the-family-counts", world(addressed(("InternalIP", "fe80::2"), ("InternalIP", "FD10:0::2"), ("InternalIP", "127.0.0.1"), ("ExternalIP", "198.51.100.2"), ("InternalIP", "10.10.0.2"), ("InternalIP", "10.10.0.3")), S, on("n2")), via(VIP, n2="10.10.0.2")),
    case("an-ipv6-address-is-spelled-canonically", world(addressed(("InternalIP", "fe80::2"), ("InternalIP", "FD10:0::2")), S6, on_six("n2"), default=ext(v6="2001:db8::/64")), via(SIX, n2="fd10::2")),
    case(
        "draining-backends-serve-when-the-ready-ones-are-on-unusable-nodes",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.2.0.1", "gone"))),
        hops_are("n1"),
        unserved(),
    ),
    case("one-usable-backend-is-enough", world(S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.2.0.1", "gone"))), hops_are("n1"), unserved()),
    case("every-cause-is-named", world(labelled(""), S, slice_of("a/s", endpoint("10.2.0.1", "n2"), endpoint("10.2.0.2", "gone"), endpoint("10.2.0.3", ""))), unserved("node gone does not exist", "node n2 is excluded", "no pod or node is known for 1 endpoint(s): 10.2.0.3")),
    case("backends-that-are-not-ready-are-not-missed", world(S, slice_of("a/s", endpoint("10.2.0.1", "gone", ready=False, serving=False))), hops_are(), unserved()),
    case("a-service-without-endpoints-misses-none", world(S), hops_are(), unserved()),
]  # fmt: skip

HOST_NETWORK = [
    case("a-hand-written-endpoint-at-a-nodes-address-is-on-that-node", world(node("n2", "10.10.0.2"), BY_HAND, on("", "10.10.0.2")), hops_are("n2"), unserved()),
    case("an-endpoint-at-a-nodes-address-is-there-whatever-node-it-names", world(node("n2", "10.10.0.2"), S, on("n1", "10.10.0.2")), hops_are("n2")),
    case("an-endpoint-at-any-of-a-nodes-addresses-is-on-that-node", world(node("n2", "10.10.0.2", "10.11.0.2"), BY_HAND, on("", "10.11.0.2")), via(VIP, n2="10.10.0.2")),
    case("an-ipv6-endpoint-at-a-nodes-address-is-on-that-node", world(node("n2", "10.10.0.2", "FD10::2"), service("a/s", selector=None, ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"), slice_of("a/s", endpoint("fd10:0:0::2", ""), family="IPv6"), default=ext(v6="2001:db8::/64")), via(SIX, n2="fd10::2")),
    case("a-pod-on-the-host-network-is-on-the-node-that-has-its-address", world(node("n2", "10.10.0.2"), S, pod("a/p", "10.10.0.2", on="n2"), slice_of("a/s", endpoint("10.10.0.2", "", of="a/p"))), hops_are("n2")),
    case("an-excluded-node-has-no-host-network-endpoints", world(labelled(""), BY_HAND, on("", "10.10.0.2")), hops_are(), unserved("node n2 is excluded")),
    case(
        "an-endpoint-follows-the-address-from-node-to-node",
        world(node("n2", "10.10.0.2"), node("n3", "10.10.0.3"), BY_HAND, on("", "10.10.0.2")),
        hops_are("n2"),
        apply(node("n2", "10.10.0.9")),
        hops_are(),
        apply(node("n3", "10.10.0.2")),
        hops_are("n3"),
    ),
    case("two-nodes-with-one-address-leave-it-to-the-endpoint", world(node("n2", "10.10.0.2"), node("n3", "10.10.0.2"), S, on("n3", "10.10.0.2")), hops_are("n3")),
    case(
        "a-secondary-interface-with-a-nodes-address-is-where-its-pod-is",
        world(
            node("n2", "172.16.0.9"), BY_HAND, on("", "172.16.0.9"),
            pod("a/p", "10.1.0.1", status=[{"name": "pods", "ips": ["10.1.0.1"], "default": True}, {"name": "net/ext", "ips": ["172.16.0.9"]}]),
        ),
        hops_are("n1"),
    ),
]  # fmt: skip


@table([*LABELS, *ADDRESSES, *HOST_NETWORK])
def test_nodes(case: Case) -> None:
    play(case)
