"""The planner on a log: what it writes, when, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ledgerlb.core.cluster.facts import AnyFact, NodeFact, PodFact, VirtualMachineInterfaceFact
from ledgerlb.core.errors import BadInput, LogUnavailable
from ledgerlb.core.ledger.events import AddressAllocated, AddressReleased, AddressReleasing, NetworkDefined, Prefix
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer import planner
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, LEDGER, PATHS
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.ecmp_programmer.pipeline import Pipeline
from tests.unit.paths.facts import NODES, hops, multi, nad, node, pod, vn, weights

ADDRESS = "192.168.102.2"
OTHER = "192.168.102.3"
DEFINED = NetworkDefined(prefixes=(Prefix(family=4, prefix="192.168.102.0/24"),))


def allocated(address: str = ADDRESS, name: str = "shop/web") -> AddressAllocated:
    return AddressAllocated(address=address, family=4, service=name, uid="u1", choice="never-used")


async def started() -> Pipeline:
    """Two Services with an address each, their endpoints, everything synced and published."""
    pipeline = Pipeline(Planner(DomainSettings()))
    await pipeline.say(
        *NODES,
        service("shop/web"),
        service("shop/api"),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a")),
        endpoint_slice("api-1", endpoint("10.1.2.1", "n2", "shop/b"), of="shop/api"),
    )
    await pipeline.sync()
    await pipeline.decide(DEFINED, allocated(), allocated(OTHER, "shop/api"))
    await pipeline.turn()
    return pipeline


async def test_every_held_address_gets_its_path_set() -> None:
    pipeline = await started()
    found = pipeline.path_sets()
    assert {address: weights(path_set) for address, path_set in found.items()} == {ADDRESS: {"n1": 1}, OTHER: {"n2": 1}}
    assert found[ADDRESS].allocation == "contrail/external#1"


async def test_nothing_is_written_before_every_kind_is_synced() -> None:
    pipeline = Pipeline(Planner(DomainSettings()))
    await pipeline.say(*NODES, service())
    await pipeline.decide(DEFINED, allocated())
    await pipeline.turn()
    assert pipeline.records(PATHS) == []
    await pipeline.sync()
    await pipeline.turn()
    assert list(pipeline.path_sets()) == [ADDRESS]


async def test_an_address_is_published_before_anybody_answers_for_it() -> None:
    pipeline = Pipeline(Planner(DomainSettings()))
    await pipeline.sync()
    await pipeline.decide(DEFINED, allocated())
    await pipeline.turn()
    assert pipeline.path_sets()[ADDRESS].next_hops == ()


async def test_only_addresses_that_a_change_concerns_are_written_again() -> None:
    pipeline = await started()
    before = len(pipeline.records(PATHS))
    await pipeline.say(
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a"), endpoint("10.1.3.1", "n3", "shop/c"))
    )
    await pipeline.turn()
    assert [record.key for record in pipeline.records(PATHS)[before:]] == [ADDRESS]
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1, "n3": 1}


async def test_a_change_without_effect_writes_nothing() -> None:
    pipeline = await started()
    before = len(pipeline.records(PATHS))
    await pipeline.say(endpoint_slice("web-2", endpoint("10.1.1.1", "n1", "shop/a")), service("shop/web"))
    await pipeline.turn()
    await pipeline.turn()
    assert len(pipeline.records(PATHS)) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (node("n1", "10.0.0.1", excluded=True), {}),
        (node("n1", "10.9.9.9"), {"n1": "10.9.9.9"}),
    ],
)
async def test_a_changed_node_reaches_the_addresses_that_use_it(change: NodeFact, expected: dict[str, str]) -> None:
    pipeline = await started()
    await pipeline.say(change)
    await pipeline.turn()
    assert {name: hop.via for name, hop in hops(pipeline.path_sets()[ADDRESS]).items()} == expected


async def test_a_pod_that_appears_later_places_an_endpoint_without_node() -> None:
    pipeline = await started()
    await pipeline.say(endpoint_slice("manual", endpoint("10.1.3.1")))
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1}
    late: PodFact = pod("shop/c", "n3", "10.1.3.1")
    await pipeline.say(late)
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1, "n3": 1}
    await pipeline.unsay(late)
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1}


async def selectorless() -> Pipeline:
    """As ``started``, and the first Service has no selector: two secondary addresses, on a network that is joined."""
    pipeline = await started()
    await pipeline.say(
        service("shop/web", has_selector=False),
        nad("contrail/external", routeTargetList=["t:1"]),
        nad("my-lb/pods", routeTargetList=["t:1"]),
        multi("shop/a", "n1", "10.1.1.1", nets={"my-lb/pods": "172.16.23.0"}),
        multi("shop/b", "n2", "10.1.2.1", nets={"my-lb/pods": "172.16.24.0"}),
        endpoint_slice("web-1", endpoint("172.16.23.0"), endpoint("172.16.24.0")),
    )
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1, "n2": 1}
    return pipeline


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nad("my-lb/pods", routeTargetList=["t:2"]), {}),
        (nad("contrail/external", routeTargetList=None), {}),
        (vn("my-lb/pods", export_route_targets=("t:2",)), None),
        (nad("my-lb/other", routeTargetList=["t:2"]), None),
        (multi("shop/a", "n3", "10.1.1.1", nets={"my-lb/pods": "172.16.23.0"}), {"n2": 1, "n3": 1}),
        (multi("shop/a", "n1", "10.1.1.1", nets={"my-lb/pods": "172.16.25.0"}), {"n2": 1}),
        (multi("shop/a", "n1", "10.1.1.1", nets={"my-lb/pods": "172.16.23.0"}, labels={"a": "b"}), None),
        (multi("shop/c", "n3", "10.1.3.1", nets={"my-lb/apart": "172.16.23.0"}), None),
        (
            VirtualMachineInterfaceFact(
                namespace="shop", name="v", pod="shop/c", network="my-lb/pods", address="172.16.23.0"
            ),
            {"n2": 1},
        ),
    ],
)
async def test_a_change_of_interfaces_or_networks_reaches_the_addresses_that_use_them_and_no_others(
    change: AnyFact, expected: dict[str, int] | None
) -> None:
    pipeline = await selectorless()
    before = len(pipeline.records(PATHS))
    await pipeline.say(change)
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == ({"n1": 1, "n2": 1} if expected is None else expected)
    assert [record.key for record in pipeline.records(PATHS)[before:]] == ([] if expected is None else [ADDRESS])
    written = len(pipeline.records(PATHS))
    pipeline.start_over(Planner(DomainSettings()))
    await pipeline.turn()
    assert len(pipeline.records(PATHS)) == written, "a fresh planner comes to the same"


async def test_what_only_the_status_of_a_service_says_plans_nothing_again() -> None:
    pipeline = await started()
    planner = pipeline.processor
    assert isinstance(planner, Planner)
    await pipeline.turn()
    await pipeline.say(service("shop/web", ingress=(ADDRESS,), generation=4))
    planner.take(pipeline.records(FACTS)[-1])
    assert planner.pending == set()
    await pipeline.say(service("shop/web", session_affinity="ClientIP"))
    planner.take(pipeline.records(FACTS)[-1])
    assert planner.pending == {ADDRESS}


async def test_a_release_is_first_an_order_to_withdraw_and_then_a_tombstone() -> None:
    pipeline = await started()
    await pipeline.decide(AddressReleasing(address=ADDRESS, service="shop/web", why="ServiceDeleted"))
    await pipeline.turn()
    released = pipeline.path_sets()[ADDRESS]
    assert (released.withdraw, released.release) == (True, "contrail/external#2")
    await pipeline.decide(AddressReleased(address=ADDRESS, service="shop/web"))
    await pipeline.turn()
    assert list(pipeline.path_sets()) == [OTHER]
    assert pipeline.records(PATHS)[-1].value is None


async def test_an_entry_that_lost_the_race_changes_nothing() -> None:
    pipeline = await started()
    before = len(pipeline.records(PATHS))
    await pipeline.decide(allocated("192.168.102.9", "shop/api"), seq=1)
    await pipeline.turn()
    assert len(pipeline.records(PATHS)) == before


async def test_a_restart_writes_nothing_that_is_already_there() -> None:
    pipeline = await started()
    before = len(pipeline.records(PATHS))
    pipeline.start_over(Planner(DomainSettings()))
    await pipeline.turn()
    await pipeline.turn()
    assert len(pipeline.records(PATHS)) == before


async def test_a_restart_finds_the_changes_that_happened_meanwhile() -> None:
    pipeline = await started()
    await pipeline.decide(
        AddressReleasing(address=ADDRESS, service="shop/web"), AddressReleased(address=ADDRESS, service="shop/web")
    )
    await pipeline.unsay(endpoint_slice("api-1", of="shop/api"))
    pipeline.start_over(Planner(DomainSettings()))
    await pipeline.turn()
    assert {address: weights(path_set) for address, path_set in pipeline.path_sets().items()} == {OTHER: {}}


async def test_garbage_among_the_path_sets_is_replaced_or_removed() -> None:
    pipeline = await started()
    await pipeline.log.append(PATHS, [NewRecord(ADDRESS, b"{"), NewRecord("not-an-address", b"{}")])
    await pipeline.turn()
    assert set(pipeline.path_sets()) == {ADDRESS, OTHER}
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 1}


async def test_without_a_single_ledger_entry_nothing_is_taken_back() -> None:
    pipeline = await started()
    published = pipeline.path_sets()
    pipeline.log.store.topics[LEDGER.name].clear()
    pipeline.start_over(Planner(DomainSettings()))
    await pipeline.turn()
    assert pipeline.path_sets() == published


async def test_a_bad_fact_is_refused_and_leaves_the_state_alone() -> None:
    pipeline = await started()
    before = len(pipeline.records(PATHS))
    await pipeline.log.append(FACTS, [NewRecord("EndpointSlice/shop/web-1", b"not json")])
    with pytest.raises(BadInput):
        await pipeline.turn()
    await pipeline.processor.settle(pipeline.log)
    assert len(pipeline.records(PATHS)) == before


async def test_an_append_that_fails_is_made_up_for() -> None:
    pipeline = await started()
    await pipeline.say(endpoint_slice("web-1"))

    class Down:
        async def append(self, *args: object) -> list[int]:
            raise LogUnavailable("the log does not answer")

    for record in pipeline.records(FACTS)[-1:]:
        pipeline.processor.take(record)
    with pytest.raises(LogUnavailable):
        await pipeline.processor.settle(Down())  # type: ignore[arg-type]
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {}


async def test_a_path_set_that_fits_no_record_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "PATHS", replace(PATHS, max_bytes=1500))
    pipeline = await started()
    many = [endpoint(f"10.1.1.{n}", "n1", f"shop/a{n}") for n in range(100)]
    await pipeline.say(endpoint_slice("web-1", *many), endpoint_slice("api-1", of="shop/api"))
    with capture_logs() as lines:
        await pipeline.turn()
        await pipeline.say(endpoint_slice("web-1", *many[:99]))
        await pipeline.turn()
    found = pipeline.path_sets()
    assert {address: weights(path_set) for address, path_set in found.items()} == {ADDRESS: {"n1": 1}, OTHER: {}}
    assert [(line["key"], line["most"]) for line in lines] == [(ADDRESS, 1500)]
    await pipeline.say(endpoint_slice("web-1", *many[:2]))
    await pipeline.turn()
    assert weights(pipeline.path_sets()[ADDRESS]) == {"n1": 2}


async def test_an_echo_of_an_older_own_record_does_not_hide_the_newer_one() -> None:
    pipeline = await started()
    planner = pipeline.processor
    assert isinstance(planner, Planner)
    echoes = pipeline.records(PATHS)[:]
    await pipeline.say(endpoint_slice("web-1"))
    planner.take(pipeline.records(FACTS)[-1])
    await planner.settle(pipeline.log)
    for echo in echoes:
        planner.take(echo)
    await planner.settle(pipeline.log)
    assert len(pipeline.records(PATHS)) == len(echoes) + 1
