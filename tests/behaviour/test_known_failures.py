"""Failures of earlier systems, each as a case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledgerlb.core.ledger.audit import Audit
from ledgerlb.eventlog.topics import LEDGER
from tests.behaviour.play import (
    Case,
    Moment,
    absent,
    case,
    event,
    happened,
    hops,
    ignored,
    ingress,
    network,
    pending,
    play,
    ready,
    table,
)
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, DEFAULT_LABELS, Object, dual, endpoint, meta, nad, port, service, slice_of
from tests.support.simulate import apply, delete, run_simulation, simulation_of

S = service("a/s")
SMALL = nad("net/ext", "192.0.2.0/29", labels=DEFAULT_LABELS)
VIP = "192.0.2.2"


def while_down(change: Callable[[Any], None]) -> tuple[Callable[[Moment], None], Object]:
    """Change the cluster while every part is down; then start all parts."""
    return (lambda moment: change(moment.cluster)), {"restart": "all"}


def made_again(cluster: Any) -> None:
    """Removed with force, and made again under another uid."""
    cluster.patch_metadata("Service", "a", "s", {"finalizers": []})
    cluster.delete("Service", "a", "s")
    cluster.apply(S)


def removed(cluster: Any) -> None:
    cluster.patch_metadata("Service", "a", "s", {"finalizers": []})
    cluster.delete("Service", "a", "s")


def other_uid(moment: Moment) -> None:
    """The ledger knows the holder by its new uid."""
    uid = moment.cluster.get("Service", "a", "s")["metadata"]["uid"]
    (holding,) = moment.simulation.engine.view.ledger.holdings_of("a/s")
    assert holding.uid == uid


def one_holder_an_address(moment: Moment) -> None:
    """No address is shown by two Services, and the ledger verifies."""
    shown = [address for line in moment.step["services"].values() for address in line["addresses"]]
    assert len(shown) == len(set(shown))
    audit = Audit()
    for record in moment.simulation.engine.records(LEDGER):
        audit.take(record.key, record.value)
    assert audit.report().clean


def _external_ips(moment: Moment) -> None:
    writes = [write for write in moment.step["writes"] if write["kind"] == "Service"]
    assert {write["metadata"]["name"] for write in writes} == {"s", "t"}
    for write in writes:
        wanted = ["203.0.113.7"] if write["metadata"]["name"] == "t" else None
        assert write["spec"].get("externalIPs") == wanted


CASES = [
    case(
        "an-address-given-to-another-service-after-a-restart",
        world(S, service("a/t", {ADDRESSES: "192.0.2.3"})),
        *while_down(lambda cluster: cluster.patch_status("Service", "a", "s", {"loadBalancer": None})),
        apply(service("a/u"), service("a/v")),
        ready("a/s", VIP),
        ingress("a/s", VIP),
        ready("a/t", "192.0.2.3"),
        ready("a/u", "192.0.2.4"),
        ready("a/v", "192.0.2.5"),
    ),
    case(
        "two-services-with-one-address",
        world(*(service(f"a/s{number}") for number in range(9)), default=SMALL),
        {"crash": "ipam"},
        {"restart": "all"},
        delete("Service", "a/s1"),
        apply(service("a/n1"), service("a/n2")),
        {"crash": "selector"},
        {"redeliver": 1000},
        one_holder_an_address,
        network("net/ext", allocated=5),
    ),
    case(
        "killed-in-the-midst-of-a-creation-the-address-is-stuck",
        world(S, default=SMALL),
        {"crash": "ipam"},
        {"crash": "watcher"},
        delete("Service", "a/s"),
        {"crash": "ipam"},
        {"crash": "programmer"},
        network("net/ext", allocated=0),
        {"advance": "2d"},
        network("net/ext", allocated=0, quarantined=0),
        apply(*(service(f"a/n{number}") for number in range(5))),
        network("net/ext", allocated=5),
    ),
    case(
        "a-service-made-again-while-the-controller-was-down",
        world(S, service("a/t")),
        *while_down(made_again),
        ready("a/s", VIP),
        ready("a/t", "192.0.2.3"),
        ingress("a/s", VIP),
        other_uid,
        network("net/ext", allocated=2, quarantined=0),
        delete("Service", "a/s"),
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
    ),
    case(
        "a-service-deleted-while-the-controller-was-down",
        world(S),
        *while_down(removed),
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
        network("net/ext", allocated=0),
    ),
    case(
        "a-deletion-that-the-watch-missed-is-found-by-the-next-list",
        world(S, service("a/t")),
        lambda moment: removed(moment.cluster),
        {"restart": ["watcher"]},
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
        ready("a/t", "192.0.2.3"),
    ),
    case(
        "a-headless-or-externalname-service-crashes-the-loop",
        world(
            service("a/h", type="ClusterIP", clusterIP="None"),
            service("a/e", type="ExternalName", externalName="db.example", ports=None, selector=None),
            service("a/p", ports=[]),
            service("a/n", ports=None, selector=None),
            S,
        ),
        ignored("a/h", "a/e"),
        {"expect": {"services": {name: {"state": "Ready"} for name in ("a/s", "a/p", "a/n")}}},
    ),
    case(
        "removed-ports-are-never-deleted",
        world(service("a/s", ports=[port(80), port(443)])),
        apply(service("a/s", ports=[port(443)])),
        lambda moment: _ports(moment, [("TCP", 443)]),
        happened("HoldingChanged"),
        ready("a/s", VIP),
    ),
    case(
        "only-the-first-subset-of-endpoints-is-read",
        world(
            service("a/s", selector=None),
            {
                "apiVersion": "v1", "kind": "Endpoints", "metadata": meta("a/s"),
                "subsets": [
                    {"addresses": [{"ip": f"10.1.0.{n}", "nodeName": "n1"}], "ports": [{"name": "http", "port": 8080 + n}]} for n in range(3)
                ],
            },
        ),
        hops("a/s", VIP, n1={"weight": 3, "backends": ["10.1.0.0:8080", "10.1.0.1:8081", "10.1.0.2:8082"]}),
    ),
    case(
        "endpoints-seen-before-the-service-are-dropped",
        world(slice_of("a/s", endpoint("10.1.0.1"))),
        apply(S),
        hops("a/s", VIP, n1={"weight": 1, "backends": ["10.1.0.1:8080"]}),
    ),
    case(
        "endpoints-seen-while-the-service-had-another-type-are-dropped",
        world(service("a/s", type="ClusterIP"), slice_of("a/s", endpoint("10.1.0.1"))),
        apply(S),
        hops("a/s", VIP, n1={"weight": 1, "backends": ["10.1.0.1:8080"]}),
    ),
    case(
        "sctp-is-turned-into-udp",
        world(service("a/s", ports=[port(99, "SCTP", name="s")]), slice_of("a/s", endpoint("10.1.0.1"), ports=[{"name": "s", "protocol": "SCTP", "port": 9999}])),
        lambda moment: _ports(moment, [("SCTP", 99)]),
        hops("a/s", VIP, n1={"weight": 1, "backends": ["10.1.0.1:9999"]}),
        event("AddressAllocated", ports=[["SCTP", 99]]),
    ),
    case(
        "a-freed-address-is-not-given-to-a-waiting-service",
        world(S, service("a/t"), default=nad("net/ext", "192.0.2.0/30", labels=DEFAULT_LABELS)),
        pending("a/t", "NetworkFull"),
        delete("Service", "a/s"),
        ready("a/t", VIP),
        apply(service("a/u", {ADDRESSES: VIP})),
        pending("a/u", "RequestedAddressInUse"),
        {"restart": "all"},
        delete("Service", "a/t"),
        {"advance": "5m1s"},
        ready("a/u", VIP),
    ),
    case("a-requested-address-is-ignored", world(service("a/s", {ADDRESSES: "192.0.2.200"}), service("a/t", loadBalancerIP="192.0.2.201")), ready("a/s", "192.0.2.200"), ready("a/t", "192.0.2.201")),
    case("a-requested-address-outside-the-pool-is-given", world(service("a/s", {ADDRESSES: "203.0.113.200"})), pending("a/s", "RequestedAddressOutsideNetwork"), ingress("a/s")),
    case(
        "spec-external-ips-is-written",
        world(S, service("a/t", externalIPs=["203.0.113.7"])),
        _external_ips,
    ),
    case(
        "the-ipv4-allocation-zeroes-the-ipv6-need",
        world(dual("a/s", "RequireDualStack"), dual("a/t", "SingleStack"), default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)),
        ready("a/s", VIP, "2001:db8::2"),
        apply(dual("a/t", "RequireDualStack")),
        ready("a/t", "192.0.2.3", "2001:db8::3"),
    ),
]  # fmt: skip


def _ports(moment: Moment, wanted: list[tuple[str, int]]) -> None:
    found = moment.path_set(VIP)
    assert found is not None
    assert [(one.protocol, one.port) for one in found.frontends] == wanted


@table(CASES)
def test_known_failures(case: Case) -> None:
    play(case)


@pytest.mark.parametrize("part", ["network-selector", "ipam", "planner", "publisher", "agent/n1"])
def test_a_service_deleted_after_any_kill_gives_its_address_back(part: str) -> None:
    for count in range(6):
        left = [count]

        def fault(name: str, _what: str, left: list[int] = left) -> bool:
            if name != part:
                return False
            left[0] -= 1
            return left[0] == -1

        steps = [world(S), delete("Service", "a/s"), {"advance": "2d"}]
        *_, last = run_simulation(simulation_of(steps, fault=fault))
        assert "a/s" not in last["services"], f"{part}, append {count}"
        assert last["networks"]["net/ext"] == {
            "size": 253, "allocated": 0, "quarantined": 0, "conflict": None, "problem": None, "warning": None,
        }  # fmt: skip
