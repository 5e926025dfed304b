"""``ledgerlb.io/reselect``: the annotation moves a Service whose network differs from a fresh choice."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    absent,
    case,
    happened,
    moving,
    network,
    pending,
    play,
    ready,
    says,
    table,
)
from tests.behaviour.test_changes import MOVED, NORMAL, SILENT, TO_TWO, TWO, drifts, published_in_order
from tests.behaviour.world import world
from tests.builders.objects import ALLOWED, DEFAULT_LABELS, nad, namespace, service
from tests.support.simulate import apply, delete

RESELECT = "ledgerlb.io/reselect"
NOW = {RESELECT: "2026-11-17T14:00:00Z"}
LATER = {RESELECT: "2026-11-17T15:00:00Z"}
A_TO_TWO = namespace("a", annotations=TO_TWO)
A_TO_NONE = namespace("a")
KEPT = ready("a/s", "192.0.2.2", network="net/ext", wanted="net/ext")

CASES = [
    case(
        "a-drifted-service-moves-new-address-first",
        world(TWO, service("a/s")),
        apply(A_TO_TWO),
        KEPT,
        drifts(),
        apply(service("a/s", NOW)),
        happened(*MOVED),
        published_in_order("192.0.2.2", "198.51.100.2"),
        ready("a/s", "198.51.100.2", network="net/two", rung="namespace-annotation:externalNetwork"),
        drifts(status="False"),
        network("net/ext", allocated=0, quarantined=1),
    ),
    case(
        "the-old-address-is-let-go-only-when-the-new-one-is-programmed",
        world(TWO, service("a/s")),
        apply(A_TO_TWO),
        SILENT,
        apply(service("a/s", NOW)),
        happened("AddressAllocated"),
        moving("a/s", "192.0.2.2", network="net/ext", wanted="net/two"),
        NORMAL,
        happened("AddressReleasing", "AddressReleased"),
        ready("a/s", "198.51.100.2", network="net/two"),
    ),
    case(
        "a-service-that-has-not-drifted-stays",
        world(TWO, service("a/s")),
        apply(service("a/s", NOW)),
        happened("HoldingChanged"),
        KEPT,
    ),
    case(
        "an-order-counts-once",
        world(TWO, service("a/s")),
        apply(A_TO_TWO),
        apply(service("a/s", NOW)),
        apply(A_TO_NONE),
        happened(),
        ready("a/s", "198.51.100.2", network="net/two"),
        drifts(),
        apply(service("a/s", LATER)),
        happened(*MOVED),
        ready("a/s", "192.0.2.2", network="net/ext"),
    ),
    case(
        "an-order-that-was-given-before-the-drift-is-used-up",
        world(TWO, service("a/s", NOW)),
        apply(A_TO_TWO),
        KEPT,
        drifts(),
        apply(service("a/s", LATER)),
        ready("a/s", "198.51.100.2", network="net/two"),
    ),
    case(
        "a-younger-match-is-no-fresh-choice",
        world(service("a/s")),
        apply(nad("net/younger", "198.51.100.0/24", labels=DEFAULT_LABELS)),
        apply(service("a/s", NOW)),
        happened("HoldingChanged"),
        KEPT,
    ),
    case(
        "where-a-fresh-choice-finds-no-network-the-address-stays",
        world(service("a/s")),
        apply(nad("net/ext", labels=DEFAULT_LABELS, annotations={ALLOWED: "team=z"})),
        KEPT,
        drifts(),
        apply(service("a/s", NOW)),
        happened(),
        moving("a/s", "192.0.2.2", network="net/ext", wanted=None, reason="NetworkNotAllowed"),
        apply(service("a/s")),
        KEPT,
        drifts(),
    ),
    case(
        "a-time-that-is-none-moves-nothing-and-is-named",
        world(TWO, service("a/s")),
        apply(A_TO_TWO),
        apply(service("a/s", {RESELECT: "now"})),
        happened(),
        moving("a/s", "192.0.2.2", network="net/ext", reason="InvalidAnnotation"),
        says("a/s", RESELECT, "'now'"),
        apply(service("a/s", NOW)),
        ready("a/s", "198.51.100.2", network="net/two"),
    ),
    case(
        "a-newcomer-with-a-time-that-is-none-waits-with-the-reason",
        world(service("a/s", {RESELECT: "2026-11-17"})),
        pending("a/s", "InvalidAnnotation"),
        apply(service("a/s", NOW)),
        KEPT,
    ),
    case(
        "a-service-that-goes-while-it-moves-leaves-nothing",
        world(TWO, service("a/s")),
        apply(A_TO_TWO),
        SILENT,
        apply(service("a/s", NOW)),
        delete("Service", "a/s"),
        NORMAL,
        absent("a/s"),
        network("net/ext", allocated=0),
        network("net/two", allocated=0),
    ),
]


@table(CASES)
def test_reselect(case: Case) -> None:
    play(case)
