"""A log in memory, a clock, and just enough of the other services to drive planner and agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from ledgerlb.core.cluster.facts import KINDS, AnyFact, Synced, encode_fact, fact_key, key_of
from ledgerlb.core.errors import DataPathError
from ledgerlb.core.ledger.entry import GENESIS, Cause, Entry, digest, encode_entry
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.paths.pathset import Heartbeat, PathSet, Report, decode_path_set, decode_report, encode_path_set
from ledgerlb.ecmp_programmer.backends.base import Outcome, Wanted
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord, Record
from ledgerlb.eventlog.topics import FACTS, LEDGER, PATHS, REPORTS, Topic
from ledgerlb.runtime.processor import Processor

NETWORK = "contrail/external"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Chain:
    """Writes a network's entries, each extending the one before."""

    def __init__(self) -> None:
        self._head = GENESIS
        self._seq = 0

    def extend(self, events: Sequence[Event]) -> NewRecord:
        self._seq += 1
        raw = self.entry(events, self._seq)
        self._head = digest(raw)
        return NewRecord(NETWORK, raw)

    def entry(self, events: Sequence[Event], seq: int) -> bytes:
        return encode_entry(
            Entry(
                v=VERSION,
                network=NETWORK,
                seq=seq,
                prev=self._head,
                decided_at=datetime(2026, 1, 1, tzinfo=UTC),
                decider="test",
                cause=(Cause(intent="want"),),
                events=tuple(events),
            )
        )


class Pipeline:
    """Feeds one processor what stands in the log, a batch at a time, and lets others write to the log."""

    def __init__(self, processor: Processor) -> None:
        self.log = MemoryLog()
        self.processor = processor
        self._read: dict[str, int] = {}
        self._chain = Chain()

    async def say(self, *facts: AnyFact) -> None:
        await self.log.append(FACTS, [NewRecord(key_of(fact), encode_fact(fact)) for fact in facts])

    async def unsay(self, fact: AnyFact) -> None:
        await self.log.append(FACTS, [NewRecord(fact_key(fact.kind, fact.namespace, fact.name), None)])

    async def sync(self) -> None:
        markers = [Synced(of=kind) for kind in KINDS]
        await self.log.append(FACTS, [NewRecord(key_of(marker), encode_fact(marker)) for marker in markers])

    async def decide(self, *events: Event, seq: int | None = None) -> None:
        """Append an entry; one with a ``seq`` of its own does not extend the chain and is rejected by every reader."""
        wrong = None if seq is None else NewRecord(NETWORK, self._chain.entry(events, seq))
        await self.log.append(LEDGER, [wrong or self._chain.extend(events)])

    async def publish(self, *path_sets: PathSet) -> None:
        await self.log.append(PATHS, [NewRecord(one.address, encode_path_set(one)) for one in path_sets])

    async def forget(self, address: str) -> None:
        await self.log.append(PATHS, [NewRecord(address, None)])

    async def turn(self) -> float | None:
        """Let the processor read everything that is there, then settle once."""
        for topic in self.processor.reads:
            for record in self.records(topic)[self._read.get(topic.name, 0) :]:
                self.processor.take(record)
                self._read[topic.name] = record.offset + 1
        return await self.processor.settle(self.log)

    def start_over(self, processor: Processor) -> None:
        """A new process on the same log."""
        self.processor = processor
        self._read = {}

    def records(self, topic: Topic) -> list[Record]:
        return self.log.store.topics.get(topic.name, [])

    def path_sets(self) -> dict[str, PathSet]:
        latest = {record.key: record.value for record in self.records(PATHS)}
        return {key: found for key, value in latest.items() if (found := decode_path_set(key, value)) is not None}

    def reports(self) -> list[Report]:
        found = [decode_report(record.key, record.value) for record in self.records(REPORTS)]
        return [report for report in found if isinstance(report, Report)]

    def heartbeats(self) -> list[Heartbeat]:
        found = [decode_report(record.key, record.value) for record in self.records(REPORTS)]
        return [beat for beat in found if isinstance(beat, Heartbeat)]


class FakeBackend:
    """Does as it is told, unless told to fail. ``there`` is what it forwards."""

    name = "fake"
    watch_seconds: float | None = None

    def __init__(self) -> None:
        self.there: dict[str, PathSet] = {}
        self.bad: set[str] = set()
        self.broken = False
        self.is_stale = False
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        self._call("reconcile")
        self.is_stale = False
        outcomes = {address: self._make(address, path_set) for address, path_set in wanted.items()}
        for address in [address for address in self.there if address not in wanted]:
            del self.there[address]
        return outcomes

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        self._call(f"apply {','.join(changed)}" if changed else "apply")
        return {address: self._make(address, path_set) for address, path_set in changed.items()}

    def stale(self) -> bool:
        return self.is_stale

    async def close(self) -> None:
        self.calls.append("close")

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if self.broken:
            raise DataPathError("the kernel does not answer")

    def _make(self, address: str, path_set: PathSet | None) -> Outcome:
        if address in self.bad:
            return Outcome("failed", {}, "no next hop can be used")
        if path_set is None or path_set.withdraw:
            self.there.pop(address, None)
            return Outcome("withdrawn")
        self.there[address] = path_set
        return Outcome("programmed", {hop.node: hop.weight for hop in path_set.next_hops})
