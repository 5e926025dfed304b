"""Objects that are larger than a record of the log: they are shown with what was cut, and a holder goes on."""

from __future__ import annotations

from tests.behaviour.play import Case, absent, case, forwards, happened, ignored, pending, play, ready, says, table
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, NETWORK, Object, backends, nad, service
from tests.support.simulate import apply, delete

HUGE = "ledgerlb.io/sharing-key"
"""An annotation that a fact keeps."""


def grown(one: Object) -> Object:
    return {**one, "metadata": {**one["metadata"], "annotations": {HUGE: "x" * (1 << 20)}}}


CASES = [
    case(
        "a-newcomer-that-is-too-large-says-what-was-cut",
        world(grown(service("a/s")), service("a/t")),
        pending("a/s", "ObjectTooLarge"),
        says("a/s", "Service a/s is too large", "annotations"),
        ready("a/t", "192.0.2.2"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.3"),
    ),
    case(
        "a-holder-that-grows-keeps-its-address-and-its-last-good-terms",
        world(service("a/s", {ADDRESSES: "192.0.2.9"}, port=8443), backends("a/s", n1=["10.1.0.1"])),
        apply(grown(service("a/s", {ADDRESSES: "192.0.2.10"}, port=81))),
        happened(),
        ready("a/s", "192.0.2.9", reason="ObjectTooLarge"),
        forwards("192.0.2.9", services=("a/s",)),
        apply(service("a/s", {ADDRESSES: "192.0.2.9"}, port=81)),
        happened("HoldingChanged"),
        ready("a/s", "192.0.2.9"),
    ),
    case(
        "a-holder-that-grew-is-released-when-it-is-deleted",
        world(service("a/s")),
        apply(grown(service("a/s"))),
        delete("Service", "a/s"),
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
    ),
    case(
        "a-newcomer-that-is-too-large-is-forgotten-when-it-is-deleted",
        world(grown(service("a/s"))),
        delete("Service", "a/s"),
        happened(),
        absent("a/s"),
    ),
    case(
        "another-object-of-the-name-does-not-inherit-the-terms",
        world(service("a/s", {ADDRESSES: "192.0.2.9"})),
        delete("Service", "a/s"),
        apply(grown(service("a/s"))),
        pending("a/s", "ObjectTooLarge"),
    ),
    case(
        "what-is-no-load-balancer-stays-ignored",
        world(grown(service("a/s", type="ClusterIP"))),
        ignored("a/s"),
    ),
    case(
        "a-network-that-is-too-large-names-itself",
        world(grown(nad("net/x", "198.51.100.0/24")), service("a/s", {NETWORK: "net/x"})),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "is too large"),
    ),
]  # fmt: skip


@table(CASES)
def test_too_large(case: Case) -> None:
    play(case)
