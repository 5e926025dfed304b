"""What services would do that were started afresh on the log as it is: at rest, nothing.

Each is the real processor, fed with every record there is and asked to settle. As it looks at everything anew, whatever
a service that ran along forgot to look at again shows up here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.core.ledger.events import LeaseEnded, QuarantineEnded
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER, Topic
from ledgerlb.ipam.processor import Ipam
from ledgerlb.kube.writer import Object, Write
from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.watcher.publisher import Publisher
from tests.integration.random_edits.snapshot import Snapshot

_OF_TIME = (QuarantineEnded, LeaseEnded)


class _Listening:
    """Stands for a log to which everything was said already: keeps what somebody still appends."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, NewRecord]] = []
        self._offset = 10**9

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        self.appended += [(topic.name, record) for record in records]
        first, self._offset = self._offset, self._offset + len(records)
        return list(range(first, self._offset))


class _Watching:
    """Stands for a cluster: keeps what somebody still writes."""

    def __init__(self) -> None:
        self.written: list[Write] = []

    async def write(self, write: Write) -> Object | None:
        self.written.append(write)
        return None

    async def close(self) -> None: ...


async def unsaid(snapshot: Snapshot, settings: DomainSettings) -> list[str]:
    """What a fresh selector, IPAM and planner would append, and a fresh publisher write; [] at rest."""
    makers: tuple[Callable[[], Any], ...] = (
        lambda: NetworkSelector(settings, _now),
        lambda: Ipam(settings, _now, "a fresh one"),
        lambda: Planner(settings),
    )
    found = []
    for make in makers:
        processor, log = make(), _Listening()
        _feed(processor, snapshot)
        await processor.settle(log)
        found += [
            f"a fresh {processor.name} appends {record.key}: {_shortened(record.value)}"
            for topic, record in log.appended
            if not (topic == LEDGER.name and _is_of_time(record))
        ]
    return found + await _unwritten(snapshot, settings)


def _feed(processor: Any, snapshot: Snapshot) -> None:
    for topic in processor.reads:
        for record in snapshot.records[topic.name]:
            processor.take(record)


def _is_of_time(record: NewRecord) -> bool:
    """Whether the entry only says that time has passed: that goes on at rest."""
    assert record.value is not None
    return all(isinstance(event, _OF_TIME) for event in decode_entry(record.key, record.value).events)


async def _unwritten(snapshot: Snapshot, settings: DomainSettings) -> list[str]:
    cluster = _Watching()
    publisher = Publisher(settings, cluster, _now)
    _feed(publisher, snapshot)
    await publisher.settle(_Listening())  # type: ignore[arg-type]
    assert await publisher.queue.idle(60), "the fresh publisher does not come to an end"
    await publisher.close()
    return [
        f"a fresh publisher writes {write.verb} of {write.kind} {write.namespace}/{write.name}: {str(write.body)[:400]}"
        for write in cluster.written
        if write.kind != "Event"
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _shortened(value: bytes | None) -> str:
    return "a tombstone" if value is None else value[:500].decode(errors="replace")
