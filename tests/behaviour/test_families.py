"""Which families a Service gets: the API server's answer where there is one, else the wish of the manifest."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import Case, case, happened, moving, network, pending, play, ready, table
from tests.behaviour.world import ext, world
from tests.builders.objects import ADDRESSES, NETWORK, Object, aged, nad, service
from tests.support.simulate import apply

FOUR: Final = "192.0.2.2"
SIX: Final = "2001:db8::2"
BOTH = ext(v6="2001:db8::/64")
IN_CLUSTER: Final = {"IPv4": "10.96.5.5", "IPv6": "fd00:96::5"}


def answered(policy: str | None, *families: str, annotations: Any = None, **spec: Any) -> Object:
    """A Service as an API server returns it: with cluster addresses of its families."""
    addresses = [IN_CLUSTER[family] for family in families]
    shown = {"clusterIP": addresses[0], "clusterIPs": addresses, "ipFamilies": list(families), **spec}
    return service("a/s", annotations, **shown, **({"ipFamilyPolicy": policy} if policy else {}))


def wished(policy: str | None, *families: str, annotations: Any = None, **spec: Any) -> Object:
    """A Service as a person writes it: without cluster addresses."""
    fields: Object = {"ipFamilies": list(families)} if families else {}
    return service("a/s", annotations, **fields, **spec, **({"ipFamilyPolicy": policy} if policy else {}))


ANSWERED = [
    case("a-single-stack-cluster-leaves-one-ipv4-family", world(answered("PreferDualStack", "IPv4"), default=BOTH), ready("a/s", FOUR), network("net/ext", allocated=1)),
    case("a-single-stack-cluster-leaves-one-ipv6-family", world(answered("PreferDualStack", "IPv6"), default=BOTH), ready("a/s", SIX), network("net/ext", allocated=1)),
    case("the-policy-adds-no-family-to-the-answer", world(answered("RequireDualStack", "IPv4"), default=BOTH), ready("a/s", FOUR)),
    case("cluster-addresses-of-both-families-give-both", world(answered("PreferDualStack", "IPv6", "IPv4"), default=BOTH), ready("a/s", SIX, FOUR)),
    case("preferring-both-takes-what-a-network-of-one-family-has", world(answered("PreferDualStack", "IPv6", "IPv4")), ready("a/s", FOUR)),
    case("requiring-both-waits-on-a-network-of-one-family", world(answered("RequireDualStack", "IPv4", "IPv6")), pending("a/s", "FamilyUnavailable")),
    case("one-answered-family-waits-on-a-network-of-the-other", world(answered("PreferDualStack", "IPv6")), pending("a/s", "FamilyUnavailable")),
    case("cluster-addresses-alone-tell-the-families", world(service("a/s", clusterIP="fd00:96::5", clusterIPs=["fd00:96::5"]), default=BOTH), ready("a/s", SIX)),
    case("a-cluster-address-that-a-person-pins-leaves-the-policy-its-say", world(wished("PreferDualStack", clusterIP="10.96.5.5"), default=BOTH), ready("a/s", FOUR, SIX)),
    case("a-request-for-a-family-outside-the-answer-is-refused", world(answered("PreferDualStack", "IPv4", annotations={ADDRESSES: SIX}), default=BOTH), pending("a/s", "FamilyUnavailable")),
    case(
        "a-cluster-that-becomes-dual-stack-adds-the-family-and-moves-nobody",
        world(answered("PreferDualStack", "IPv4"), default=aged(BOTH, "03")),
        ready("a/s", FOUR),
        apply(aged(nad("net/older", "198.51.100.0/24", "2001:db8:5::/64", labels=BOTH["metadata"]["labels"]), "01")),
        apply(answered("PreferDualStack", "IPv4", "IPv6")),
        ready("a/s", FOUR, SIX, network="net/ext"),
    ),
    case(
        "a-family-that-the-answer-drops-is-released",
        world(answered("PreferDualStack", "IPv4", "IPv6"), default=BOTH),
        ready("a/s", FOUR, SIX),
        apply(answered("SingleStack", "IPv4")),
        ready("a/s", FOUR),
        network("net/ext", allocated=1),
    ),
]  # fmt: skip

WISHED = [
    case("two-families-without-a-policy-take-what-the-network-has", world(wished(None, "IPv4", "IPv6")), ready("a/s", FOUR)),
    case("two-families-without-a-policy-take-the-second-where-only-it-is-there", world(wished(None, "IPv4", "IPv6", annotations={NETWORK: "net/six"}), nad("net/six", None, "2001:db8::/64")), ready("a/s", SIX)),
    case("two-families-without-a-policy-get-both-in-order", world(wished(None, "IPv6", "IPv4"), default=BOTH), ready("a/s", SIX, FOUR)),
    case("two-families-without-a-policy-gain-the-second-with-the-network", world(wished(None, "IPv4", "IPv6")), ready("a/s", FOUR), apply(BOTH), ready("a/s", FOUR, SIX), happened("AddressAllocated")),
    case("two-families-that-are-required-wait", world(wished("RequireDualStack", "IPv4", "IPv6")), pending("a/s", "FamilyUnavailable")),
    case("two-families-with-single-stack-get-the-first", world(wished("SingleStack", "IPv6", "IPv4"), default=BOTH), ready("a/s", SIX)),
    case("one-family-without-a-policy-gets-that-one", world(wished(None, "IPv6"), default=BOTH), ready("a/s", SIX)),
    case("nothing-said-gets-ipv4", world(wished(None), default=BOTH), ready("a/s", FOUR)),
    case("a-policy-alone-prefers-ipv4-first", world(wished("PreferDualStack"), default=BOTH), ready("a/s", FOUR, SIX)),
    case(
        "requiring-both-later-waits-and-keeps-the-address",
        world(wished(None, "IPv4", "IPv6")),
        apply(wished("RequireDualStack", "IPv4", "IPv6")),
        moving("a/s", FOUR, reason="FamilyUnavailable"),
    ),
]  # fmt: skip


@table([*ANSWERED, *WISHED])
def test_families(case: Case) -> None:
    play(case)
