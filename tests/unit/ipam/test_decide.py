"""Allocation and release: what each wish leads to."""

from datetime import timedelta

import pytest

from ledgerlb.core.intents.model import PrefixOffer
from ledgerlb.core.paths.pathset import Heartbeat, Report
from ledgerlb.core.settings import Defaults
from tests.support.ledger import NETWORK, START, Office, intent_of, kinds, offer, withdrawal_of

V4 = "192.168.102.0/24"
V6 = "2001:db8::/64"


@pytest.mark.parametrize(
    ("prefix", "first"),
    [
        (PrefixOffer(family=4, prefix="192.168.102.0/24"), "192.168.102.2"),
        (PrefixOffer(family=4, prefix="192.168.102.0/24", gateway="192.168.102.254"), "192.168.102.1"),
        (PrefixOffer(family=4, prefix="10.0.0.0/30"), "10.0.0.2"),
        (PrefixOffer(family=4, prefix="10.0.0.0/31"), "10.0.0.0"),
        (PrefixOffer(family=4, prefix="10.0.0.0/31", gateway="10.0.0.0"), "10.0.0.1"),
        (PrefixOffer(family=4, prefix="10.0.0.7/32"), "10.0.0.7"),
        (PrefixOffer(family=6, prefix="2001:db8::/64"), "2001:db8::2"),
        (PrefixOffer(family=6, prefix="2001:db8::/64", gateway="2001:db8::ffff"), "2001:db8::1"),
        (PrefixOffer(family=6, prefix="2001:db8::/127"), "2001:db8::"),
        (PrefixOffer(family=4, prefix="10.0.0.0/24", ranges=(("10.0.0.100", "10.0.0.110"),)), "10.0.0.100"),
        (PrefixOffer(family=4, prefix="10.0.0.0/24", excluded=(("10.0.0.2", "10.0.0.9"),)), "10.0.0.10"),
    ],
)
def test_first_address_of_a_network(prefix, first):
    office = Office(offer(prefix))
    office.settle(intent_of("web", families=(prefix.family,)))
    assert office.held("web") == [first]


def test_every_usable_address_of_a_slash_29_is_given_once_then_the_network_is_full():
    office = Office(offer("10.0.0.0/29"))
    office.settle(*(intent_of(f"s{n}") for n in range(5)))
    assert sorted(office.held(f"s{n}")[0] for n in range(5)) == [f"10.0.0.{n}" for n in range(2, 7)]
    office.settle(*(intent_of(f"s{n}") for n in range(6)))
    assert office.held("s5") == []
    assert office.refusal("s5") == "NetworkFull"


def test_satisfied_wish_leads_to_nothing_however_often_it_is_repeated():
    office = Office(offer(V4))
    office.settle(intent_of("web"))
    assert office.decide(intent_of("web")) == ()
    assert office.decide(intent_of("web", revision=9)) == ()


def test_sharers_from_before_the_rule_on_local_stay_together_until_one_is_edited():
    office = Office(offer(V4))
    ports = {"a": (("TCP", 80),), "b": (("TCP", 443),)}
    office.settle(*(intent_of(name, sharing_key="k", ports=ports[name]) for name in ports))
    local = {"sharing_key": "k", "local": True, "basis": "basis-1"}
    office.settle(*(intent_of(name, 2, selector=name, ports=ports[name], **local) for name in ports))
    assert office.held("a") == office.held("b") == ["192.168.102.2"]
    edited = local | {"basis": "basis-2"}
    office.settle(intent_of("a", 3, selector="other", ports=ports["a"], **edited))
    assert (office.held("a"), office.held("b")) == (["192.168.102.3"], ["192.168.102.2"])


def test_refusal_is_written_once_and_taken_back_when_served():
    office = Office(offer("10.0.0.0/30"))
    office.settle(intent_of("a"))
    assert kinds(office.decide(intent_of("b"))) == ["AllocationRefused"]
    assert office.decide(intent_of("b")) == ()
    office.settle(withdrawal_of("a"), rounds=5)
    assert kinds(office.settle(intent_of("b"))) == ["AddressAllocated", "RefusalCleared"]
    assert office.held("b") == ["10.0.0.2"]
    assert office.refusal("b") is None


def test_two_families_stand_in_one_entry():
    office = Office(offer(V4, V6))
    office.decide(intent_of("web", families=(6, 4)))
    assert office.held("web") == ["2001:db8::2", "192.168.102.2"]
    assert len(office.raw) == 1


