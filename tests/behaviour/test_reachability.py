"""Conditions tell the truth about the data path: what is accepted, what is programmed, what works in part."""

from __future__ import annotations

from typing import Final

from tests.behaviour.play import Case, Look, Moment, case, moving, pending, play, ready, table
from tests.behaviour.world import ext, world
from tests.builders.objects import NETWORK, Object, dual, endpoint, nad, node, service, slice_of
from tests.support.simulate import apply, delete

FOUR: Final = "192.0.2.2"
SIX: Final = "2001:db8::2"
S = service("a/s")
BOTH = ext(v6="2001:db8::/64")
REAL: Final = {"agents": "programming"}
FAILING: Final = {"agents": "failing"}
SILENT: Final = {"agents": "silent"}
BACKED = slice_of("a/s", endpoint("10.1.0.1"))
LOST = slice_of("a/s", endpoint("10.2.0.1", "gone"))


def shows(kind: str, status: str, reason: str, *parts: str, name: str = "a/s") -> Look:
    """The condition ``ledgerlb.io/KIND`` has these values, and its message names all of the parts."""

    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        found = {one["type"]: one for one in moment.cluster.get("Service", place, bare)["status"]["conditions"]}
        assert f"ledgerlb.io/{kind}" in found, found
        shown = found[f"ledgerlb.io/{kind}"]
        assert (shown["status"], shown["reason"]) == (status, reason), shown
        assert all(part in shown.get("message", "") for part in parts), shown

    return look


def shows_no(kind: str, name: str = "a/s") -> Look:
    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        status = moment.cluster.get("Service", place, bare).get("status", {})
        assert f"ledgerlb.io/{kind}" not in {one["type"] for one in status.get("conditions", [])}

    return look


def writes(count: int) -> Look:
    """So many writes to Services in the step before."""

    def look(moment: Moment) -> None:
        assert len([write for write in moment.step["writes"] if write["kind"] == "Service"]) == count

    return look


def tells(*reasons: str) -> Look:
    """Exactly these Events about the Service in the step before."""

    def look(moment: Moment) -> None:
        found = [
            w["reason"]
            for w in moment.step["writes"]
            if w["kind"] == "Event" and w["involvedObject"]["kind"] == "Service"
        ]
        assert sorted(found) == sorted(reasons)

    return look


def reached(name: str, reason: str | None) -> Object:
    return {"expect": {"services": {name: {"reachability": reason}}}}


