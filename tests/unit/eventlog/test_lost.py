from __future__ import annotations

import pytest

from ledgerlb.core.errors import TopicMisconfigured
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import ALL_TOPICS, FACTS, HEADS, INTENTS, LEDGER, PATHS, SNAPSHOTS, Topic


class PartialLog(MemoryLog):
    """A log without some of its topics, as Kafka reports it."""

    def __init__(self, *missing: Topic) -> None:
        super().__init__()
        self._missing = missing

    async def end(self, topic: Topic) -> int:
        if topic in self._missing:
            raise TopicMisconfigured(f"{topic.name}: no such topic")
        return await super().end(topic)


async def filled(log: MemoryLog, *topics: Topic) -> MemoryLog:
    for topic in topics:
        await log.append(topic, [NewRecord("k", b"v")])
    return log


async def test_a_new_log_and_one_without_decisions_yet_are_accepted() -> None:
    await require_ledger(MemoryLog())
    await require_ledger(PartialLog(*ALL_TOPICS))
    await require_ledger(await filled(MemoryLog(), FACTS, INTENTS))
    await require_ledger(await filled(MemoryLog(), *ALL_TOPICS))


@pytest.mark.parametrize("witness", [PATHS, SNAPSHOTS, HEADS])
async def test_an_empty_ledger_beside_what_came_of_it_is_refused(witness: Topic) -> None:
    with pytest.raises(
        TopicMisconfigured, match=rf"{LEDGER.name}: the topic is empty, but {witness.name} has"
    ) as raised:
        await require_ledger(await filled(MemoryLog(), FACTS, witness))
    assert "LEDGERLB_LOG_NEW_LEDGER" in str(raised.value)


@pytest.mark.parametrize("witness", [FACTS, INTENTS, PATHS])
async def test_a_missing_ledger_beside_full_topics_is_refused(witness: Topic) -> None:
    with pytest.raises(TopicMisconfigured, match=f"the topic is missing, but {witness.name} has"):
        await require_ledger(await filled(PartialLog(LEDGER), witness))


async def test_a_tombstone_is_a_trace_too() -> None:
    log = MemoryLog()
    await log.append(PATHS, [NewRecord("192.0.2.1", None)])
    with pytest.raises(TopicMisconfigured):
        await require_ledger(log)
