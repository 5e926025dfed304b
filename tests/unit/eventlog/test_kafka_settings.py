"""Which settings of a topic are dangerous, without a broker."""

from __future__ import annotations

import pytest

from ledgerlb.eventlog.kafka.admin import _differences, _Found, wanted_settings
from ledgerlb.eventlog.topics import ALL_TOPICS, FACTS, INTENTS, LEDGER, Topic


def wrong(topic: Topic, copies: int, **settings: str) -> dict[str, tuple[str, str]]:
    changed = {key.replace("_", "."): value for key, value in settings.items()}
    found = _Found(1, copies, {**wanted_settings(topic, copies), **changed}, {})
    return {key: (is_, want) for key, is_, want in _differences(topic, found)}


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.name)
def test_what_is_declared_is_right(topic: Topic) -> None:
    for copies in (1, 2, 3):
        assert wrong(topic, copies) == {}


def test_min_isr_follows_the_copies() -> None:
    assert wrong(LEDGER, 3, min_insync_replicas="1") == {"min.insync.replicas": ("1", "2")}
    assert wrong(LEDGER, 3, min_insync_replicas="3") == {}
    assert wrong(LEDGER, 1, min_insync_replicas="2") == {"min.insync.replicas": ("2", "1")}  # nothing could be written


def test_the_ledger_is_kept_for_ever() -> None:
    assert wrong(LEDGER, 1, retention_ms="604800000", retention_bytes="1000000") == {
        "retention.ms": ("604800000", "-1"),
        "retention.bytes": ("1000000", "-1"),
    }
    assert "cleanup.policy" in wrong(LEDGER, 1, cleanup_policy="compact,delete")


def test_retention_means_nothing_to_a_compacted_topic() -> None:
    assert wrong(INTENTS, 1, retention_ms="604800000") == {}


def test_larger_is_fine_where_it_is_safer_and_smaller_is_not() -> None:
    assert (
        wrong(
            FACTS,
            1,
            max_message_bytes="99999999",
            min_compaction_lag_ms="9999999999999",
            delete_retention_ms="9999999999999",
        )
        == {}
    )
    assert set(wrong(FACTS, 1, max_message_bytes="1000", min_compaction_lag_ms="1", delete_retention_ms="86400000")) == {
        "max.message.bytes", "min.compaction.lag.ms", "delete.retention.ms",
    }  # fmt: skip
