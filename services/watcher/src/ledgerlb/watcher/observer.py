"""The observer: keeps the facts topic equal to what a source of objects says.

Two tables, both by record key: what stands in the log, and what should stand there. Batches from the source change
the second; a flush appends the difference, oldest change first, everything pending in one call, and Synced markers
behind the objects that they cover. So only differences are ever written: a restart over an unchanged cluster appends
nothing, and objects that went while nobody looked become tombstones when the first full list ends.

A fact is state, so a failed append is never resent: what the log holds is read again, and the difference is taken
again. Some facts wait a little so that one record does for two (see ``ledgerlb.watcher.waits``).

Concurrency: ``take`` and ``observe`` are plain functions on the event loop of ``run``; only ``run`` (or whoever
calls ``start`` and ``flush``) appends. Memory: one encoded fact an object, and one pending mark a changed object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from ledgerlb.core.errors import BadInput, LogUnavailable, RecordTooLarge
from ledgerlb.core.facts import KINDS, AnyFact, ServiceFact, Synced, encode_fact, fact_key, key_of
from ledgerlb.eventlog.port import EventLog, NewRecord, Record, latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.kinds import BY_KIND
from ledgerlb.kube.pods import PodFilter
from ledgerlb.kube.source import Batch, Listed, ObjectSource, ProblemLog, Seen, seen
from ledgerlb.runtime.pace import Pace
from ledgerlb.watcher.waits import Waits

MAX_RECORDS: Final = 2000
"""Most records of one append."""
AHEAD_SECONDS: Final = 30.0
"""For how long an object handed over by ``observe`` outranks older versions of it from the source."""
MAX_DELETED: Final = 4096
"""How many deletions are remembered, so that ``observe`` does not bring a deleted object back."""
BACK_OFF: Final = (0.1, 5.0)
"""Seconds before trying again after LogUnavailable: first, and at most."""
RECHECK_SECONDS: Final = 30.0
"""How long after a failed append the log is compared once more: what was under way then may have arrived late."""
_MARKER: Final = "Synced"

_log: Final = logging.getLogger("ledgerlb.watcher")


class Observer:
    """See module. ``clock`` gives monotonic seconds, ``jitter`` a number from 0 to 1."""

    def __init__(
        self,
        source: ObjectSource | None = None,
        *,
        problems: ProblemLog | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._problems = problems or ProblemLog()
        self._clock = clock
        self._jitter = jitter
        self._pods = PodFilter()
        self._logged: dict[str, bytes] = {}
        self._wanted: dict[str, bytes] = {}
        self._differing: dict[str, None] = {}
        self._stale_marker: set[str] = set()
        """Kinds of which something was appended since their last marker."""
        self._complete: set[str] = set()
        """Kinds that were listed in full since the start: what is not wanted of them is gone."""
        self._listed: set[str] = set()
        """Kinds of which a list ended since the start, in full or not."""
        self._keys: dict[str, set[str]] = {}
        self._seen: dict[str, int] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._ahead: dict[str, tuple[int, float]] = {}
        self._waits = Waits(clock)
        """Facts that differ from the log too, but are not among ``_differing`` yet."""
        self._claims: Callable[[ServiceFact], bool] = lambda _: False
        self._failing = False
        """Whether an append failed and the log has not been read again since."""
        self._woken = asyncio.Event()
        self._pace = Pace()
        self._recheck_at: float | None = None
        self.appended = 0
        """Records appended since the start."""
        self.failures = 0
        """Appends that failed since the start."""

    @property
    def pending(self) -> int:
        """Records that a flush would append."""
        return len(self._differing) + len(self._waits)

    @property
    def synced(self) -> bool:
        """Whether every kind of the source was listed at least once and all of it is in the log."""
        return self._listed.issuperset(KINDS) and not self.pending

    def let_claim(self, claims: Callable[[ServiceFact], bool]) -> None:
        """Ask ``claims`` of each Service that the log does not know whether its finalizer is being put on; what that
        write returns must come to ``observe``.
        """
        self._claims = claims

    # From the source

    def take(self, batch: Batch) -> None:
        """Note what a batch of the source says (see ``ledgerlb.kube.source``)."""
        upserts = tuple(entry for entry in batch.upserts if self._is_news(entry))
        for passed in self._pods.pass_on(replace(batch, upserts=upserts)):
            self._apply(passed)
        if self.pending:
            self._woken.set()

    def observe(self, obj: Mapping[str, Any], *, awaited: bool = True) -> None:
        """Note an object that a write returned, so that its fact need not wait for the watch. One that is not
        newer than what the source said, or that the source saw deleted since, is ignored. ``awaited``: whether
        somebody waits for the fact.
        """
        kind = obj.get("kind")
        if not isinstance(kind, str):
            return
        facts, _ = seen(kind, [obj], self._problems)
        for entry in facts:
            key = key_of(entry.fact)
            if entry.version <= max(self._seen.get(key, 0), self._deleted.get(key, 0)):
                continue
            self._ahead[key] = (entry.version, self._clock() + AHEAD_SECONDS)
            for passed in self._pods.pass_on(Batch(kind, (entry,))):
                self._apply(passed, awaited=awaited)
        if self.pending:
            self._woken.set()

    def recheck(self) -> None:
        """Compare with the log anew, soon: it may not be the one that was written to."""
        self._recheck_at = self._clock()
        self._woken.set()

    def _apply(self, batch: Batch, *, awaited: bool = True) -> None:
        for entry in batch.upserts:
            self._put(entry, awaited=awaited)
        for (namespace, name), version in batch.gone:
            self._remove(fact_key(batch.kind, namespace, name), version)
        if batch.listed is not None:
            self._end_of_list(batch.kind, batch.listed)

    def _is_news(self, entry: Seen) -> bool:
        key = key_of(entry.fact)
        ahead = self._ahead.get(key)
        if ahead is not None:
            version, until = ahead
            if entry.version < version and self._clock() < until:
                return False
            del self._ahead[key]
        return True

    def _put(self, entry: Seen, *, awaited: bool) -> None:
        key = key_of(entry.fact)
        if entry.version:
            self._seen[key] = entry.version
        try:
            value = encode_fact(entry.fact)
        except ValueError as error:
            self._problems(BadInput(key, "", f"cannot be written as JSON ({error})", "correct the object"))
            return
        if len(value) > FACTS.max_bytes:
            said = f"is larger than {FACTS.max_bytes} bytes as a fact"
            self._problems(BadInput(key, "", said, "make the object smaller; its last good state stays"))
            return
        self._deleted.pop(key, None)
        self._keys.setdefault(entry.fact.kind, set()).add(key)
        self._arrange_wait(key, entry.fact, value, awaited=awaited)
        self._want(key, value)

    def _arrange_wait(self, key: str, fact: AnyFact, value: bytes, *, awaited: bool) -> None:
        if key in self._differing or (self._waits.is_patient(key) and self._wanted.get(key) == value):
            return
        # While the log does not answer nobody is claimed: a finalizer that nothing takes off would be in the way.
        unknown = key not in self._logged and not self._failing
        if unknown and isinstance(fact, ServiceFact) and self._claims(fact):
            self._waits.claim(key)
        elif not awaited:
            self._waits.be_patient(key)
        else:
            self._waits.end(key)

    def _remove(self, key: str, version: int) -> None:
        last = max(version, self._seen.pop(key, 0))
        self._ahead.pop(key, None)
        self._deleted[key] = last
        self._deleted.move_to_end(key)
        if len(self._deleted) > MAX_DELETED:
            self._deleted.popitem(last=False)
        self._keys.get(key.partition("/")[0], set()).discard(key)
        self._waits.end(key)
        self._want(key, None)

    def _end_of_list(self, kind: str, listed: Listed) -> None:
        self._listed.add(kind)
        if listed.complete:
            standing = {fact_key(kind, namespace, name) for namespace, name in listed.names}
            for key in sorted(self._keys.get(kind, set()) - standing):
                if not self._is_younger(key, listed.at):
                    self._remove(key, listed.at)
            self._complete.add(kind)
        marker = Synced(of=kind, present=listed.present, version=_version(kind, listed))
        self._want(key_of(marker), encode_fact(marker))
        if kind in self._stale_marker or self._changes_of(kind):
            self._differing[key_of(marker)] = None

    def _is_younger(self, key: str, at: int) -> bool:
        """Whether a write made the object after a list was taken, which therefore does not know it; the watch will."""
        version, until = self._ahead.get(key, (0, 0.0))
        return 0 < at < version and self._clock() < until

    def _changes_of(self, kind: str) -> bool:
        return any(key.startswith(f"{kind}/") for key in chain(self._differing, self._waits))

    def _want(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = value
        if self._logged.get(key) == value:
            self._differing.pop(key, None)
            self._waits.end(key)
        elif key not in self._waits:
            self._differing.setdefault(key)

    # To the log

    async def start(self, log: EventLog) -> None:
        """Read what the log says; raises LogUnavailable. Everything in it counts as wanted until a full list says
        otherwise.
        """
        found = await latest(log, FACTS)
        self._logged = {key: record.value for key, record in found.items() if record.value is not None}
        self._stale_marker = _kinds_behind_their_marker(found)
        for key, value in self._logged.items():
            self._wanted.setdefault(key, value)
            self._keys.setdefault(key.partition("/")[0], set()).add(key)

    async def flush(self, log: EventLog) -> int:
        """Append what differs; returns how many records that were. Raises LogUnavailable (call ``recover`` then)."""
        total = 0
        self._differing.update(dict.fromkeys(self._waits.end_all()))
        while self._differing:
            total += await self._flush_once(log)
        return total

    async def _flush_once(self, log: EventLog) -> int:
        """One append; what changes meanwhile, or does not fit, is left for the next."""
        keys = self._next_keys()
        records = [NewRecord(key, self._wanted.get(key)) for key in keys]
        for key in keys:
            del self._differing[key]
        try:
            await log.append(FACTS, records)
        except RecordTooLarge as error:
            # Refused as a whole before anything was sent. Sizes were checked: the log's limit is set lower.
            self._problems(BadInput(f"topic {FACTS.name}", "max.message.bytes", str(error), "raise it"))
            self._give_up_largest(records)
            return 0
        except BaseException:
            self._differing = dict.fromkeys([*keys, *self._differing])
            raise
        self._settle(records)
        self.appended += len(records)
        return len(records)

    def _next_keys(self) -> list[str]:
        """The next keys to append; a marker only once nothing of its kind is left behind it."""
        facts = [key for key in self._differing if not key.startswith(f"{_MARKER}/")]
        keys, rest = facts[:MAX_RECORDS], facts[MAX_RECORDS:]
        waiting = {key.partition("/")[0] for key in (*rest, *self._waits)}
        markers = [key for key in self._differing if key.startswith(f"{_MARKER}/")]
        return keys + [key for key in markers if key.rpartition("/")[2] not in waiting]

    def _settle(self, records: list[NewRecord]) -> None:
        """The records are in the log; what changed while they were on their way differs again."""
        for record in records:
            if record.value is None:
                self._logged.pop(record.key, None)
            else:
                self._logged[record.key] = record.value
            kind, _, rest = record.key.partition("/")
            if kind == _MARKER:
                self._stale_marker.discard(rest.rpartition("/")[2])
            else:
                self._stale_marker.add(kind)
            if self._wanted.get(record.key) != record.value:
                self._differing.setdefault(record.key)

    def _give_up_largest(self, records: list[NewRecord]) -> None:
        largest = max(records, key=lambda record: len(record.value or b""))
        self._wanted.pop(largest.key, None)
        before = self._logged.get(largest.key)
        if before is not None:
            self._wanted[largest.key] = before
        others = [record.key for record in records if record.key != largest.key]
        self._differing = dict.fromkeys([*others, *self._differing])

    async def recover(self, log: EventLog) -> None:
        """After LogUnavailable: read what the log says now and take the difference again; raises LogUnavailable."""
        found = await latest(log, FACTS)
        self._logged = {key: record.value for key, record in found.items() if record.value is not None}
        self._stale_marker = _kinds_behind_their_marker(found)
        for key, value in self._logged.items():
            kind = key.partition("/")[0]
            if key not in self._wanted and kind not in self._complete and key not in self._deleted:
                self._wanted[key] = value
                self._keys.setdefault(kind, set()).add(key)
        differing = [key for key in [*self._wanted, *self._logged] if self._logged.get(key) != self._wanted.get(key)]
        markers = [f"{_MARKER}//{kind}" for kind in sorted(self._complete & self._stale_marker)]
        now_differing = set(differing)
        in_order = [key for key in self._differing if key in now_differing]
        self._differing = dict.fromkeys([*in_order, *differing, *markers])
        self._waits.end_all()
        self._failing = False

    async def run(self, log: EventLog, stop: asyncio.Event) -> None:
        """Follow the source into the log until ``stop``; survives LogUnavailable for any length of time."""
        assert self._source is not None, "an observer without a source is fed by take and flush"
        if not await self._keep_trying(self.start, log, stop):
            return
        feeding = asyncio.create_task(self._source.run(self.take, stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if feeding.done():
                    feeding.result()
                    break
                await self._wait(feeding, stopping)
                appended = await self._append(log, stop)
                await asyncio.sleep(self._pace.rest(appended, self._clock()))
            with contextlib.suppress(LogUnavailable):
                await self.flush(log)
        finally:
            stopping.cancel()
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding

    async def _wait(self, *others: asyncio.Task[Any]) -> None:
        """Until something differs, another task ends, a wait does, or it is time to compare again."""
        moments = [moment for moment in (self._recheck_at, self._waits.next_end()) if moment is not None]
        timeout = max(0.0, min(moments) - self._clock()) if moments else None
        waking = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({waking, *others}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        self._woken.clear()

    async def _append(self, log: EventLog, stop: asyncio.Event) -> int:
        """One append, so that in a storm the rest after it lets more gather; returns how many records that were."""
        try:
            if self._recheck_at is not None and self._clock() >= self._recheck_at:
                self._recheck_at = None
                await self.recover(log)
            appended = await self._flush_once(log) if self._is_due() else 0
        except LogUnavailable as error:
            self.failures += 1
            self._failing = True
            _log.warning("facts could not be appended, the log is read again: %s", error)
            if await self._keep_trying(self.recover, log, stop):
                self._recheck_at = self._clock() + RECHECK_SECONDS
                self._woken.set()
            return 0
        if self._is_ready():
            self._woken.set()
        return appended

    def _is_due(self) -> bool:
        """Whether something is to be appended now; if so, what waits for company is as well."""
        self._differing.update(dict.fromkeys(self._waits.end_due()))
        due = self._is_ready()
        if due:
            self._differing.update(dict.fromkeys(self._waits.end_patient()))
        return due

    def _is_ready(self) -> bool:
        """Whether there is a next key: a fact, or a marker of whose kind nothing waits."""
        waiting = {key.partition("/")[0] for key in self._waits}
        return any(
            not key.startswith(f"{_MARKER}/") or key.rpartition("/")[2] not in waiting for key in self._differing
        )

    async def _keep_trying(self, step: Callable[[EventLog], Any], log: EventLog, stop: asyncio.Event) -> bool:
        """Call ``step`` until the log answers, with growing pauses; False when stopped first."""
        pause, most = BACK_OFF
        while not stop.is_set():
            try:
                await step(log)
            except LogUnavailable as error:
                _log.warning("the log does not answer: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause * (0.5 + self._jitter() / 2))
                pause = min(most, pause * 2)
            else:
                return True
        return False


def _version(kind: str, listed: Listed) -> str:
    """Of kinds whose version may differ from cluster to cluster; of the others it is no news."""
    declared = BY_KIND.get(kind)
    return listed.version if declared is not None and declared.optional else ""


def _kinds_behind_their_marker(found: Mapping[str, Record]) -> set[str]:
    """Kinds with a record after their Synced marker."""
    newest: dict[str, int] = {}
    for key, record in found.items():
        kind = key.partition("/")[0]
        newest[kind] = max(newest.get(kind, -1), record.offset)
    return {
        kind
        for kind, offset in newest.items()
        if kind != _MARKER and (marker := found.get(f"{_MARKER}//{kind}")) is not None and marker.offset < offset
    }
