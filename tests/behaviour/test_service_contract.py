"""What a LoadBalancer controller owes the Kubernetes Service API: finalizer, status, conditions, Events, life cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS
from tests.behaviour.play import (
    Case,
    Moment,
    absent,
    case,
    condition,
    event,
    happened,
    ignored,
    ingress,
    moving,
    network,
    pending,
    play,
    ready,
    table,
    told,
)
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, DEFAULT_LABELS, NETWORK, Object, dual, nad, namespace, port, service
from tests.support.simulate import apply, delete

CLASS = "example.com/lb"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
S = service("a/s")
SILENT = {"agents": "silent"}
NORMAL = {"agents": "normal"}
GOT = ready("a/s", "192.0.2.2")


def of_service(moment: Moment, name: str = "s") -> list[Mapping[str, Any]]:
    """What was written to the Service in this step, in order."""
    return [w for w in moment.step["writes"] if w["kind"] == "Service" and w["metadata"]["name"] == name]


def stored(moment: Moment, name: str = "s") -> dict[str, Any]:
    found = moment.cluster.get("Service", "a", name)
    assert found is not None
    return dict(found)


def one_write(moment: Moment) -> None:
    """The Service was written once: finalizer, address and conditions together."""
    (only,) = of_service(moment)
    assert only["subresource"] == "status"
    assert only["metadata"]["finalizers"] == [FINALIZER]
    assert only["status"]["loadBalancer"]["ingress"]
    assert only["status"]["conditions"]


def one_last_write(moment: Moment) -> None:
    """The Service was written once: finalizer, address and conditions went together."""
    (only,) = of_service(moment)
    assert FINALIZER not in only["metadata"].get("finalizers", [])
    assert not only["status"].get("loadBalancer", {}).get("ingress")
    assert not only["status"].get("conditions")


def few_records(moment: Moment) -> None:
    """A new Service costs these records: seen and shown, chosen and asked for, given, forwarded, reported."""
    records = moment.simulation.engine.records
    about = {
        FACTS: [r for r in records(FACTS) if r.key == "Service/a/new"],
        INTENTS: [r for r in records(INTENTS) if r.key.endswith("|a/new")],
        LEDGER: [r for r in records(LEDGER) if b'"a/new"' in (r.value or b"")],
        PATHS: [r for r in records(PATHS) if r.key == "192.0.2.3"],
    }
    costs = {topic.name.split(".")[1]: len(found) for topic, found in about.items()}
    assert costs == {"facts": 2, "intents": 2, "ledger": 1, "paths": 1}


def vanishes(moment: Moment) -> None:
    """Removed with force, between the address and the fact of its finalizer."""
    moment.cluster.patch_metadata("Service", "a", "s", {"finalizers": []})
    moment.cluster.delete("Service", "a", "s")


def nothing_of_ours(moment: Moment) -> None:
    """Neither address, nor condition, nor finalizer of ours; another controller's finalizer keeps the Service."""
    assert stored(moment)["metadata"]["finalizers"] == ["example.com/theirs"]
    status = stored(moment).get("status", {})
    assert not status.get("loadBalancer", {}).get("ingress")
    assert not status.get("conditions")


def has_finalizer(name: str, *, here: bool) -> Callable[[Moment], None]:
    def look(moment: Moment) -> None:
        assert (FINALIZER in stored(moment, name)["metadata"].get("finalizers", [])) is here

    return look


def nothing_written(moment: Moment) -> None:
    assert moment.step["writes"] == []


def untouched(name: str = "s") -> Callable[[Moment], None]:
    def look(moment: Moment) -> None:
        assert of_service(moment, name) == []

    return look


def only_status_and_metadata(moment: Moment) -> None:
    """Whatever was written left ``spec`` as the user wrote it."""
    spec = stored(moment)["spec"]
    assert spec["externalIPs"] == ["203.0.113.7"]
    assert all(w["spec"] == spec for w in of_service(moment))
    ips = [entry["ip"] for entry in stored(moment)["status"]["loadBalancer"]["ingress"]]
    assert "203.0.113.7" not in ips


