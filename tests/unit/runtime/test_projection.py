"""What processors share that ask one projection."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster import facts
from ledgerlb.core.cluster.facts import NamespaceFact, encode_fact, fact_key
from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.intents.model import NetworkOffer, encode_intent, intent_key
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, INTENTS
from ledgerlb.runtime import projection as module
from ledgerlb.runtime.projection import Projection


def fact_record(name: str, offset: int = 0, value: bytes | None = None) -> Record:
    fact = NamespaceFact(name=name, uid="u")
    return Record(FACTS.name, offset, fact_key("Namespace", "", name), value or encode_fact(fact), 0)


def offer(revision: int, problem: str = "") -> NetworkOffer:
    return NetworkOffer(network="n/a", revision=revision, uid="u", prefixes=(), problem=problem)


def intent_record(intent: NetworkOffer, offset: int) -> Record:
    return Record(INTENTS.name, offset, intent_key(intent), encode_intent(intent), 0)


def test_each_record_is_decoded_once_however_many_ask(monkeypatch):
    decoded = []
    monkeypatch.setattr(module, "decode_fact", lambda key, value: decoded.append(key) or facts.decode_fact(key, value))
    projection, records = Projection(), [fact_record("a"), fact_record("b", 1)]
    for record in records:
        first, second = projection.fact(record), projection.fact(record)
        assert first is second
        assert (first.change.old, first.change.new) == (None, first.fact)
    assert decoded == [record.key for record in records]
    assert projection.cluster.namespace("a") is not None


def test_a_record_that_was_delivered_again_is_folded_again():
    projection = Projection()
    assert not projection.fact(fact_record("a")).change.same
    assert projection.fact(fact_record("a")).change.same


def test_everyone_who_asks_gets_the_error():
    projection, record = Projection(), fact_record("a", value=b"{")
    for _ in range(2):
        with pytest.raises(UndecodableRecord):
            projection.fact(record)
    assert projection.cluster.namespace("a") is None


def test_an_intent_of_our_own_counts_at_once_and_is_news_to_others_when_it_is_read():
    projection = Projection()
    projection.note(offer(1), 5)
    assert projection.intents.offers["n/a"].revision == 1
    news = projection.intent(intent_record(offer(1), 5))
    assert news.own
    assert (news.change.record, news.change.before, news.change.outdated) == (offer(1), None, False)
    foreign = projection.intent(intent_record(offer(2), 6))
    assert not foreign.own
    assert foreign.change.before == offer(1)


def test_what_another_process_wrote_just_before_is_outdated():
    projection = Projection()
    projection.note(offer(2), 6)
    news = projection.intent(intent_record(offer(1, "Invalid"), 5))
    assert news.own
    assert news.change.outdated
    assert projection.intents.offers["n/a"] == offer(2)
    assert not projection.intent(intent_record(offer(2), 6)).change.outdated


def test_a_note_that_was_compacted_away_is_forgotten():
    projection = Projection()
    for offset in range(5):
        projection.note(offer(offset + 1), offset)
    projection.intent(intent_record(offer(5), 4))
    assert projection._noted == {}


def test_resets_of_all_who_share_it_replace_the_folds_once():
    projection = Projection()
    before = projection.cluster
    projection.reset()
    assert projection.cluster is before, "nothing was folded"
    projection.fact(fact_record("a"))
    projection.reset()
    after = projection.cluster
    projection.reset()
    assert projection.cluster is after is not before
    assert after.namespace("a") is None