def test_required_second_family_that_is_missing_leaves_a_newcomer_with_nothing():
    office = Office(offer(V4))
    office.settle(intent_of("web", families=(4, 6)))
    assert office.held("web") == []
    assert office.refusal("web") == "FamilyUnavailable"


def test_required_second_family_added_later_does_not_touch_the_first():
    office = Office(offer(V4))
    office.settle(intent_of("web"))
    office.settle(intent_of("web", revision=2, families=(4, 6)))
    assert office.held("web") == ["192.168.102.2"]
    assert office.refusal("web") == "FamilyUnavailable"
    office.offer = offer(V4, V6, revision=2)
    office.settle(intent_of("web", revision=2, families=(4, 6)))
    assert office.held("web") == ["192.168.102.2", "2001:db8::2"]
    assert office.refusal("web") is None


def test_second_family_removed_is_released_alone():
    office = Office(offer(V4, V6))
    office.settle(intent_of("web", families=(4, 6)))
    office.settle(intent_of("web", revision=2, families=(4,)))
    assert office.held("web") == ["192.168.102.2"]
    assert office.state.records["2001:db8::2"].status == "quarantined"


def test_preferred_second_family_that_the_network_lacks_is_no_refusal():
    office = Office(offer(V4))
    office.settle(intent_of("web", families=(4, 6), required=()))
    assert office.held("web") == ["192.168.102.2"]
    assert office.refusal("web") is None


def test_preferred_family_that_is_full_is_told_and_the_other_served():
    office = Office(offer("10.0.0.0/30", V6))
    office.settle(intent_of("a"), intent_of("b", families=(4, 6), required=()))
    assert office.held("b") == ["2001:db8::2"]
    assert office.fold.refusals_of("default/b")[0].families == (4,)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.9.9.9", "RequestedAddressOutsideNetwork"),
        ("192.168.102.0", "RequestedAddressReserved"),
        ("192.168.102.1", "RequestedAddressReserved"),
        ("192.168.102.255", "RequestedAddressReserved"),
        ("192.168.102.77", "RequestedAddressReserved"),
        ("192.168.102.2", "RequestedAddressInUse"),
        ("2001:db8::5", "FamilyUnavailable"),
    ],
)
def test_requested_address_that_cannot_be_had_is_refused_and_never_replaced(address, reason):
    prefix = PrefixOffer(family=4, prefix=V4, excluded=(("192.168.102.77", "192.168.102.77"),))
    office = Office(offer(prefix))
    office.settle(intent_of("first"))
    office.settle(intent_of("picky", requested=(address,)))
    assert office.refusal("picky") == reason
    assert office.held("picky") == []


def test_request_inside_the_prefix_but_outside_the_ranges_is_outside():
    office = Office(offer(PrefixOffer(family=4, prefix=V4, ranges=(("192.168.102.10", "192.168.102.20"),))))
    office.settle(intent_of("web", requested=("192.168.102.30",)))
    assert office.refusal("web") == "RequestedAddressOutsideNetwork"


def test_changed_request_allocates_first_and_releases_the_old_address_once_programmed():
    office = Office(offer(V4))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    office.settle(intent_of("web"))
    again = intent_of("web", revision=2, requested=("192.168.102.50",))
    office.settle(again)
    assert office.held("web") == ["192.168.102.2", "192.168.102.50"]
    report = Report(address="192.168.102.50", agent="n1", state="programmed", path="x", at=START)
    office.agents.take("192.168.102.50/n1", report, START)
    office.settle(again)
    assert office.held("web") == ["192.168.102.50"]
    assert office.state.records["192.168.102.2"].status == "releasing"


def test_release_waits_for_every_live_agent_to_confirm_this_very_release():
    office = Office(offer(V4))
    for agent in ("n1", "n2"):
        office.agents.take(f"heartbeat/{agent}", Heartbeat(agent=agent, at=START, started=START), START)
    office.settle(intent_of("web"))
    office.settle(withdrawal_of("web"))
    record = office.state.records["192.168.102.2"]
    release = f"{NETWORK}#{record.release_seq}"

    def confirm(agent, release):
        done = Report(address=record.address, agent=agent, state="withdrawn", path="x", release=release, at=START)
        office.agents.take(f"{record.address}/{agent}", done, START)

    confirm("n1", release)
    confirm("n2", f"{NETWORK}#0")
    assert office.settle() == []
    confirm("n2", release)
    (released,) = office.settle()
    assert released.confirmed == ("n1", "n2")
    assert released.dead == ()


