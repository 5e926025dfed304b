"""Releases wait for the agents; no other decision does."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    Moment,
    absent,
    case,
    event,
    happened,
    moving,
    network,
    no_network,
    play,
    ready,
    table,
)
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, DEFAULT_LABELS, NETWORK, Object, nad, node, service
from tests.support.simulate import apply, delete

SILENT = {"agents": "silent"}
NORMAL = {"agents": "normal"}
N2 = node("n2", "10.10.0.2")
N3 = node("n3", "10.10.0.3")
S = service("a/s")


def going(name: str = "a/s") -> Object:
    """Deleted, and still there: its finalizer waits."""
    return {"expect": {"services": {name: {"state": "Deleted"}}}}


def has_finalizer(moment: Moment) -> None:
    found = moment.cluster.get("Service", "a", "s")
    assert found["metadata"]["finalizers"] == ["service.kubernetes.io/load-balancer-cleanup"]


def without_nodes(step: Object) -> Object:
    return {"apply": [obj for obj in step["apply"] if obj["kind"] != "Node"]}


CASES = [
    case("a-release-is-two-steps", world(S), delete("Service", "a/s"), happened("AddressReleasing", "AddressReleased"), event("AddressReleased", confirmed=["n1"])),
    case("every-agent-confirms-also-one-that-had-nothing-to-withdraw", world(N2, N3, S), delete("Service", "a/s"), event("AddressReleased", confirmed=["n1", "n2", "n3"])),
    case(
        "without-nodes-there-is-one-agent-named-fabric",
        without_nodes(world(S)),
        ready("a/s", "192.0.2.2"),
        delete("Service", "a/s"),
        event("AddressReleased", confirmed=["fabric"]),
    ),
    case(
        "a-silent-agent-holds-a-release-back",
        world(S),
        SILENT,
        delete("Service", "a/s"),
        happened("AddressReleasing"),
        going(),
        has_finalizer,
        network("net/ext", allocated=1, quarantined=0),
        {"advance": "4m"},
        happened(),
        going(),
        NORMAL,
        happened("AddressReleased"),
        absent("a/s"),
        network("net/ext", allocated=0, quarantined=1),
    ),
    case(
        "an-agent-without-heartbeat-is-declared-dead-and-the-entry-says-so",
        world(S),
        SILENT,
        delete("Service", "a/s"),
        {"advance": "6m"},
        event("AddressReleased", dead=["n1"]),
        absent("a/s"),
    ),
    case(
        "the-time-after-which-an-agent-is-dead-is-a-setting",
        world(S),
        SILENT,
        delete("Service", "a/s"),
        {"advance": "59s"},
        happened(),
        {"advance": "2s"},
        event("AddressReleased", dead=["n1"]),
        settings={"agentTimeout": "1m"},
    ),
    case(
        "a-dead-agent-that-returns-takes-part-again",
        world(S),
        SILENT,
        delete("Service", "a/s"),
        {"advance": "6m"},
        NORMAL,
        happened(),
        apply(service("a/t")),
        delete("Service", "a/t"),
        event("AddressReleased", confirmed=["n1"]),
    ),
    case(
        "an-allocation-waits-for-no-agent",
        SILENT,
        world(S),
        ready("a/s", "192.0.2.2"),
        happened("AddressAllocated"),
    ),
    case("an-address-is-published-before-any-agent-answers", world(), SILENT, apply(S), ready("a/s", "192.0.2.2"), NORMAL, ready("a/s", "192.0.2.2")),
    case(
        "an-agent-that-died-before-the-address-was-given-out-is-not-waited-for",
        world(),
        SILENT,
        {"advance": "20m"},
        apply(S),
        delete("Service", "a/s"),
        absent("a/s"),
    ),
    case(
        "the-agent-of-a-node-that-went-is-waited-for-until-it-is-dead",
        world(N2, S),
        delete("Node", "n2"),
        delete("Service", "a/s"),
        happened("AddressReleasing"),
        {"advance": "6m"},
        event("AddressReleased", confirmed=["n1"], dead=["n2"]),
    ),
    case(
        "an-agent-that-came-after-the-allocation-confirms-too",
        world(S),
        apply(N2),
        delete("Service", "a/s"),
        event("AddressReleased", confirmed=["n1", "n2"]),
    ),
    case(
        "an-address-is-never-given-out-while-it-is-being-released",
        world(S, default=nad("net/ext", "192.0.2.0/30", labels=DEFAULT_LABELS)),
        SILENT,
        delete("Service", "a/s"),
        apply(service("a/t"), service("a/u", {ADDRESSES: "192.0.2.2"})),
        happened("AllocationRefused", "AllocationRefused"),
        {"advance": "4m"},
        happened(),
        NORMAL,
        {"expect": {"services": {"a/t": {"reason": "NetworkFull"}, "a/u": {"reason": "RequestedAddressQuarantined"}}}},
        {"advance": "5m1s"},
        {"expect": {"services": {"a/t": {"reason": "NetworkFull"}, "a/u": {"state": "Ready", "addresses": ["192.0.2.2"]}}}},
    ),
    case(
        "a-silent-time-without-releases-changes-nothing",
        world(S),
        SILENT,
        {"advance": "1h"},
        ready("a/s", "192.0.2.2"),
        happened(),
        NORMAL,
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-network-that-went-is-forgotten-only-after-the-release",
        world(nad("net/x", "198.51.100.0/24"), service("a/s", {NETWORK: "net/x"})),
        SILENT,
        delete("NetworkAttachmentDefinition", "net/x"),
        moving("a/s", "198.51.100.2", network="net/x"),
        delete("Service", "a/s"),
        network("net/x", allocated=1),
        NORMAL,
        no_network("net/x"),
        absent("a/s"),
    ),
    case(
        "a-release-that-is-cancelled-keeps-the-address-forwarded",
        world(S),
        SILENT,
        apply(service("a/s", type="NodePort")),
        apply(S),
        happened("ReleaseCancelled"),
        ready("a/s", "192.0.2.2"),
        NORMAL,
        ready("a/s", "192.0.2.2"),
        happened(),
    ),
    *(
        case(
            f"a-release-under-way-survives-{name}",
            world(S),
            SILENT,
            delete("Service", "a/s"),
            step,
            going(),
            happened(),
            NORMAL,
            happened("AddressReleased"),
            absent("a/s"),
        )
        for name, step in {
            "a-restart": {"restart": "all"},
            "a-crash-of-ipam": {"crash": "ipam"},
            "a-crash-of-the-programmer": {"crash": "programmer"},
            "repetition": {"redeliver": 1000},
        }.items()
    ),
]  # fmt: skip


@table(CASES)
def test_agents(case: Case) -> None:
    play(case)
