"""Laws of the planner: order does not matter, and nothing is counted twice or lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlb.core.backend_facts import touched_by
from ledgerlb.core.facts import AnyFact, Endpoint, Gone, fact_key, key_of
from ledgerlb.core.paths import plan, plan_from
from ledgerlb.core.pathset import encode_path_set
from ledgerlb.core.view import ClusterView
from tests.unit.paths.facts import ADDRESS, Hold, Ledger, endpoint, endpoint_slice, node, pod, service, view

NODE_NAMES = ["n1", "n2", "n3", ""]


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


@st.composite
def clusters(draw: st.DrawFn) -> list[AnyFact]:
    """One fact per object, so that every order of them describes the same cluster."""
    facts: list[AnyFact] = [service("shop/web"), service("shop/api")]
    for number in range(draw(st.integers(0, 4))):
        owner = draw(st.sampled_from(["shop/web", "shop/api"]))
        facts.append(endpoint_slice(f"s{number}", *draw(st.lists(endpoints(), max_size=6)), of=owner))
    facts.extend(
        pod(f"shop/p{number}", draw(st.sampled_from(NODE_NAMES)), f"10.1.0.{draw(st.integers(0, 7))}")
        for number in range(draw(st.integers(0, 8)))
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
@settings(max_examples=200, deadline=None)
def test_any_order_of_the_same_facts_gives_the_same_bytes(facts: list[AnyFact], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(facts))
    reversed_holds = Ledger({ADDRESS: LEDGER.by_address[ADDRESS][::-1]})
    assert encoded(view(*facts)) == encoded(view(*shuffled), reversed_holds)


@given(clusters(), clusters(), st.data())
@settings(max_examples=200, deadline=None)
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
@settings(max_examples=200, deadline=None)
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
@settings(max_examples=200, deadline=None)
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
    assert all(hop.weight == len(hop.backends) for hop in path_set.next_hops)