def test_silent_agent_is_declared_dead_after_the_timeout_and_the_entry_says_so():
    office = Office(offer(V4))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    office.settle(intent_of("web"))
    office.settle(withdrawal_of("web"))
    office.advance(300)
    assert office.settle() == []
    office.advance(1)
    (released,) = office.settle()
    assert released.dead == ("n1",)


def test_an_agent_that_died_while_an_earlier_sharer_held_the_address_is_named():
    office = Office(offer(V4))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    office.settle(intent_of("first", sharing_key="k"))
    office.advance(3600)
    office.settle(intent_of("second", sharing_key="k", ports=(("TCP", 443),)))
    office.settle(withdrawal_of("first"))
    *_, released = office.settle(withdrawal_of("second"))
    assert released.dead == ("n1",)


def test_an_agent_that_said_goodbye_is_neither_awaited_nor_dead():
    office = Office(offer(V4))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START, stopped=True), START)
    office.settle(intent_of("web"))
    *_, released = office.settle(withdrawal_of("web"))
    assert (released.confirmed, released.dead) == ((), ())


def test_released_address_stays_in_quarantine_then_goes_to_others_only_after_never_used_ones():
    office = Office(offer("10.0.0.0/29"))
    office.settle(intent_of("a"), intent_of("b"))
    office.settle(withdrawal_of("a"))
    office.settle(intent_of("c"))
    assert office.held("c") == ["10.0.0.4"]
    office.settle(intent_of("picky", requested=("10.0.0.2",)))
    assert office.refusal("picky") == "RequestedAddressQuarantined"
    office.advance(301)
    office.settle(intent_of("picky", requested=("10.0.0.2",)))
    assert office.held("picky") == ["10.0.0.2"]


def test_service_that_returns_within_its_lease_regains_its_address_even_from_quarantine():
    office = Office(offer(V4))
    office.settle(intent_of("a"), intent_of("b"))
    office.settle(withdrawal_of("a"))
    office.settle(intent_of("a", revision=3, uid="another"))
    assert office.held("a") == ["192.168.102.2"]


def test_after_the_lease_the_former_holder_has_no_claim():
    office = Office(offer(V4), Defaults(quarantine=60, lease=600))
    office.settle(intent_of("a"), intent_of("b"))
    office.settle(withdrawal_of("a"))
    office.advance(601)
    office.settle()
    office.settle(intent_of("a", revision=3))
    assert office.held("a") == ["192.168.102.4"]


def test_full_network_takes_leased_then_quarantined_addresses_oldest_first():
    office = Office(offer("10.0.0.0/29"), Defaults(quarantine=600, lease=86400))
    office.settle(*(intent_of(f"s{n}") for n in range(5)))
    office.settle(withdrawal_of("s0"))
    office.advance(601)
    office.settle()  # s0's address: out of quarantine, still leased
    office.settle(withdrawal_of("s1"))
    office.advance(1)
    office.settle(withdrawal_of("s2"))
    office.settle(intent_of("x"))
    assert office.held("x") == ["10.0.0.2"]
    (event,) = office.settle(intent_of("y"))
    assert (event.address, event.choice) == ("10.0.0.3", "quarantine-cut")


def test_idle_addresses_go_longest_free_first():
    office = Office(offer("10.0.0.0/29"), Defaults(quarantine=0, lease=0))
    office.settle(*(intent_of(f"s{n}") for n in range(5)))
    office.settle(withdrawal_of("s3"))
    office.settle(withdrawal_of("s1"))
    office.settle(intent_of("x"))
    office.settle(intent_of("y"))
    assert office.held("x") == ["10.0.0.5"]
    assert office.held("y") == ["10.0.0.3"]


def test_wanting_it_back_during_the_release_cancels_the_release():
    office = Office(offer(V4))
    office.agents.take("heartbeat/n1", Heartbeat(agent="n1", at=START, started=START), START)
    office.settle(intent_of("web"))
    office.settle(withdrawal_of("web"))
    assert kinds(office.settle(intent_of("web", revision=3, uid="new"))) == ["ReleaseCancelled"]
    assert office.held("web") == ["192.168.102.2"]


