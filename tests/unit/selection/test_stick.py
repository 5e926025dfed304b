"""A holder stays where it is: what moves it, what does not, and what it is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledgerlb.core.cluster.services import basis_of
from ledgerlb.core.intents.model import AddressIntent, Withdrawal
from ledgerlb.core.selection import Anchor, anchor_of
from tests.builders.objects import ADMITTED
from tests.unit.selection.world import (
    DEFAULT_LABEL,
    NETWORK,
    SELECTOR,
    START,
    World,
    documented,
    holding,
    kubemanager,
    namespace,
    service,
    vn,
)

DEFAULT = "contrail/default-external-vn"
ONE = "custom-namespace/external-vn-1"
SERVICE = service("a/s")
HELD = Anchor(DEFAULT, "default-selector")


def test_a_fresh_choice_and_a_holders_choice_of_the_same_network_are_the_same():
    world = World(*documented())
    assert world.select(SERVICE, HELD) == world.select(SERVICE)


@pytest.mark.parametrize(
    ("change", "fresh"),
    [
        ([namespace("a", annotations={NETWORK: ONE})], ONE),
        ([namespace("a", annotations={SELECTOR: "custom-external"})], ONE),
        ([namespace("contrail", annotations={NETWORK: ONE})], ONE),
        ([vn("contrail/older", "10.9.0.0/24", labels=DEFAULT_LABEL, created="2025-01-01T00:00:00Z")], "contrail/older"),
    ],
)
def test_what_does_not_concern_the_holder_does_not_move_it(change, fresh):
    world = World(*documented(), *change)
    choice = world.select(SERVICE, HELD)
    assert (choice.network, choice.rung, choice.reason) == (DEFAULT, "default-selector", None)
    assert (choice.drift, choice.drift_reason) == (fresh, None)
    assert f"would take {fresh}" in choice.message
    assert world.select(SERVICE).network == fresh, "newcomers follow"


@pytest.mark.parametrize(
    ("selectors", "reason"),
    [({}, "NoDefaultNetwork"), ({"default-external": {}}, "InvalidAnnotation")],
)
def test_an_edited_kubemanager_moves_no_holder_and_shows_what_a_newcomer_would_get(selectors, reason):
    choice = World(*documented(), kubemanager(selectors)).select(SERVICE, HELD)
    assert (choice.network, choice.reason) == (DEFAULT, None)
    assert (choice.drift, choice.drift_reason) == (None, reason)
    assert reason in choice.message


@pytest.mark.parametrize(
    "replacement",
    [
        vn(DEFAULT, "192.168.102.0/24"),
        vn(DEFAULT, "192.168.102.0/24", labels=DEFAULT_LABEL, annotations={"ledgerlb.io/allowed-namespaces": "q=r"}),
        vn(DEFAULT, "192.168.102.0/24", labels=DEFAULT_LABEL, annotations={"ledgerlb.io/quota-per-namespace": "x"}),
        vn(DEFAULT, "nonsense", labels=DEFAULT_LABEL),
    ],
    ids=["relabelled", "no-longer-allowed", "broken-annotation", "broken-prefix"],
)
def test_a_network_that_closes_to_newcomers_keeps_its_holders(replacement):
    world = World(*documented())
    world.put(replacement)
    assert world.select(SERVICE, HELD).network == DEFAULT
    assert world.select(SERVICE).network is None


def test_a_conflict_keeps_the_holders_and_is_told():
    world = World(*documented(), namespace("x", ADMITTED), vn("x/y", "192.168.0.0/16", created="2020-01-01T00:00:00Z"))
    choice = world.select(SERVICE, HELD, holders=["x/y", DEFAULT])
    assert (choice.network, choice.drift_reason) == (DEFAULT, "NetworkConflict")


def test_a_network_that_ceases_to_exist_moves_its_holders():
    world = World(*documented(), namespace("a", annotations={NETWORK: ONE}))
    world.drop("VirtualNetwork", DEFAULT)
    choice = world.select(SERVICE, HELD)
    assert (choice.network, choice.drift) == (ONE, None)


def test_a_network_that_loses_a_needed_family_moves_its_holders():
    world = World(*documented())
    world.put(vn(DEFAULT, "2001:db8::/64", labels=DEFAULT_LABEL, v4_subnet=""))
    assert world.select(SERVICE, HELD).reason == "FamilyUnavailable"


def test_losing_a_family_that_is_only_preferred_moves_nobody():
    of = service("a/s", ip_family_policy="PreferDualStack", ip_families=(4, 6))
    world = World(*documented(), namespace("a", annotations={NETWORK: ONE}))
    assert world.select(of, HELD).network == DEFAULT


def test_requested_addresses_that_do_not_parse_are_told_to_a_holder_too():
    of = service("a/s", {"ledgerlb.io/addresses": "nonsense"})
    assert World(*documented()).select(of, HELD).reason == "InvalidAnnotation"


# -- the anchor -------------------------------------------------------------------------------------------------------


def want(of, network, **more):
    fields = {"basis": basis_of(of), "uid": of.uid, "rung": "default-selector"} | more
    return AddressIntent(network=network, service=of.full_name, revision=1, **fields)


def test_who_holds_nothing_has_no_anchor():
    assert anchor_of(SERVICE, [], {}) is None
    assert anchor_of(SERVICE, [], {DEFAULT: want(SERVICE, DEFAULT)}) is None


def test_who_holds_by_its_present_wishes_is_anchored_there():
    held = [holding(SERVICE, DEFAULT)]
    assert anchor_of(SERVICE, held, {}) == Anchor(DEFAULT, "")
    assert anchor_of(SERVICE, held, {DEFAULT: want(SERVICE, DEFAULT)}) == Anchor(DEFAULT, "default-selector")


@pytest.mark.parametrize(("before", "after"), [(None, "k"), ("k", "j"), ("k", None)])
def test_a_new_sharing_key_alone_leaves_the_anchor(before, after):
    first, then = (service("a/s", {"ledgerlb.io/sharing-key": key} if key else {}) for key in (before, after))
    assert anchor_of(then, [holding(first, DEFAULT)], {DEFAULT: want(first, DEFAULT)}) == Anchor(
        DEFAULT, "default-selector"
    )


@pytest.mark.parametrize(
    "changed",
    [
        service("a/s", {NETWORK: ONE}),
        service("a/s", {SELECTOR: "x"}),
        service("a/s", {"ledgerlb.io/addresses": "192.168.102.9"}),
        service("a/s", load_balancer_ip="192.168.102.9"),
        service("a/s", ip_families=(6,)),
        service("a/s", ip_family_policy="RequireDualStack"),
    ],
)
def test_a_change_of_the_services_own_wishes_lifts_the_anchor(changed):
    assert anchor_of(changed, [holding(SERVICE, DEFAULT)], {DEFAULT: want(SERVICE, DEFAULT)}) is None


@pytest.mark.parametrize(
    "changed",
    [
        service("a/s", labels={"x": "y"}),
        service("a/s", {"unrelated": "x"}),
        service("a/s", ingress=("192.168.102.2",), generation=9),
        service("a/s", ports=()),
    ],
)
def test_other_changes_do_not(changed):
    assert anchor_of(changed, [holding(SERVICE, DEFAULT)], {}) is not None


def test_a_network_asked_with_the_present_wishes_counts_while_the_address_is_still_that_of_the_old_ones():
    changed = service("a/s", {"ledgerlb.io/addresses": "192.168.102.9"})
    held = [holding(SERVICE, DEFAULT)]
    assert anchor_of(changed, held, {DEFAULT: want(changed, DEFAULT)}) == Anchor(DEFAULT, "default-selector")


def test_a_network_that_it_was_withdrawn_from_does_not_count():
    word = Withdrawal(network=DEFAULT, service="a/s", revision=2)
    assert anchor_of(SERVICE, [holding(SERVICE, DEFAULT)], {DEFAULT: word}) is None


def test_an_address_that_is_being_released_does_not_count():
    assert anchor_of(SERVICE, [holding(SERVICE, DEFAULT, state="releasing")], {}) is None


def test_what_an_earlier_service_of_the_name_holds_does_not_count():
    assert anchor_of(SERVICE, [holding(SERVICE, DEFAULT, uid="another")], {}) is None


def test_of_two_networks_the_one_asked_for_counts_then_the_latest():
    first = holding(SERVICE, DEFAULT, since=START + timedelta(seconds=5))
    second = holding(SERVICE, ONE, "192.168.103.2", since=START)
    assert anchor_of(SERVICE, [first, second], {ONE: want(SERVICE, ONE)}).network == ONE
    assert anchor_of(SERVICE, [first, second], {}).network == DEFAULT
    assert anchor_of(SERVICE, [second, first], {}).network == DEFAULT