def without_conditions(moment: Moment) -> None:
    assert stored(moment).get("status", {}).get("conditions", []) == []


def no_objects(moment: Moment) -> None:
    """No InstanceIP and no FloatingIP exists."""
    assert moment.cluster.list("InstanceIP") == moment.cluster.list("FloatingIP") == []


def taken_over(spec_class: str | None, **spec: Any) -> Object:
    """The Service as its next controller has it: of that class, with the finalizer that all of them use."""
    found = service("a/s", **({"loadBalancerClass": spec_class} if spec_class else {}), **spec)
    return {**found, "metadata": {**found["metadata"], "finalizers": [FINALIZER]}}


CLASSES = [
    case("a-service-with-a-class-is-ignored-by-the-default-instance", world(service("a/s", loadBalancerClass=CLASS), service("a/t")), untouched(), ignored("a/s"), ready("a/t", "192.0.2.2")),
    case(
        "an-instance-with-a-class-serves-only-that-class",
        world(service("a/s", loadBalancerClass=CLASS), service("a/t"), service("a/u", loadBalancerClass="example.com/other")),
        ready("a/s", "192.0.2.2"),
        untouched("t"),
        untouched("u"),
        ignored("a/t", "a/u"),
        settings={"loadBalancerClass": CLASS},
    ),
    *(
        case(f"a-service-of-type-{kind.lower()}-is-ignored", world(service("a/s", type=kind, **spec)), untouched(), ignored("a/s"), happened())
        for kind, spec in (("ClusterIP", {}), ("NodePort", {}), ("ExternalName", {"externalName": "db.example"}))
    ),
    case(
        "when-the-class-ceases-to-match-all-is-cleaned-up",
        world(S),
        apply(service("a/s", loadBalancerClass=CLASS)),
        ignored("a/s"),
        happened("AddressReleasing", "AddressReleased"),
        has_finalizer("s", here=False),
        ingress("a/s"),
        without_conditions,
        no_objects,
    ),
    case(
        "an-instance-with-a-class-cleans-up-when-the-type-changes",
        world(service("a/s", loadBalancerClass=CLASS)),
        apply(service("a/s", type="ClusterIP")),
        ignored("a/s"),
        happened("AddressReleasing", "AddressReleased"),
        has_finalizer("s", here=False),
        no_objects,
        delete("Service", "a/s"),
        absent("a/s"),
        settings={"loadBalancerClass": CLASS},
    ),
    case(
        "the-finalizer-of-the-next-controller-is-left-alone",
        world(S),
        apply(service("a/s", type="ClusterIP")),
        has_finalizer("s", here=False),
        apply(taken_over(CLASS)),
        {"advance": "1m"},
        has_finalizer("s", here=True),
        apply(taken_over(None, type="ClusterIP")),  # theirs to clean up
        has_finalizer("s", here=True),
        apply(S),
        GOT,
    ),
    case(
        "the-finalizer-of-the-next-controller-is-left-alone-by-an-instance-with-a-class",
        world(service("a/s", loadBalancerClass=CLASS)),
        apply(service("a/s", type="ClusterIP")),
        has_finalizer("s", here=False),
        apply(taken_over(None)),
        {"advance": "1m"},
        has_finalizer("s", here=True),
        settings={"loadBalancerClass": CLASS},
    ),
    case("a-class-that-comes-with-the-type-is-honoured", world(service("a/s", type="ClusterIP")), apply(service("a/s", loadBalancerClass=CLASS)), ignored("a/s"), happened()),
]  # fmt: skip

