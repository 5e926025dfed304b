"""Read an event log afresh at each call, and put raw records into it. Every call blocks."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient

from ledgerlb.core.errors import LogUnavailable, UndecodableRecord
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.paths.pathset import PathSet, ReportRecord, decode_path_set, decode_report
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import ALL_TOPICS, DEAD_LETTERS, LEDGER, PATHS, REPORTS, Topic
from tests.support.pipeline import program

T = TypeVar("T")

_SECONDS: Final = 30.0


@dataclass(frozen=True)
class LedgerView:
    """The ledger as every reader folds it, and its accepted entries in order."""

    fold: LedgerFold
    entries: tuple[Entry, ...]

    def events(self, *kinds: type[Event]) -> Iterator[Any]:
        """The events of these types, in order."""
        for entry in self.entries:
            yield from (event for event in entry.events if isinstance(event, kinds))

    def held(self) -> dict[str, tuple[str, ...]]:
        """Service → addresses that it holds (or is leaving)."""
        found: dict[str, tuple[str, ...]] = {}
        for holding in self.fold.holdings():
            found[holding.service] = (*found.get(holding.service, ()), holding.address)
        return found


class LogView:
    """A log by its URL. Whatever the log does not answer in time is raised as OSError: a wait goes on then."""

    def __init__(self, url: str) -> None:
        self.url = url

    def records(self, *topics: Topic) -> list[Record]:
        """Return every record that the topics hold now."""
        return _run(self._read(topics))

    async def _read(self, topics: tuple[Topic, ...]) -> list[Record]:
        found: list[Record] = []
        async with connect(self.url) as log:
            await read_to_end(log, topics, found.append)
        return found

    def append(self, topic: Topic, key: str, value: bytes | None) -> int:
        """Put a record there, whatever it holds; gives its offset."""
        return _run(self._append(topic, key, value))

    async def _append(self, topic: Topic, key: str, value: bytes | None) -> int:
        async with connect(self.url) as log:
            return (await log.append(topic, [NewRecord(key, value)]))[0]

    def ledger(self) -> LedgerView:
        """The folded ledger; what cannot be decoded is left out."""
        fold = LedgerFold()
        entries = []
        for record in self.records(LEDGER):
            try:
                outcome = fold.take(record.key, record.value)
            except UndecodableRecord:
                continue
            if isinstance(outcome, Accepted):
                entries.append(outcome.entry)
        return LedgerView(fold, tuple(entries))

    def path_sets(self) -> dict[str, PathSet]:
        """Return the current path set of each address."""
        found: dict[str, PathSet] = {}
        for record in self.records(PATHS):
            path_set = decode_path_set(record.key, record.value)
            if path_set is None:
                found.pop(record.key, None)
            else:
                found[record.key] = path_set
        return found

    def reports(self) -> list[ReportRecord]:
        """Return every report and heartbeat of the agents, in order."""
        decoded = (decode_report(record.key, record.value) for record in self.records(REPORTS))
        return [report for report in decoded if report is not None]

    def dead_letters(self) -> list[dict[str, Any]]:
        """Every dead letter."""
        return [json.loads(record.value or b"{}") for record in self.records(DEAD_LETTERS)]

    def verify(self) -> dict[str, Any]:
        """What `ledgerlb verify` finds; fails where its exit status says otherwise."""
        done = subprocess.run(
            [program("ledgerlb"), "verify", "--log", self.url, "-o", "json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        context = f"verify ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert done.returncode in {0, 1}, context
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["clean"] is (done.returncode == 0), context
        return report


def _run(work: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(_SECONDS):
            return await work

    try:
        return asyncio.run(bounded())
    except LogUnavailable as error:
        raise OSError(str(error)) from error


def empty_log(bootstrap: str) -> LogView:
    """Drop every topic of LedgerLB that a broker has; the next start creates them again."""
    asyncio.run(_drop_topics(bootstrap))
    return LogView(f"kafka://{bootstrap}")


async def _drop_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = {topic.name for topic in ALL_TOPICS} & set(await admin.list_topics())
        if names:
            await admin.delete_topics(sorted(names))
        async with asyncio.timeout(20):
            while names & set(await admin.list_topics()):
                await asyncio.sleep(0.02)
    finally:
        await admin.close()