RECORDED = [
    case("what-is-only-recorded-is-not-programmed", world(S, BACKED), ready("a/s", FOUR), shows("Programmed", "False", "RecordOnly", FOUR, "recorded only"), reached("a/s", "RecordOnly")),
    case("a-recorded-service-costs-one-write-and-the-usual-events", world(), apply(S, BACKED), writes(1), tells("NetworkSelected", "AddressAllocated")),
    case("a-change-of-backends-costs-no-write", world(S, BACKED), apply(slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.1.0.2"))), writes(0)),
    case("silent-agents-that-record-still-only-record", world(S), SILENT, {"advance": "10m"}, shows("Programmed", "False", "RecordOnly")),
]  # fmt: skip

PROGRAMMED = [
    case("what-every-agent-programmed-is-programmed", world(node("n2", "10.10.0.2")), REAL, apply(S, BACKED), shows("Programmed", "True", "Programmed", FOUR), reached("a/s", "Programmed"), tells("NetworkSelected", "AddressAllocated")),
    case("with-real-agents-a-service-costs-a-second-write", world(), REAL, apply(S, BACKED), writes(2)),
    case("a-change-of-backends-costs-no-write-with-real-agents", world(), REAL, apply(S, BACKED), apply(slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.1.0.2"))), writes(0)),
    case("a-new-agent-rewrites-nothing", world(), REAL, apply(S, BACKED), apply(node("n2", "10.10.0.2")), writes(0), shows("Programmed", "True", "Programmed")),
    case("agents-that-begin-to-program-are-believed-from-then-on", world(S, BACKED), shows("Programmed", "False", "RecordOnly"), REAL, shows("Programmed", "True", "Programmed"), writes(1)),
    case("agents-that-go-back-to-recording-are-believed-too", world(), REAL, apply(S, BACKED), {"agents": "normal"}, shows("Programmed", "False", "RecordOnly")),
    case("an-address-that-no-agent-confirmed-yet-is-unknown", world(), REAL, SILENT, apply(S, BACKED), ready("a/s", FOUR), shows("Programmed", "Unknown", "WaitingForAgents", FOUR), REAL, shows("Programmed", "True", "Programmed")),
    case("dead-agents-program-nothing", world(), REAL, apply(S, BACKED), SILENT, {"advance": "6m"}, shows("Programmed", "False", "NoAgents"), reached("a/s", "NoAgents"), tells()),
    case("agents-that-come-back-are-believed-again", world(), REAL, apply(S, BACKED), SILENT, {"advance": "6m"}, REAL, shows("Programmed", "True", "Programmed")),
    case("an-agent-that-fails-is-named", world(), FAILING, apply(S, BACKED), ready("a/s", FOUR), shows("Programmed", "False", "ProgrammingFailed", "agent n1", "refuses it"), tells("NetworkSelected", "AddressAllocated", "ProgrammingFailed")),
    case("an-agent-that-succeeds-at-last-ends-the-failure", world(), FAILING, apply(S, BACKED), REAL, shows("Programmed", "True", "Programmed"), tells("Programmed")),
    case("both-families-are-confirmed-together", world(dual("a/s", "RequireDualStack"), default=BOTH), REAL, shows("Programmed", "True", "Programmed", FOUR, SIX)),
    case("nothing-is-programmed-for-a-service-without-an-address", world(service("a/s", {NETWORK: "net/none"})), REAL, pending("a/s", "NetworkNotFound"), shows_no("Programmed"), reached("a/s", None)),
    case("a-service-that-loses-its-address-shows-no-such-condition", world(S), REAL, shows("Programmed", "True", "Programmed"), apply({**S, "spec": {**S["spec"], "type": "ClusterIP"}}), shows_no("Programmed")),
]  # fmt: skip

UNUSABLE = [
    case("backends-of-which-none-can-be-programmed", world(S, LOST), ready("a/s", FOUR), shows("Programmed", "False", "NoUsableBackend", "node gone does not exist"), reached("a/s", "NoUsableBackend")),
    case("backends-of-which-none-can-be-programmed-with-real-agents", world(S, LOST), REAL, shows("Programmed", "False", "NoUsableBackend")),
    case("silent-agents-do-not-hide-it", world(S, BACKED), SILENT, apply(LOST), shows("Programmed", "False", "NoUsableBackend")),
    case("one-usable-backend-ends-it", world(S, LOST), REAL, apply(slice_of("a/s", endpoint("10.2.0.1", "gone"), endpoint("10.1.0.1"))), shows("Programmed", "True", "Programmed")),
    case("a-node-that-appears-ends-it", world(S, LOST), apply(node("gone", "10.10.0.9")), shows("Programmed", "False", "RecordOnly")),
    case("no-endpoints-at-all-is-no-fault-of-the-data-path", world(S), REAL, shows("Programmed", "True", "Programmed"), shows_no("Degraded")),
    case(
        "one-family-without-a-usable-backend-degrades",
        world(dual("a/s", "RequireDualStack"), BACKED, slice_of("a/s", endpoint("fd01::1"), number=2, family="IPv6"), default=BOTH),
        REAL,
        shows("Programmed", "True", "Programmed"),
        shows("Degraded", "True", "NoUsableBackend", "IPv6"),
        apply(node("n1", "10.10.0.1", "fd10::1")),
        shows("Degraded", "False", "AsExpected"),
    ),
]  # fmt: skip

ACCEPTED = [
    case("a-service-that-has-what-it-wants-is-accepted", world(S), shows("Accepted", "True", "Accepted"), shows_no("Degraded")),
    case("an-unreachable-service-is-accepted-all-the-same", world(S, LOST), shows("Accepted", "True", "Accepted")),
    case("a-service-without-a-network-is-not-accepted", world(service("a/s", {NETWORK: "net/none"})), shows("Accepted", "False", "NetworkNotFound", "net/none")),
    case("a-service-that-finds-a-full-network-is-not-accepted", world(S, service("a/t"), default=ext("192.0.2.0/30")), shows("Accepted", "False", "NetworkFull", name="a/t")),
    case("a-service-that-keeps-an-address-it-did-not-ask-for-is-not-accepted", world(S), apply(service("a/s", {NETWORK: "net/none"})), moving("a/s", FOUR), shows("Accepted", "False", "NetworkNotFound")),
    case("a-preferred-family-that-is-missing-degrades", world(dual("a/s", "PreferDualStack")), ready("a/s", FOUR), shows("Accepted", "True", "Accepted"), shows("Degraded", "True", "FamilyUnavailable", "IPv6"), apply(BOTH), shows("Degraded", "False", "AsExpected")),
    case("an-invalid-source-range-degrades", world(service("a/s", loadBalancerSourceRanges=["10.0.0.0/33"])), shows("Accepted", "True", "Accepted"), shows("Degraded", "True", "InvalidSourceRange", "10.0.0.0/33")),
    case(
        "an-unsupported-protocol-degrades",
        world(service("a/s", ports=[{"name": "d", "protocol": "DCCP", "port": 80}])),
        shows("Degraded", "True", "UnsupportedProtocol"),
        apply(S),
        shows("Degraded", "False", "AsExpected"),
    ),
    case(
        "an-address-that-another-context-owns-is-not-programmed",
        world(nad("net/o", "198.51.100.0/24", routeTargetList=["t:1"]), nad("net/y", "198.51.100.0/24", routeTargetList=["t:2"]), service("a/o", {NETWORK: "net/o"})),
        REAL,
        apply(service("a/s", {NETWORK: "net/y"})),
        shows("Programmed", "False", "AddressInUseElsewhere", "net/o"),
        reached("a/s", "AddressInUseElsewhere"),
        delete("Service", "a/o"),
        shows("Programmed", "True", "Programmed"),
    ),
]  # fmt: skip


@table([*RECORDED, *PROGRAMMED, *UNUSABLE, *ACCEPTED])
def test_reachability(case: Case) -> None:
    play(case)