def test_older_revision_undoes_nothing():
    office = Office(offer(V4))
    office.settle(intent_of("web", revision=5))
    assert office.decide(withdrawal_of("web", revision=4)) == ()
    assert office.held("web") == ["192.168.102.2"]


def test_sharing_joins_disjoint_ports_of_one_namespace_only():
    office = Office(offer(V4))
    office.settle(intent_of("a", sharing_key="k"))
    office.settle(intent_of("b", sharing_key="k", ports=(("TCP", 443),)))
    office.settle(intent_of("c", sharing_key="k", ports=(("TCP", 80),)))
    office.settle(intent_of("other/d", sharing_key="k", ports=(("UDP", 53),)))
    assert office.held("b") == office.held("a") == ["192.168.102.2"]
    assert office.held("c") == ["192.168.102.3"]
    assert office.held("other/d") == ["192.168.102.4"]
    assert office.state.allocated() == 3
    assert kinds(office.settle(withdrawal_of("a"))) == ["HolderLeft"]
    assert office.held("b") == ["192.168.102.2"]


@pytest.mark.parametrize(
    ("key", "reason"), [("k", "SharingConflict"), ("other", "RequestedAddressInUse"), ("", "RequestedAddressInUse")]
)
def test_requesting_a_shared_address_that_cannot_be_joined(key, reason):
    office = Office(offer(V4))
    office.settle(intent_of("a", sharing_key="k"))
    office.settle(intent_of("b", sharing_key=key, requested=("192.168.102.2",)))
    assert office.refusal("b") == reason


def test_key_changed_while_sharing_moves_and_sole_holder_stays():
    office = Office(offer(V4))
    office.settle(intent_of("a", sharing_key="k"))
    office.settle(intent_of("b", sharing_key="k", ports=(("TCP", 443),)))
    office.settle(intent_of("b", revision=2, sharing_key="other", ports=(("TCP", 443),)))
    assert office.held("b") == ["192.168.102.3"]
    office.settle(intent_of("a", revision=2, sharing_key="third"))
    assert office.held("a") == ["192.168.102.2"]


def test_quota_counts_a_namespace_once_per_address():
    office = Office(offer(V4, quota_per_namespace=1))
    office.settle(intent_of("a", sharing_key="k"))
    office.settle(intent_of("b", sharing_key="k", ports=(("TCP", 443),)))
    office.settle(intent_of("c"))
    office.settle(intent_of("other/d"))
    assert office.held("b") == ["192.168.102.2"]
    assert office.refusal("c") == "QuotaExceeded"
    assert office.held("other/d") == ["192.168.102.3"]


def test_namespace_that_is_not_allowed_gets_nothing_and_holders_keep():
    office = Office(offer(V4))
    office.settle(intent_of("a", namespace_labels={"team": "x"}))
    office.offer = offer(V4, revision=2, allowed_namespaces="team in (y)")
    office.settle(intent_of("a", namespace_labels={"team": "x"}), intent_of("b", namespace_labels={"team": "x"}))
    office.settle(intent_of("c", namespace_labels={"team": "y"}))
    assert office.held("a") == ["192.168.102.2"]
    assert office.refusal("b") == "NetworkNotAllowed"
    assert office.held("c") == ["192.168.102.3"]


def test_network_with_a_problem_gives_nothing_new_and_says_which():
    office = Office(offer(V4))
    office.settle(intent_of("a"))
    office.offer = offer(V4, revision=2, problem="NetworkConflict", message="overlaps x/y")
    office.settle(intent_of("a"), intent_of("b"))
    assert office.held("a") == ["192.168.102.2"]
    assert office.refusal("b") == "NetworkConflict"


def test_status_address_is_adopted_before_newcomers_are_served():
    office = Office(offer(V4))
    office.settle(intent_of("new"), intent_of("old", created="2026-01-01T00:00:00Z", adopt=("192.168.102.2",)))
    assert office.held("old") == ["192.168.102.2"]
    assert office.held("new") == ["192.168.102.3"]


@pytest.mark.parametrize("shown", ["192.168.102.1", "10.1.1.1"])
def test_address_that_cannot_be_adopted_is_told_and_another_is_given(shown):
    office = Office(offer(V4))
    events = office.settle(intent_of("old", adopt=(shown,)))
    assert "AdoptionRefused" in kinds(events)
    assert office.held("old") == ["192.168.102.2"]


