"""An agent: makes its machine match the path sets, and reports the outcome.

The agent reads path sets and its own earlier reports. It programs a batch of changed path sets at once. It writes a
report of an address only if that differs from the last one, so a restart, a redelivery or an idle reconcile writes
nothing. It tries an address that failed again after a growing pause. It reconciles the whole machine at start, when the
back end asks for it and every ``reconcile_seconds``.

A heartbeat goes out at start and every ``heartbeat_seconds``. On a normal stop the routes stay and keep forwarding, so
the agent sends no goodbye. After ``take_down`` the last heartbeat is ``stopped``: this machine forwards nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from ledgerlb.core.errors import DataPathError, ForeignRecord
from ledgerlb.core.paths.pathset import (
    Heartbeat,
    PathSet,
    Report,
    encode_report,
    path_set_digest,
    report_key,
)
from ledgerlb.ecmp_programmer.backends.base import DataPath, Outcome
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import PATHS, REPORTS, Topic
from ledgerlb.runtime.due import is_due
from ledgerlb.runtime.projection import Projection

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 60.0
_MACHINE: Final = "the machine as a whole"
BATCH: Final = 1000
"""Addresses that are programmed and reported at a time."""

_logger = structlog.get_logger(__name__)


class Agent:
    """See module. ``name`` is the node's name, or ``fabric``; ``clock`` gives aware UTC times."""

    reads: tuple[Topic, ...] = (PATHS, REPORTS)
    low_priority = True

    def __init__(
        self,
        backend: DataPath,
        name: str,
        clock: Callable[[], datetime],
        *,
        projection: Projection | None = None,
        heartbeat_seconds: float = 5.0,
        reconcile_seconds: float = 30.0,
    ) -> None:
        self.name = f"agent/{name}"
        self.agent = name
        self._projection = projection or Projection(clock)
        self._backend = backend
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._reconcile_seconds = reconcile_seconds
        self._started = clock()
        self._turn = asyncio.Lock()
        self._is_down = False
        self._opened = False
        self.reset()

    def reset(self) -> None:
        """See Processor."""
        self._projection.reset()
        self._wanted: dict[str, PathSet] = {}
        self._digests: dict[str, str] = {}
        self._reported: dict[str, Report] = {}
        self._changed: dict[str, None] = {}
        self._written: dict[str, int] = {}
        self._retries = _Retries()
        self._machine = _Retries()
        self._last_beat: datetime | None = None
        self._last_reconcile: datetime | None = None

    def take(self, record: Record) -> None:
        """See Processor."""
        if record.topic == PATHS.name:
            path_set = self._projection.path_set(record)
            self._retries.forget(record.key)
            self._changed[record.key] = None
            if path_set is None:
                self._wanted.pop(record.key, None)
                self._digests.pop(record.key, None)
            else:
                self._wanted[record.key] = path_set
                self._digests[record.key] = path_set_digest(record.value)
        elif record.topic == REPORTS.name:
            address, _, agent = record.key.rpartition("/")
            if agent != self.agent or address == "heartbeat":
                return
            try:
                report = self._projection.report(record)
            except ForeignRecord:
                self._reported.pop(address, None)  # no reader believes it: report the address again
                self._changed[address] = None
                raise
            # What this process wrote is known already; an echo of it must not hide what it wrote later.
            written = self._written.get(address, -1)
            if record.offset == written:
                del self._written[address]
            if record.offset <= written:
                return
            if isinstance(report, Report):
                self._reported[address] = report
            else:
                self._reported.pop(address, None)

    async def settle(self, log: EventLog) -> float | None:
        """See Processor."""
        async with self._turn:
            return None if self._is_down else await self._settle(log)

    async def _settle(self, log: EventLog) -> float:
        await self._beat(log)
        await self.open()
        now = self._clock()
        if self._reconcile_due(now):
            await self._reconcile(log)
        elif not self._machine.waits(_MACHINE):
            await self._apply(log, [*self._changed, *self._retries.due(now)])
        await self._beat(log)
        return self._next_wake_up(self._clock())

    def path_sets(self) -> dict[str, int]:
        """Return how many path sets have which state: that of the report on their newest version, else ``pending``."""
        states = dict.fromkeys(("programmed", "withdrawn", "failed", "pending"), 0)
        for address, newest in self._digests.items():
            report = self._reported.get(address)
            state = report.state if report is not None and report.path == newest else "pending"
            states[state] = states.get(state, 0) + 1
        return states

    async def open(self) -> None:
        """Open the back end before the first records are read; raises DataPathError where it cannot be used."""
        if not self._opened:
            await self._backend.open()
            self._opened = True

    async def take_down(self, log: EventLog) -> None:
        """Stop forwarding and send a goodbye, for a machine that leaves for good. Raises DataPathError."""
        async with self._turn:
            self._is_down = True
            if self._opened:
                outcomes = await self._backend.reconcile({})
                left = [f"{address}: {outcome.message}" for address, outcome in outcomes.items()]
                if left:
                    raise DataPathError(
                        f"{len(left)} addresses are still forwarded, such as {left[0]}; remove them by hand"
                    )
            await self._append(log, [self._heartbeat(self._clock(), stopped=True)])

    async def close(self) -> None:
        """Close the back end; what is programmed stays."""
        if self._opened:
            await self._backend.close()
            self._opened = False

    def _reconcile_due(self, now: datetime) -> bool:
        if self._machine.waits(_MACHINE):
            return bool(self._machine.due(now))
        if self._last_reconcile is None or self._backend.stale():
            return True
        again = self._last_reconcile + timedelta(seconds=self._reconcile_seconds)
        return is_due(again, now, self._reconcile_seconds)

    async def _reconcile(self, log: EventLog) -> None:
        """Program every path set and report it; remove the reports of addresses that have no path set any more."""
        self._last_reconcile = self._clock()
        gone = [address for address in {**self._changed, **self._reported} if address not in self._wanted]
        began = self._clock()
        try:
            outcomes = await self._backend.reconcile(self._wanted)
            self._machine.forget(_MACHINE)
        except DataPathError as error:
            self._machine.failed(_MACHINE, began)
            outcomes = self._all_failed(self._wanted, error)
        await self._answer(log, outcomes, gone, began)

    async def _apply(self, log: EventLog, addresses: Iterable[str]) -> None:
        due = list(dict.fromkeys(addresses))
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            began = self._clock()
            try:
                outcomes = await self._backend.apply({address: self._wanted.get(address) for address in batch})
            except DataPathError as error:
                outcomes = self._all_failed(batch, error)
            gone = [address for address in batch if address not in self._wanted]
            await self._answer(log, outcomes, gone, began)
            await self._beat(log)

    def _all_failed(self, addresses: Iterable[str], error: DataPathError) -> dict[str, Outcome]:
        _logger.warning("the data path cannot be changed", agent=self.agent, error=str(error))
        return dict.fromkeys(addresses, Outcome("failed", {}, str(error)))

    async def _answer(
        self, log: EventLog, outcomes: Mapping[str, Outcome], gone: Iterable[str], began: datetime
    ) -> None:
        now = self._clock()
        seconds = round((now - began).total_seconds(), 6)
        reports = []
        for address, outcome in outcomes.items():
            if outcome.state == "failed":
                self._retries.failed(address, now)
            else:
                self._retries.forget(address)
            path_set = self._wanted.get(address)
            if path_set is None:
                continue
            report = self._report(path_set, outcome, now, seconds)
            if not _same(self._reported.get(address), report):
                reports.append(report)
        forgotten = [address for address in gone if not self._retries.waits(address) and address in self._reported]
        await self._append(log, reports, forgotten)
        for address in (*outcomes, *gone):
            self._changed.pop(address, None)

    def _report(self, path_set: PathSet, outcome: Outcome, now: datetime, seconds: float) -> Report:
        return Report(
            address=path_set.address,
            agent=self.agent,
            state=outcome.state,
            path=self._digests[path_set.address],
            release=path_set.release,
            allocations=tuple(filter(None, (path_set.allocation, *path_set.sharers))),
            at=now,
            seconds=seconds,
            weights=dict(outcome.weights),
            message=outcome.message,
            backend=self._backend.name,
        )

    async def _append(
        self, log: EventLog, records: Iterable[Report | Heartbeat], forgotten: Iterable[str] = ()
    ) -> None:
        """Append records, and remember each one only after it is written, so that only written reports count."""
        written = list(records)
        lost = list(forgotten)
        new = [NewRecord(report_key(record), encode_report(record)) for record in written]
        new += [NewRecord(f"{address}/{self.agent}", None) for address in lost]
        if not new:
            return
        offsets = await log.append(REPORTS, new)
        for record, offset in zip(written, offsets, strict=False):
            if isinstance(record, Report):
                self._reported[record.address] = record
                self._written[record.address] = offset
        for address, offset in zip(lost, offsets[len(written) :], strict=True):
            self._reported.pop(address, None)
            self._written[address] = offset

    async def _beat(self, log: EventLog) -> None:
        now = self._clock()
        again = self._last_beat and self._last_beat + timedelta(seconds=self._heartbeat_seconds)
        if again is None or is_due(again, now, self._heartbeat_seconds):
            await self._append(log, [self._heartbeat(now)])
            self._last_beat = now

    def _heartbeat(self, now: datetime, *, stopped: bool = False) -> Heartbeat:
        return Heartbeat(agent=self.agent, at=now, started=self._started, backend=self._backend.name, stopped=stopped)

    def _next_wake_up(self, now: datetime) -> float:
        assert self._last_beat is not None
        assert self._last_reconcile is not None
        due = [
            self._last_beat + timedelta(seconds=self._heartbeat_seconds),
            self._last_reconcile + timedelta(seconds=self._reconcile_seconds),
        ]
        if self._backend.watch_seconds is not None:
            due.append(now + timedelta(seconds=self._backend.watch_seconds))
        due.extend(self._machine.times() or self._retries.times())
        return max(0.0, (min(due) - now).total_seconds())


class _Retries:
    """When an address that failed is tried again: after a second, then twice as long each time, up to a minute."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[float, datetime]] = {}

    def failed(self, address: str, now: datetime) -> None:
        before, _ = self._waits.get(address, (0.0, now))
        pause = min(max(before * 2, FIRST_RETRY), LONGEST_RETRY)
        self._waits[address] = (pause, now + timedelta(seconds=pause))

    def forget(self, address: str) -> None:
        self._waits.pop(address, None)

    def waits(self, address: str) -> bool:
        return address in self._waits

    def due(self, now: datetime) -> list[str]:
        return [address for address, (pause, at) in self._waits.items() if is_due(at, now, pause)]

    def times(self) -> list[datetime]:
        return [at for _, at in self._waits.values()]


def _same(old: Report | None, new: Report) -> bool:
    """Return whether both reports have the same content; time and duration do not count."""
    return old is not None and old == new.model_copy(update={"at": old.at, "seconds": old.seconds})