FINALIZERS = [
    case("finalizer-address-and-conditions-are-one-write", world(S), one_write, has_finalizer("s", here=True), GOT, delete("Service", "a/s"), one_last_write, absent("a/s")),
    case("a-new-service-costs-few-records", world(S), apply(service("a/new")), ready("a/new", "192.0.2.3"), few_records),
    case("a-service-that-waits-has-no-finalizer", world(service("a/s", {NETWORK: "net/none"})), pending("a/s", "NetworkNotFound"), has_finalizer("s", here=False)),
    case("a-service-that-waited-gets-the-finalizer-with-its-address", world(service("a/s", {NETWORK: "net/none"})), apply(nad("net/none", "10.0.0.0/24")), one_write, ready("a/s", "10.0.0.2")),
    case(
        "what-vanishes-without-a-finalizer-is-released",
        world(S),
        vanishes,
        {"advance": "1s"},
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
        network("net/ext", allocated=0),
    ),
    case(
        "what-vanishes-while-everything-is-down-is-released-after-the-restart",
        world(S),
        vanishes,
        {"restart": "all"},
        happened("AddressReleasing", "AddressReleased"),
        network("net/ext", allocated=0),
    ),
    case(
        "what-vanishes-is-released-once-the-agents-let-go",
        world(S),
        SILENT,
        vanishes,
        {"advance": "1s"},
        happened("AddressReleasing"),
        network("net/ext", allocated=1),
        NORMAL,
        happened("AddressReleased"),
        network("net/ext", allocated=0),
    ),
    case(
        "a-foreign-finalizer-keeps-the-service-and-nothing-of-ours",
        world({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/theirs"]}}),
        SILENT,
        delete("Service", "a/s"),
        ingress("a/s", "192.0.2.2"),
        has_finalizer("s", here=True),
        NORMAL,
        one_last_write,
        nothing_of_ours,
    ),
    case(
        "a-foreign-finalizer-keeps-a-service-that-waited-and-nothing-of-ours",
        world({**service("a/s", {NETWORK: "net/none"}), "metadata": {**service("a/s", {NETWORK: "net/none"})["metadata"], "finalizers": ["example.com/theirs"]}}),
        delete("Service", "a/s"),
        one_last_write,
        nothing_of_ours,
    ),
    case(
        "a-foreign-finalizer-keeps-a-service-that-kept-what-it-showed-and-nothing-of-ours",
        world(
            {
                **service("a/s", {NETWORK: "net/none"}),
                "metadata": {**service("a/s", {NETWORK: "net/none"})["metadata"], "finalizers": ["example.com/theirs"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}},
            }
        ),
        has_finalizer("s", here=True),
        delete("Service", "a/s"),
        nothing_of_ours,
        network("net/ext", allocated=0),
    ),
    case(
        "an-applied-list-of-finalizers-replaces-the-one-before",
        world({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/one", "example.com/two"]}}),
        apply({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/two"]}}),
        lambda moment: _finalizers(moment, [FINALIZER, "example.com/two"]),
        apply(S),
        lambda moment: _finalizers(moment, [FINALIZER]),
    ),
    case(
        "an-apply-that-takes-the-last-finalizer-away-lets-a-leaving-service-go",
        world({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/theirs"]}}),
        delete("Service", "a/s"),
        nothing_of_ours,
        apply(S),
        absent("a/s"),
    ),
    case("a-service-that-waits-is-deleted-at-once", world(service("a/s", {NETWORK: "net/none"})), delete("Service", "a/s"), absent("a/s"), happened()),
    case("a-service-that-was-refused-is-deleted-at-once", world(service("a/s", {ADDRESSES: "10.0.0.1"})), delete("Service", "a/s"), absent("a/s"), happened("RefusalCleared")),
    case(
        "the-finalizer-goes-only-after-data-path-and-ledger-let-go",
        world(S),
        SILENT,
        delete("Service", "a/s"),
        happened("AddressReleasing"),
        has_finalizer("s", here=True),
        {"expect": {"services": {"a/s": {"state": "Deleted"}}}},
        NORMAL,
        happened("AddressReleased"),
        absent("a/s"),
    ),
    case(
        "the-finalizers-of-others-are-left-alone",
        world({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/theirs"]}}),
        delete("Service", "a/s"),
        happened("AddressReleasing", "AddressReleased"),
        lambda moment: _finalizers(moment, ["example.com/theirs"]),
    ),
    case("the-finalizer-goes-when-the-type-changes", world(S), apply(service("a/s", type="ClusterIP")), has_finalizer("s", here=False), ignored("a/s")),
    case("a-finalizer-that-another-client-removes-is-put-back", world(S), lambda moment: moment.cluster.patch_metadata("Service", "a", "s", {"finalizers": []}) and None, {"advance": "1s"}, has_finalizer("s", here=True), happened(), GOT),
    case(
        "a-service-that-is-deleted-before-it-was-seen-gets-nothing",
        world({**S, "metadata": {**S["metadata"], "finalizers": ["example.com/theirs"]}}, kubemanagers=[]),
        delete("Service", "a/s"),
        {"advance": "1s"},
        happened(),
        lambda moment: _finalizers(moment, ["example.com/theirs"]),
    ),
]  # fmt: skip


def _finalizers(moment: Moment, wanted: list[str]) -> None:
    assert stored(moment)["metadata"].get("finalizers", []) == wanted


def foreign_status(*addresses: str) -> Callable[[Moment], None]:
    """Another client writes the status."""

    def look(moment: Moment) -> None:
        entries = [{"ip": address} for address in addresses]
        moment.cluster.patch_status("Service", "a", "s", {"loadBalancer": {"ingress": entries}})

    return look


def foreign_condition(moment: Moment) -> None:
    """Another client adds a condition to the status."""
    mine = stored(moment)["status"]["conditions"]
    theirs = {"type": "example.com/Theirs", "status": "True", "reason": "X", "message": ""}
    moment.cluster.patch_status("Service", "a", "s", {"conditions": [*mine, theirs]})


STATUS = [
    case("one-ingress-per-family-in-the-order-of-the-families", world(dual("a/s", "RequireDualStack", ipFamilies=["IPv6", "IPv4"]), default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)), ingress("a/s", "2001:db8::2", "192.0.2.2")),
    case("a-status-is-written-only-if-it-changes", world(S), apply(S), nothing_written, {"advance": "1h"}, nothing_written, apply(service("a/t")), untouched("s")),
    case("a-status-that-another-client-changes-is-put-right", world(S), foreign_status("203.0.113.1"), {"advance": "1s"}, ingress("a/s", "192.0.2.2"), happened()),
    case("a-status-that-another-client-clears-is-put-right", world(S), foreign_status(), {"advance": "1s"}, ingress("a/s", "192.0.2.2"), happened()),
    case("a-service-that-waits-shows-no-address", world(service("a/s", {NETWORK: "net/none"})), ingress("a/s")),
    case("the-status-is-cleared-when-the-address-is-lost", world(S), apply(service("a/s", type="ClusterIP")), ingress("a/s")),
    case("the-status-of-a-service-of-another-class-is-not-ours", world(service("a/s", loadBalancerClass=CLASS)), foreign_status("203.0.113.1"), {"advance": "1s"}, untouched()),
    case("spec-and-external-ips-are-never-written", world(service("a/s", externalIPs=["203.0.113.7"])), only_status_and_metadata, GOT),
    case("conditions-explain-who-waits-for-a-network", world(service("a/s", {NETWORK: "net/none"})), condition("a/s", "ledgerlb.io/NetworkSelected", status="False", reason="NetworkNotFound")),
    case(
        "conditions-explain-who-waits-for-an-address",
        world(service("a/s", {ADDRESSES: "10.0.0.1"})),
        condition("a/s", "ledgerlb.io/NetworkSelected", status="True"),
        condition("a/s", "ledgerlb.io/AddressAllocated", status="False", reason="RequestedAddressOutsideNetwork"),
    ),
    case("conditions-of-who-is-served", world(S), condition("a/s", "ledgerlb.io/NetworkSelected", status="True", reason="NetworkSelected"), condition("a/s", "ledgerlb.io/AddressAllocated", status="True", reason="AddressAllocated")),
    case("our-conditions-go-when-the-service-is-no-longer-ours", world(S), apply(service("a/s", type="ClusterIP")), without_conditions),
    case(
        "the-conditions-of-others-are-left-alone",
        world(S),
        foreign_condition,
        {"advance": "1s"},
        condition("a/s", "example.com/Theirs", status="True"),
        apply(service("a/s", type="ClusterIP")),
        condition("a/s", "example.com/Theirs", status="True"),
    ),
]  # fmt: skip

EVENTS = [
    case("events-of-who-is-served", world(S), told("NetworkSelected", "AddressAllocated", about="Service a/s")),
    case("an-event-per-change-of-state-and-none-without", world(service("a/s", {NETWORK: "net/none"})), told("NetworkNotFound", about="Service a/s"), {"advance": "1h"}, nothing_written, apply(nad("net/none", "10.0.0.0/24")), told("NetworkSelected", "AddressAllocated", about="Service a/s")),
    case("the-network-of-a-moving-service-is-reported", world(nad("net/two", "198.51.100.0/24"), S), SILENT, apply(service("a/s", {NETWORK: "net/two"})), told("NetworkSelected", about="Service a/s"), moving("a/s", "192.0.2.2")),
    case("an-unsupported-port-is-an-event", world(service("a/s", ports=[port(80, "DCCP")])), told("UnsupportedProtocol", about="Service a/s"), ready("a/s", "192.0.2.2", reason="UnsupportedProtocol")),
    case("an-invalid-source-range-is-an-event", world(service("a/s", loadBalancerSourceRanges=["x"])), told("InvalidSourceRange", about="Service a/s")),
]  # fmt: skip

LIFE = [
    *(
        case(
            f"from-loadbalancer-to-{kind.lower()}-and-back-it-regains-its-address",
            world(S, service("a/t")),
            apply(service("a/s", type=kind, **spec)),
            happened("AddressReleasing", "AddressReleased"),
            ignored("a/s"),
            {"advance": "23h"},
            apply(service("a/u")),
            ready("a/u", "192.0.2.4"),
            apply(S),
            ready("a/s", "192.0.2.2"),
            event("AddressAllocated", choice="former"),
        )
        for kind, spec in (
            ("ClusterIP", {}),
            ("NodePort", {}),
            ("ExternalName", {"externalName": "db.example"}),
        )
    ),
    case("from-clusterip-to-loadbalancer", world(service("a/s", type="ClusterIP")), apply(S), GOT, has_finalizer("s", here=True)),
    case("a-headless-service-is-ignored-and-may-become-a-loadbalancer", world(service("a/s", type="ClusterIP", clusterIP="None")), ignored("a/s"), delete("Service", "a/s"), apply(S), GOT),
    case(
        "made-again-under-its-name-it-regains-its-address-within-the-lease",
        world(S, service("a/t")),
        delete("Service", "a/s"),
        {"advance": "23h"},
        apply(S),
        GOT,
    ),
    case("made-again-after-the-lease-it-is-like-any-other", world(S, service("a/t")), delete("Service", "a/s"), {"advance": "25h"}, apply(S), ready("a/s", "192.0.2.4")),
    case("made-again-with-other-requests-it-gets-what-it-requests-now", world(S), delete("Service", "a/s"), apply(service("a/s", {ADDRESSES: "192.0.2.9"})), ready("a/s", "192.0.2.9")),
    case("deleted-and-made-again-many-times-it-keeps-its-address", world(S), *(step for _ in range(4) for step in (delete("Service", "a/s"), apply(S), GOT)), network("net/ext", allocated=1, quarantined=0)),
    case("a-namespace-that-goes-first-does-not-hold-a-service-up", world(S), delete("Namespace", "a"), delete("Service", "a/s"), absent("a/s"), network("net/ext", allocated=0), apply(namespace("a"), S), GOT),
    case("families-of-an-ipv6-service", world(service("a/s", ipFamilies=["IPv6"]), default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)), ready("a/s", "2001:db8::2")),
    case("without-families-a-service-is-ipv4", world(S, default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)), GOT),
]  # fmt: skip

CASES = [*CLASSES, *FINALIZERS, *STATUS, *EVENTS, *LIFE]


@table(CASES)
def test_service_contract(case: Case) -> None:
    play(case)
