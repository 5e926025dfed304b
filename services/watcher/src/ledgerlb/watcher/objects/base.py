"""What both processors of objects have: a table, a reconciler, and a queue of owners to look after.

An *owner* is the Service or the NAD that objects belong to. Each of its turns does one write after the other, and
decides every one from the folded state. So restarts, foreign changes and lost writes all lead to the same result.

Concurrency: ``take`` and ``settle`` never wait for the cluster; ``settle`` hands owners to a ``WorkQueue``, whose tasks
read the state between their own waits, on the same event loop.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final

from ledgerlb.core.cluster.facts import AnyFact, FactRecord, Gone, Synced
from ledgerlb.core.reasons import is_warning
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import Topic
from ledgerlb.kube.writer import About, ClusterWriter, event_write
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.objects.reconciler import ObjectReconciler, Say
from ledgerlb.watcher.objects.table import ObjectTable
from ledgerlb.watcher.work import Limits, WorkQueue

LOOK: Final = 5.0
"""Seconds between two looks while a write waits to be confirmed or to be tried again."""
MAX_STEPS: Final = 16
"""Writes for one owner in a row before others get their turn."""

Clock = Callable[[], datetime]


class ObjectProcessor(ABC):
    """A Processor; see module. ``clock`` gives aware UTC; for ``enabled`` see the subclasses.

    It writes nothing before the facts show that the cluster serves the kinds that it ``needs``.
    """

    name: str
    reads: tuple[Topic, ...]
    low_priority = True
    needs: tuple[str, ...]
    """Kinds that the cluster must serve; until then nothing is written."""

    def __init__(
        self,
        settings: DomainSettings,
        writer: ClusterWriter,
        clock: Clock,
        *,
        enabled: bool = True,
        limits: Limits | None = None,
        projection: Projection | None = None,
    ) -> None:
        self.queue = WorkQueue(self._work, limits)
        self._settings = settings
        self._writer = writer
        self._clock = clock
        self._enabled = enabled
        self._projection = projection or Projection(clock)
        self._counts: Counter[str] = Counter()
        self._forget()

    def _forget(self) -> None:
        self._began = False
        self._markers: dict[str, Synced] = {}
        self._pending: dict[str, None] = {}
        self._table = ObjectTable(self.owners_of, self._clock)
        self._reconciler = ObjectReconciler(self._table, self._writer, self._clock, self._counts)

    @property
    def counts(self) -> Counter[str]:
        """Writes by verb, ``reverted``, ``refused``, ``events``; they outlive a reset."""
        return self._counts

    def reset(self) -> None:
        """See Processor."""
        self.queue.clear()
        self._projection.reset()
        self._forget()

    def _at_end(self) -> None:
        """Check what only the end of the log shows."""
        return

    @abstractmethod
    def take(self, record: Record) -> None:
        """See Processor."""

    @abstractmethod
    def owners_of(self, fact: AnyFact) -> tuple[str, ...]:
        """Return the owners of an object."""

    @abstractmethod
    def about(self, owner: str) -> About | None:
        """Return the object that Events of the owner are about, None if there is none."""

    @abstractmethod
    async def step(self, owner: str) -> bool:
        """Do the first write that is due for the owner; return whether there was one. Raises ClusterUnavailable."""

    async def settle(self, log: EventLog) -> float | None:  # noqa: ARG002 - objects are written to the cluster only
        """See Processor. Returns without waiting for the writes."""
        self._at_end()
        if not self.ready():
            return None
        self._began = True
        pending, self._pending = self._pending, {}
        for owner in dict.fromkeys([*pending, *self._table.doubtful(), *self._reconciler.take_due()]):
            self.queue.add(owner)
        await asyncio.sleep(0)
        waits = self._table.assumes() or self._reconciler.waits() or self.queue.waiting()
        return LOOK if waits else None

    def ready(self) -> bool:
        """Return whether every kind that decisions need was listed, and the kinds to write are served."""
        return all(kind in self._markers and self._markers[kind].present for kind in self.needs)

    async def idle(self, within: float) -> bool:
        """Wait until every write is done, at most ``within`` seconds; return whether it is."""
        return await self.queue.idle(within)

    async def close(self) -> None:
        """Finish the writes under way within a bound, and begin no others."""
        await self.queue.close()

    # For subclasses

    def _note(self, owners: Iterable[str]) -> None:
        self._pending.update(dict.fromkeys(owners))

    def _mark(self, marker: Synced) -> None:
        before = self._markers.get(marker.of)
        self._markers[marker.of] = marker
        self._reconciler.versions[marker.of] = marker.version
        if before != marker:
            self._note(self._table.owners())

    def _take_object(self, fact: FactRecord) -> None:
        """Note an object of a kind that we write. A foreign object names no owner, but an owner may wait for it."""
        assert not isinstance(fact, Synced), "a marker is not an object"
        gone, key = isinstance(fact, Gone), (fact.kind, fact.full_name)
        self._note(self._table.take(key, None if gone else fact))  # type: ignore[arg-type]
        self._note(self._reconciler.waiting_for(key))

    def _say(self, owner: str) -> Say:
        def say(reason: str, message: str, identity: str) -> None:
            about = self.about(owner)
            if about is not None:
                self._event(about, reason, message, identity)

        return say

    def _event(self, about: About, reason: str, message: str, identity: str) -> None:
        warning = is_warning(reason)
        write = event_write(about, reason, message, warning=warning, at=self._clock(), identity=identity)
        self._counts["events"] += 1
        self.queue.add_background(partial(self._writer.write, write))

    async def _work(self, owner: str) -> None:
        for _ in range(MAX_STEPS):
            # Between reset and the next settle the state is half read: nothing may be decided on it.
            if not self._began or not self.ready() or not await self.step(owner):
                return
        self.queue.add(owner)
