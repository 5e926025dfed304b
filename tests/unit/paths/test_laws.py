"""Laws of the planner: order does not matter, nothing is counted twice or lost, and no network is mistaken for another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlb.core.cluster.facts import (
    AnyFact,
    Endpoint,
    Gone,
    PodFact,
    VirtualMachineInterfaceFact,
    fact_key,
    key_of,
)
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.paths.backend_facts import touched_by
from ledgerlb.core.paths.pathset import encode_path_set
from ledgerlb.core.paths.plan import plan, plan_from
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.paths.facts import ADDRESS, Hold, Ledger, hops, multi, nad, node, raw_endpoints, view, vn

NODE_NAMES = ["n1", "n2", "n3", ""]
EXTERNAL = "contrail/external"
NETWORKS = ["my-lb/one", "my-lb/two", EXTERNAL]
TARGETS = ["t:1", "t:2", "t:3"]
MANAGERS = ["", "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"]


@st.composite
def endpoints(draw: st.DrawFn) -> Endpoint:
    number = draw(st.integers(0, 7))
    terminating = draw(st.booleans())
    return endpoint(
        f"10.1.0.{number}",
        draw(st.sampled_from(NODE_NAMES)),
        f"shop/p{number}" if draw(st.booleans()) else "",
        ready=draw(st.booleans()),
        serving=draw(st.booleans()),
        terminating=terminating,
    )


numbers = st.integers(0, 7)
targets = st.lists(st.sampled_from(TARGETS), max_size=2)


@st.composite
def pods(draw: st.DrawFn, name: str) -> PodFact:
    """A pod whose addresses, primary and secondary, are drawn from the same few."""
    nets = {network: f"10.1.0.{draw(numbers)}" for network in draw(st.lists(st.sampled_from(NETWORKS), max_size=2))}
    phase = draw(st.sampled_from(["Running", "Running", "Succeeded"]))
    return multi(name, draw(st.sampled_from(NODE_NAMES)), f"10.1.0.{draw(numbers)}", nets=nets, phase=phase)


@st.composite
def clusters(draw: st.DrawFn) -> list[AnyFact]:
    """One fact per object, so that every order of them describes the same cluster."""
    facts: list[AnyFact] = [service("shop/web", has_selector=draw(st.booleans())), service("shop/api")]
    for number in range(draw(st.integers(0, 4))):
        owner = draw(st.sampled_from(["shop/web", "shop/api"]))
        made = endpoint_slice(f"s{number}", *draw(st.lists(endpoints(), max_size=6)), of=owner)
        facts.append(made.model_copy(update={"managed_by": draw(st.sampled_from(MANAGERS))}))
    if draw(st.booleans()):
        facts.append(raw_endpoints(*draw(st.lists(endpoints(), max_size=4))))
    facts.extend(draw(pods(f"shop/p{number}")) for number in range(draw(st.integers(0, 8))))
    facts.extend(
        VirtualMachineInterfaceFact(
            namespace="shop",
            name=f"v{number}",
            pod=f"shop/p{draw(numbers)}",
            network=draw(st.sampled_from(NETWORKS)),
            address=f"10.1.0.{draw(numbers)}",
        )
        for number in range(draw(st.integers(0, 2)))
    )
    facts.extend(
        nad(network, routeTargetList=draw(targets), exportRouteTargetList=draw(targets))
        for network in sorted(draw(st.sets(st.sampled_from(NETWORKS))))
    )
    facts.extend(
        vn(network, import_route_targets=tuple(draw(targets)), export_route_targets=tuple(draw(targets)))
        for network in sorted(draw(st.sets(st.sampled_from(NETWORKS))))
    )
    facts.extend(
        node(name, f"10.0.0.{name[1]}", excluded=draw(st.booleans()))
        for name in sorted(draw(st.sets(st.sampled_from(["n1", "n2", "n3"]))))
    )
    return facts


LEDGER = Ledger({ADDRESS: [Hold(), Hold(service="shop/api", seq=2)]})


def encoded(facts: ClusterView, ledger: Ledger = LEDGER) -> bytes:
    path_set = plan(facts, ledger, ADDRESS)
    assert path_set is not None
    return encode_path_set(path_set)


@given(clusters(), st.data())
def test_any_order_of_the_same_facts_gives_the_same_bytes(facts: list[AnyFact], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(facts))
    reversed_holds = Ledger({ADDRESS: LEDGER.by_address[ADDRESS][::-1]})
    assert encoded(view(*facts)) == encoded(view(*shuffled), reversed_holds)


@given(clusters(), clusters(), st.data())
def test_the_way_to_a_state_leaves_no_trace(before: list[AnyFact], after: list[AnyFact], data: st.DataObject) -> None:
    facts = view(*before)
    kept = {(fact.kind, fact.full_name) for fact in after}
    steps: list[AnyFact | Gone] = list(after)
    steps += [
        Gone(kind=fact.kind, namespace=fact.namespace, name=fact.name)
        for fact in before
        if (fact.kind, fact.full_name) not in kept
    ]
    for step in data.draw(st.permutations(steps)):
        facts.take(fact_key(step.kind, step.namespace, step.name), step)
    assert encoded(facts) == encoded(view(*after))


@given(clusters(), clusters())
def test_a_change_that_touches_none_of_the_looked_up_facts_changes_nothing(
    before: list[AnyFact], after: list[AnyFact]
) -> None:
    facts = view(*before)
    for fact in after:
        made_from = plan_from(facts, LEDGER, ADDRESS).made_from
        was = encoded(facts)
        if not touched_by(facts.take(key_of(fact), fact)) & made_from:
            assert encoded(facts) == was


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.booleans()), max_size=40), st.sets(st.integers(0, 3))
)
@settings(max_examples=200)
def test_the_weights_add_up_to_the_distinct_ready_pods_on_eligible_nodes(
    entries: list[tuple[int, int, bool]], excluded: set[int]
) -> None:
    homes: dict[int, tuple[int, bool]] = {number: (home, ready) for number, home, ready in entries}
    twice = [
        endpoint(f"10.1.0.{number}", f"n{homes[number][0]}", f"shop/p{number}", ready=homes[number][1])
        for number, _, _ in entries
    ]
    facts = view(
        service("shop/web"),
        *(node(f"n{number}", f"10.0.0.{number + 1}", excluded=number in excluded) for number in range(4)),
        endpoint_slice("s1", *twice[::2]),
        endpoint_slice("s2", *twice),
    )
    path_set = plan(facts, Ledger({ADDRESS: [Hold()]}), ADDRESS)
    assert path_set is not None
    expected = sum(1 for home, ready in homes.values() if ready and home not in excluded)
    assert sum(hop.weight for hop in path_set.next_hops) == expected
    assert all(hop.weight == len(hop.backends) for hop in hops(path_set).values())


@given(
    st.lists(st.tuples(numbers, st.sampled_from(NETWORKS[:2]), st.sampled_from(NODE_NAMES[:3])), max_size=8),
    st.lists(numbers, max_size=8),
    st.data(),
)
@settings(max_examples=200)
def test_an_address_on_two_unconnected_networks_never_crosses(
    owners: list[tuple[int, str, str]], listed: list[int], data: st.DataObject
) -> None:
    """Network one is joined to the external one, network two is not; the address of each pod may stand on both."""
    facts: list[AnyFact] = [
        nad(EXTERNAL, routeTargetList=["t:1"]),
        nad("my-lb/one", routeTargetList=["t:1"]),
        nad("my-lb/two", routeTargetList=["t:2"]),
        service("shop/web", has_selector=False),
        endpoint_slice("s", *(endpoint(f"172.16.{number}.0") for number in listed)),
        *(node(name, f"10.0.0.{name[1]}") for name in NODE_NAMES[:3]),
        *(
            multi(f"shop/p{index}", home, f"10.1.0.{index}", nets={network: f"172.16.{number}.0"})
            for index, (number, network, home) in enumerate(owners)
        ),
    ]
    path_set = plan(view(*data.draw(st.permutations(facts))), Ledger({ADDRESS: [Hold()]}), ADDRESS)
    assert path_set is not None
    expected = set()
    for number in set(listed):
        homes = [home for at, network, home in owners if (at, network) == (number, "my-lb/one")]
        if len(homes) == 1:  # two owners on one network are told, not guessed
            expected.add((homes[0], f"172.16.{number}.0:8080"))
    assert {(node, backend) for node, hop in hops(path_set).items() for backend in hop.backends} == expected
    for number in {number for number in listed if any(at == number for at, *_ in owners)}:
        if not any(backend == f"172.16.{number}.0:8080" for _, backend in expected):
            assert any(f"172.16.{number}.0" in note and "my-lb/" in note for note in path_set.notes)
