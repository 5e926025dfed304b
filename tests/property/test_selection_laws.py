"""Laws of selection: the same facts in any order give the same networks and the same choices, and no choice is half made."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlb.core.cluster.facts import Gone, fact_key, key_of
from ledgerlb.core.cluster.labels import parse_selector, parse_selector_text
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.networks import networks
from ledgerlb.core.selection import Anchor, SelectionContext, explain, select
from ledgerlb.core.selection.candidates import Needs, obstacle
from ledgerlb.core.settings import DomainSettings
from tests.unit.selection.world import NETWORK, SELECTOR, flat, kubemanager, nad, namespace, service, vn

NAMESPACES = ("a", "b", "contrail")
NAMES = ("x", "y", "z")
VALUES = ("1", "2")
CIDRS = ("10.0.0.0/24", "10.0.0.128/25", "10.1.0.0/16", "10.2.0.7/24", "broken", "10.3.0.0/24")
CIDRS6 = ("2001:db8::/64", "2001:db8::/48", "2001:db8:1::/64")

places = st.sampled_from(NAMESPACES)
labels = st.dictionaries(st.sampled_from(("k", "l")), st.sampled_from(VALUES), max_size=2)
full_names = st.builds("{}/{}".format, places, st.sampled_from(NAMES))
label_selectors = st.one_of(
    st.builds(lambda found: {"matchLabels": found}, labels),
    st.builds(
        lambda key, operator: {
            "matchExpressions": [
                {"key": key, "operator": operator, **({"values": ["1"]} if operator.endswith("In") else {})}
            ]
        },
        st.sampled_from(("k", "l")),
        st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")),
    ),
)
selectors = st.dictionaries(
    st.sampled_from(("default-external", "one", "two")),
    st.one_of(
        st.builds(lambda of_networks: {"networkSelector": of_networks}, label_selectors),
        st.builds(
            lambda of_networks, of_namespaces: {"networkSelector": of_networks, "namespaceSelector": of_namespaces},
            label_selectors,
            label_selectors,
        ),
        st.just({"networkSelector": 5}),
    ),
    max_size=3,
)
annotations = st.one_of(
    st.just({}),
    st.builds(lambda value: {NETWORK: value}, st.one_of(full_names, st.sampled_from((*NAMES, "", "a/b/c")))),
    st.builds(lambda value: {SELECTOR: value}, st.sampled_from(("default-external", "one", "two", "unknown"))),
)
terms = st.sampled_from(
    ({}, {}, {}, {"ledgerlb.io/lease": "soon"}, {"ledgerlb.io/allowed-namespaces": "k=1"}, {"ledgerlb.io/lease": "1h"})
)
prefixes = st.one_of(
    st.tuples(st.sampled_from(CIDRS)),
    st.tuples(st.sampled_from(CIDRS6)),
    st.tuples(st.sampled_from(CIDRS), st.sampled_from(CIDRS6)),
)
targets = st.sampled_from(((), (), ("t:1",), ("t:2",), ("t:1", "t:2")))
vns = st.builds(
    lambda name, cidrs, day, *, found, said, both: vn(
        name, *cidrs, day=day, labels=found, annotations=said, route_targets=both
    ),
    full_names, prefixes, st.integers(1, 4), found=labels, said=terms, both=targets,
)  # fmt: skip
nads = st.builds(
    lambda name, cidr, day, found, said: nad(name, {"ipamV4Subnet": cidr}, day=day, labels=found, annotations=said),
    full_names, st.sampled_from(CIDRS), st.integers(1, 4), labels, terms,
)  # fmt: skip
spaces = st.builds(namespace, places, labels, annotations)
clusters = st.lists(st.one_of(vns, vns, nads, spaces, st.builds(kubemanager, selectors)), max_size=14).map(
    # one object per key: the last one stands
    lambda facts: list({key_of(fact): fact for fact in flat(facts)}.values())
)
services = st.builds(
    lambda place, said, families, policy: service(f"{place}/svc", said, ip_families=families, ip_family_policy=policy),
    places,
    annotations,
    st.sampled_from(((), (4,), (6,), (4, 6), (6, 4))),
    st.sampled_from(("", "SingleStack", "PreferDualStack", "RequireDualStack")),
)
anchors = st.one_of(st.none(), st.builds(Anchor, full_names, st.just("default-selector")))
multus = st.sampled_from((DomainSettings(), DomainSettings(multus=True)))


def fold(facts):
    view = ClusterView()
    for fact in facts:
        view.take(key_of(fact), fact)
    return view


@settings(max_examples=150, deadline=None)
@given(
    facts=clusters,
    random=st.randoms(use_true_random=False),
    of=services,
    anchor=anchors,
    config=multus,
    holders=st.sets(full_names, max_size=3),
)
def test_the_same_facts_in_any_order_give_the_same_choice(*, facts, random, of, anchor, config, holders):
    shuffled = list(facts)
    random.shuffle(shuffled)
    first, second = fold(facts), fold(shuffled)
    assert networks(first, config, holders) == networks(second, config, holders)
    assert select(SelectionContext.of(first, config, holders), of, anchor) == select(
        SelectionContext.of(second, config, holders), of, anchor
    )


@settings(max_examples=100, deadline=None)
@given(clusters, clusters, services, multus)
def test_what_was_there_before_leaves_no_trace(before, after, of, config):
    view = fold(before)
    for fact in before:
        view.take(
            fact_key(fact.kind, fact.namespace, fact.name),
            Gone(kind=fact.kind, namespace=fact.namespace, name=fact.name),
        )
    for fact in after:
        view.take(key_of(fact), fact)
    fresh = fold(after)
    assert select(SelectionContext.of(view, config), of) == select(SelectionContext.of(fresh, config), of)


@settings(max_examples=150, deadline=None)
@given(clusters, services, anchors, multus, st.sets(full_names, max_size=3))
def test_every_choice_is_whole_and_explained(facts, of, anchor, config, holders):
    context = SelectionContext.of(fold(facts), config, holders)
    choice = select(context, of, anchor)
    assert (choice.network is None) == (choice.reason is not None)
    assert choice.message
    assert sum(look.taken for look in choice.candidates) <= 1
    present = [look.rung for look in choice.rungs if look.present and look.rung != "none"]
    fresh = select(context, of)
    assert fresh.rung == (present[0] if present else None), "the first rung that is present decides"
    if fresh.network is not None:
        needs = Needs(of.namespace, context.view.namespace_labels(of.namespace), fresh.families, fresh.required)
        assert obstacle(context.networks[fresh.network], needs) is None, "no unusable network is ever chosen"
    if choice.network != fresh.network:
        assert anchor is not None
        assert choice.network == anchor.network
        assert (choice.drift, choice.drift_reason) == (fresh.network, fresh.reason)
    assert explain(choice)


@settings(max_examples=100, deadline=None)
@given(clusters, multus, st.sets(full_names, max_size=3))
def test_of_two_overlapping_networks_in_one_context_one_gives_out_nothing(facts, config, holders):
    found = list(networks(fold(facts), config, holders).values())
    for one in found:
        for other in found:
            if one.name < other.name and _overlap(one, other):
                assert one.problem is not None or other.problem is not None


def _overlap(one, other):
    apart = one.targets and other.targets and not set(one.targets.named) & set(other.targets.named)
    return not apart and any(_meet(p.prefix, q.prefix) for p in one.prefixes for q in other.prefixes)


def _meet(one, other):
    left, right = ip_network(one), ip_network(other)
    return left.version == right.version and left.overlaps(right)


@settings(max_examples=100, deadline=None)
@given(label_selectors, labels)
def test_a_selector_and_its_string_form_match_the_same(raw, found):
    selector = parse_selector(raw)
    assert parse_selector_text(str(selector)) == selector
    assert parse_selector_text(str(selector)).matches(found) == selector.matches(found)
