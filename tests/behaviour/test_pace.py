"""The bound on decisions a minute of a namespace: what exceeds it waits, says why, and is served later."""

from __future__ import annotations

from tests.behaviour.play import Case, Moment, absent, case, condition, happened, pending, play, ready, says, table
from tests.behaviour.test_adoption import shown
from tests.behaviour.world import world
from tests.builders.objects import NETWORK, nad, service
from tests.support.simulate import apply, delete


def bound(limit: int) -> dict[str, dict[str, int]]:
    return {"defaults": {"decisionsPerMinute": limit}}


def one_allocation(moment: Moment) -> None:
    assert [event["type"] for event in moment.events].count("AddressAllocated") == 1


CASES = [
    case(
        "a-namespace-causes-no-more-decisions-in-a-minute-than-the-settings-admit",
        world(service("a/s"), service("a/t"), service("a/u"), service("b/s")),
        pending("a/u", "DecisionRateExceeded"),
        says("a/u", "namespace a had 2 decisions within the last minute", "defaults.decisionsPerMinute"),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        ready("b/s", "192.0.2.4"),
        {"advance": "10s"},
        condition("a/u", "ledgerlb.io/AddressAllocated", status="False", reason="DecisionRateExceeded"),
        {"advance": "45s"},
        pending("a/u", "DecisionRateExceeded"),
        {"advance": "10s"},
        ready("a/u", "192.0.2.5"),
        settings=bound(2),
    ),
    case(
        "a-namespace-at-its-bound-keeps-what-it-has-and-gives-back-what-it-deletes",
        world(service("a/s")),
        ready("a/s", "192.0.2.2"),
        apply(service("a/s", port=81), service("a/t")),
        happened(),
        ready("a/s", "192.0.2.2"),
        pending("a/t", "DecisionRateExceeded"),
        delete("Service", "a/s"),
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
        {"advance": "2m"},
        ready("a/t", "192.0.2.3"),
        settings=bound(1),
    ),
    case(
        "the-bound-counts-over-all-networks",
        world(nad("net/two", "198.51.100.0/24"), service("a/s"), service("a/t", {NETWORK: "net/two"})),
        one_allocation,
        {"advance": "3m"},
        ready("a/s", "192.0.2.2"),
        ready("a/t", "198.51.100.2"),
        apply(service("a/v")),
        ready("a/v", "192.0.2.3"),
        apply(service("a/w", {NETWORK: "net/two"})),
        pending("a/w", "DecisionRateExceeded"),
        {"advance": "61s"},
        ready("a/w", "198.51.100.3"),
        settings=bound(1),
    ),
    case(
        "what-a-status-shows-already-does-not-wait",
        world(shown(service("a/s"), "192.0.2.50"), shown(service("a/t"), "192.0.2.51"), service("a/u")),
        ready("a/s", "192.0.2.50"),
        ready("a/t", "192.0.2.51"),
        pending("a/u", "DecisionRateExceeded"),
        {"advance": "61s"},
        ready("a/u", "192.0.2.2"),
        settings=bound(1),
    ),
    case(
        "without-the-setting-there-is-no-bound",
        world(*(service(f"a/s{number}") for number in range(30))),
        ready("a/s29", "192.0.2.24"),
    ),
]  # fmt: skip


@table(CASES)
def test_pace(case: Case) -> None:
    play(case)
