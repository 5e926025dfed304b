"""Networks, or their families, deleted and created again with other prefixes while Services hold addresses."""

from __future__ import annotations

from typing import Any

from tests.behaviour.play import Case, case, event, happened, moving, network, play, ready, table
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, NETWORK, QUOTA, SHARING, Object, by_vn, dual, nad, service
from tests.support.simulate import apply, delete

OLD, NEW = "198.51.100.0/24", "203.0.113.0/24"
V6, NEW_V6 = "2001:db8::/64", "2001:db8:1::/64"
GONE = delete("NetworkAttachmentDefinition", "net/x")


def on(name: str = "a/s", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return service(name, {NETWORK: "net/x", **(annotations or {})}, **spec)


CASES = [
    case(
        "a-network-made-again-with-another-prefix-moves-its-holder-and-serves-newcomers",
        world(nad("net/x", OLD), on()),
        ready("a/s", "198.51.100.2"),
        GONE,
        moving("a/s", "198.51.100.2", reason="NetworkNotFound"),
        apply(nad("net/x", NEW), on("a/t")),
        event("NetworkDefined", stranded=["198.51.100.2"]),
        ready("a/s", "203.0.113.2", network="net/x"),
        ready("a/t", "203.0.113.3"),
        network("net/x", size=253, allocated=2, problem=None),
    ),
    case(
        "a-virtual-network-made-again-narrower-keeps-whom-it-still-covers",
        world(*by_vn("net/x", OLD), on(), on("a/t", {ADDRESSES: "198.51.100.200"})),
        ready("a/t", "198.51.100.200"),
        delete("VirtualNetwork", "net/x"),
        apply(*by_vn("net/x", "198.51.100.0/25")),
        happened("AllocationRefused"),
        ready("a/s", "198.51.100.2"),
        moving("a/t", "198.51.100.200", reason="RequestedAddressOutsideNetwork"),
    ),
    case(
        "the-new-address-comes-first",
        world(nad("net/x", OLD), on()),
        GONE,
        {"agents": "silent"},
        apply(nad("net/x", NEW)),
        moving("a/s", "198.51.100.2", network="net/x", wanted="net/x", reason=None),
        {"agents": "normal"},
        ready("a/s", "203.0.113.2"),
        network("net/x", allocated=1),
    ),
    case(
        "where-the-new-network-is-full-the-old-address-stays",
        world(nad("net/x", OLD), on(), on("a/t")),
        GONE,
        apply(nad("net/x", "203.0.113.0/30")),
        ready("a/s", "203.0.113.2"),
        moving("a/t", "198.51.100.3", reason="NetworkFull"),
        delete("Service", "a/s"),
        ready("a/t", "203.0.113.2"),
    ),
    case(
        "a-move-to-the-new-prefix-counts-once-for-the-quota",
        world(nad("net/x", OLD, annotations={QUOTA: "1"}), on()),
        GONE,
        apply(nad("net/x", NEW, annotations={QUOTA: "1"})),
        ready("a/s", "203.0.113.2"),
    ),
    case(
        "who-shared-an-address-shares-the-new-one",
        world(nad("net/x", OLD), on("a/s", {SHARING: "k"}), on("a/t", {SHARING: "k"}, port=443)),
        ready("a/t", "198.51.100.2"),
        GONE,
        apply(nad("net/x", NEW)),
        ready("a/s", "203.0.113.2"),
        ready("a/t", "203.0.113.2"),
        network("net/x", allocated=1),
    ),
    case(
        "a-later-edit-of-the-prefix-is-refused-as-ever",
        world(nad("net/x", OLD), on()),
        GONE,
        apply(nad("net/x", NEW)),
        ready("a/s", "203.0.113.2"),
        apply(nad("net/x", OLD)),
        network("net/x", problem="PrefixChangeRefused"),
        ready("a/s", "203.0.113.2"),
    ),
    case(
        "a-family-that-comes-again-with-another-prefix-moves-who-needs-it",
        world(nad("net/x", OLD, V6), on()),
        apply(nad("net/x", None, V6)),
        moving("a/s", "198.51.100.2", reason="FamilyUnavailable"),
        apply(nad("net/x", NEW, V6)),
        ready("a/s", "203.0.113.2"),
        network("net/x", allocated=1),
    ),
    case(
        "a-family-that-comes-again-with-another-prefix-leaves-the-other-address-alone",
        world(nad("net/x", OLD, V6), dual("a/s", "PreferDualStack", {NETWORK: "net/x"})),
        apply(nad("net/x", OLD)),
        ready("a/s", "198.51.100.2", "2001:db8::2"),
        apply(nad("net/x", OLD, NEW_V6)),
        ready("a/s", "198.51.100.2", "2001:db8:1::2"),
    ),
    case(
        "a-network-that-went-while-a-change-was-refused-comes-again-with-that-change",
        world(nad("net/x", OLD), on("a/s", {ADDRESSES: "198.51.100.200"})),
        apply(nad("net/x", "198.51.100.0/25")),
        network("net/x", problem="PrefixChangeRefused"),
        GONE,
        apply(nad("net/x", "198.51.100.0/25"), on()),
        ready("a/s", "198.51.100.2"),
        network("net/x", problem=None, size=125),
    ),
]


@table(CASES)
def test_made_again(case: Case) -> None:
    play(case)
