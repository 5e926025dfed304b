"""Annotations of MetalLB and Cilium on Services, honoured if the setting ``foreignAnnotations`` says so."""

from __future__ import annotations

from tests.behaviour.play import Case, case, pending, play, ready, table
from tests.builders.objects import ADDRESSES, namespace, node, pool, service
from tests.support.simulate import apply

HONOUR = {"foreignAnnotations": True}
BASE = (namespace("a"), node("n1"), pool("p", "203.0.113.0/24", priority=1), pool("q", "198.51.100.0/24"))


def wishes(key: str, value: str, more: dict[str, str] | None = None) -> dict[str, object]:
    return apply(*BASE, service("a/s", {key: value, **(more or {})}))


CASES = [
    *(
        case(f"{key}-requests-an-address", wishes(key, "203.0.113.9"), ready("a/s", "203.0.113.9"), settings=HONOUR)
        for key in (
            "metallb.io/loadBalancerIPs",
            "metallb.universe.tf/loadBalancerIPs",
            "lbipam.cilium.io/ips",
            "io.cilium/lb-ipam-ips",
        )
    ),
    *(
        case(f"{key}-names-a-pool", wishes(key, "q"), ready("a/s", "198.51.100.0", network="pool/q"), settings=HONOUR)
        for key in ("metallb.io/address-pool", "metallb.universe.tf/address-pool")
    ),
    *(
        case(
            f"{key}-shares-an-address",
            apply(*BASE, service("a/s", {key: "k"}, port=80), service("a/t", {key: "k"}, port=81)),
            ready("a/s", "203.0.113.0"),
            ready("a/t", "203.0.113.0"),
            settings=HONOUR,
        )
        for key in (
            "metallb.io/allow-shared-ip",
            "metallb.universe.tf/allow-shared-ip",
            "lbipam.cilium.io/sharing-key",
            "io.cilium/lb-ipam-sharing-key",
        )
    ),
    case("off-they-mean-nothing", wishes("metallb.io/loadBalancerIPs", "203.0.113.9"), ready("a/s", "203.0.113.0")),
    case(
        "ours-take-precedence",
        wishes("metallb.io/loadBalancerIPs", "203.0.113.9", {ADDRESSES: "203.0.113.8"}),
        ready("a/s", "203.0.113.8"),
        settings=HONOUR,
    ),
    case(
        "the-newer-domain-takes-precedence",
        wishes("metallb.universe.tf/loadBalancerIPs", "203.0.113.9", {"metallb.io/loadBalancerIPs": "203.0.113.8"}),
        ready("a/s", "203.0.113.8"),
        settings=HONOUR,
    ),
    case(
        "what-does-not-parse-waits",
        wishes("lbipam.cilium.io/ips", "nine"),
        pending("a/s", "InvalidAnnotation"),
        settings=HONOUR,
    ),
    case(
        "an-edit-of-a-foreign-annotation-moves-as-one-of-ours",
        wishes("metallb.io/loadBalancerIPs", "203.0.113.9"),
        apply(service("a/s", {"metallb.io/loadBalancerIPs": "203.0.113.10"})),
        ready("a/s", "203.0.113.10"),
        settings=HONOUR,
    ),
]


@table(CASES)
def test_foreign_annotations(case: Case) -> None:
    play(case)