def test_shrink_that_would_cut_holders_off_is_refused_with_their_list():
    office = Office(offer("10.0.0.0/28"))
    office.settle(*(intent_of(f"s{n}") for n in range(8)))
    office.offer = offer("10.0.0.0/29", revision=2)
    (event, *_) = office.settle()
    assert kinds([event]) == ["PrefixChangeRefused"]
    assert ("10.0.0.8", "default/s6") in event.holders
    office.settle(withdrawal_of("s0"))
    office.settle(intent_of("newcomer"))
    assert office.held("newcomer") == ["10.0.0.2"]


def test_forced_shrink_strands_the_holder_and_keeps_its_address():
    office = Office(offer("10.0.0.0/28"))
    office.settle(*(intent_of(f"s{n}") for n in range(8)))
    office.offer = offer("10.0.0.0/29", revision=2, force_prefix=("10.0.0.0/29",))
    office.settle()
    assert office.held("s6") == ["10.0.0.8"]
    assert [h.stranded for h in office.fold.holdings_of("default/s6")] == [True]


def test_family_that_goes_as_a_whole_is_not_refused_and_its_holders_are_stranded():
    office = Office(offer(V4, V6))
    office.settle(intent_of("web", families=(4, 6)))
    office.offer = offer(V4, revision=2)
    (event, *_) = office.settle()
    assert event.stranded == ("2001:db8::2",)
    assert office.held("web") == ["192.168.102.2", "2001:db8::2"]


def test_family_that_goes_while_the_other_ones_prefix_changes_is_not_refused():
    office = Office(offer("10.0.0.0/29", V6))
    office.settle(intent_of("web", families=(4, 6)))
    office.offer = offer("10.0.0.0/28", revision=2)
    (event, *_) = office.settle()
    assert kinds([event]) == ["NetworkDefined"]
    assert event.stranded == ("2001:db8::2",)


def test_whoever_is_stranded_already_refuses_no_later_change():
    office = Office(offer("10.0.0.0/28"))
    office.settle(*(intent_of(f"s{n}") for n in range(8)))
    office.offer = offer("10.0.0.0/29", revision=2, force_prefix=("10.0.0.0/29",))
    office.settle()
    office.offer = offer(PrefixOffer(family=4, prefix="10.0.0.0/29", excluded=(("10.0.0.1", "10.0.0.1"),)), revision=3)
    (event, *_) = office.settle()
    assert kinds([event]) == ["NetworkDefined"]
    assert event.stranded == ("10.0.0.8", "10.0.0.9")


def test_gone_network_serves_nobody_new_and_takes_nothing_away():
    office = Office(offer(V4))
    office.settle(intent_of("a"))
    office.offer = offer(revision=2, gone=True)
    office.settle(intent_of("a"), intent_of("b"))
    assert office.held("a") == ["192.168.102.2"]
    assert office.refusal("b") == "NetworkNotFound"


def test_entry_names_who_asked_and_which_rung_chose():
    office = Office(offer(V4))
    office.settle(intent_of("web", requester="kubectl", rung="default-selector", explanation="because"))
    cause = office.fold.networks[NETWORK]
    assert cause.revisions == {"default/web": 1}
    assert b'"requester":"kubectl"' in office.raw[-1]
    assert b'"rung":"default-selector"' in office.raw[-1]


def test_huge_batch_is_split_and_loses_nobody():
    office = Office(offer("10.0.0.0/16"))
    wishes = [intent_of(f"s{n:04}") for n in range(1000)]
    office.settle(*wishes, rounds=20)
    held = [office.held(f"s{n:04}")[0] for n in range(1000)]
    assert len(set(held)) == 1000
    assert len(office.raw) >= 2


def test_ipv6_prefix_is_never_enumerated():
    office = Office(offer("2001:db8::/32"))
    office.settle(*(intent_of(f"s{n}", families=(6,)) for n in range(50)))
    assert office.held("s0") == ["2001:db8::2"]
    assert office.state.size() == 2**96 - 2


def test_quarantine_time_of_the_network_wins_over_the_default():
    office = Office(offer(V4, quarantine=10.0))
    office.settle(intent_of("a"))
    office.settle(withdrawal_of("a"))
    assert office.state.records["192.168.102.2"].quarantine_until == office.now + timedelta(seconds=10)
