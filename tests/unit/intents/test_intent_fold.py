"""The fold of the intents topic: the newest revision counts, for every reader alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.intents.fold import IntentFold
from ledgerlb.core.intents.model import (
    AddressIntent,
    Dropped,
    IntentsSynced,
    NetworkOffer,
    Selection,
    Withdrawal,
    encode_intent,
    intent_key,
)

NETWORK, SERVICE = "n/vn", "ns/web"


def want(revision=1, network=NETWORK, service=SERVICE, **more):
    return AddressIntent(network=network, service=service, revision=revision, **more)


def withdrawal(revision, network=NETWORK, service=SERVICE):
    return Withdrawal(network=network, service=service, revision=revision)


def read(fold, *records, start=0):
    changes = []
    for offset, record in enumerate(records, start):
        value = None if isinstance(record, Dropped) else encode_intent(record)
        changes.append(fold.take(intent_key(record), value, offset))
    return changes


def content(fold):
    services = sorted(fold.services())
    networks = sorted({network for service in services for network in fold.intents_of(service)})
    by_service = {(n, s): i for s in services for n, i in fold.intents_of(s).items()}
    by_network = {(n, s): i for n in networks for s, i in fold.intents_for(n).items()}
    assert by_service == by_network, "the two indexes disagree"
    return fold.offers, fold.selections, fold.synced, by_service


def test_an_older_revision_never_undoes_a_newer_one():
    fold = IntentFold()
    first, late = read(fold, withdrawal(3), want(2))
    assert (first.outdated, late.outdated) == (False, True)
    assert fold.intents_of(SERVICE) == {NETWORK: withdrawal(3)}
    assert not fold.wants(SERVICE)
    offers = read(fold, NetworkOffer(network=NETWORK, revision=5), NetworkOffer(network=NETWORK, revision=4, gone=True))
    assert offers[1].outdated
    assert not fold.offers[NETWORK].gone


def test_of_equal_revisions_the_later_record_counts():
    fold = IntentFold()
    read(fold, want(2), withdrawal(2))
    assert isinstance(fold.intents_for(NETWORK)[SERVICE], Withdrawal)


def test_a_tombstone_empties_its_key_and_any_revision_follows_it():
    fold = IntentFold()
    read(fold, want(7), Dropped(network=NETWORK, service=SERVICE))
    assert not list(fold.services())
    assert fold.next_revision(f"{NETWORK}|{SERVICE}") == 8
    read(fold, want(2))
    assert fold.wants(SERVICE)
    assert fold.next_revision(f"{NETWORK}|{SERVICE}") == 8
    assert fold.next_revision(f"{NETWORK}|{SERVICE}", known=11) == 12


def test_the_marker_can_be_taken_back():
    fold = IntentFold()
    read(fold, IntentsSynced())
    assert fold.synced
    read(fold, Dropped(network="", service=""))
    assert not fold.synced


def test_an_own_record_counts_once_and_what_stood_before_it_not_at_all():
    fold = IntentFold()
    fold.note(want(4), 10)
    assert fold.take(f"{NETWORK}|{SERVICE}", encode_intent(withdrawal(9)), 9) is None
    assert fold.take(f"{NETWORK}|{SERVICE}", encode_intent(want(4)), 10) is None
    assert fold.wants(SERVICE)
    assert fold.take(f"{NETWORK}|{SERVICE}", encode_intent(withdrawal(5)), 11) is not None
    assert not fold.wants(SERVICE)


def test_an_own_record_that_was_compacted_away_hides_no_later_one():
    fold = IntentFold()
    fold.note(want(4), 10)
    assert fold.take(f"{NETWORK}|{SERVICE}", encode_intent(withdrawal(5)), 12) is not None
    assert not fold.wants(SERVICE)


def test_a_record_that_does_not_decode_changes_nothing():
    fold = IntentFold()
    read(fold, want(1))
    before = content(fold)
    for key, value in [("n/vn|ns/web", b"{"), ("no bar", b"{}"), ("|ns/web", encode_intent(want(2)))]:
        with pytest.raises(UndecodableRecord):
            fold.take(key, value, 5)
    assert content(fold) == before


_keys = st.tuples(st.sampled_from(["", "n/a", "n/b"]), st.sampled_from(["", "s/x", "s/y"]))


@st.composite
def records(draw):
    (network, service), revision = draw(_keys), draw(st.integers(0, 6))
    if draw(st.integers(0, 5)) == 0:
        return Dropped(network=network, service=service)
    if not network and not service:
        return IntentsSynced()
    if not network:
        return Selection(service=service, revision=revision, message=draw(st.sampled_from("ab")))
    if not service:
        return NetworkOffer(network=network, revision=revision, uid=draw(st.sampled_from("ab")))
    kind = draw(st.sampled_from([AddressIntent, Withdrawal]))
    return kind(network=network, service=service, revision=revision, uid=draw(st.sampled_from("ab")))


@given(st.lists(records(), max_size=30))
def test_the_indexes_agree_and_each_key_has_its_newest_record(taken):
    fold = IntentFold()
    read(fold, *taken)
    newest = {}
    for record in taken:
        key = intent_key(record)
        if isinstance(record, Dropped):
            newest.pop(key, None)
        elif key not in newest or getattr(record, "revision", 0) >= getattr(newest[key], "revision", 0):
            newest[key] = record
    held = {intent_key(one) for one in newest.values()}
    offers, selections, synced, intents = content(fold)
    found = {intent_key(one) for one in (*offers.values(), *selections.values(), *intents.values())}
    assert found == held - {"|"}
    assert synced == ("|" in held)
    for one in (*offers.values(), *selections.values(), *intents.values()):
        assert one == newest[intent_key(one)]


@given(st.lists(records(), max_size=30))
def test_after_restatements_a_compacted_log_folds_to_the_same(taken):
    fold = IntentFold()
    read(fold, *taken)
    restated = fold.restatements()
    read(fold, *restated, start=len(taken))
    assert not fold.restatements()
    last = {}
    for record in (*taken, *restated):
        key = intent_key(record)
        last.pop(key, None)
        last[key] = record
    compacted = IntentFold()
    read(compacted, *last.values())
    assert content(compacted) == content(fold)
