"""The port between a cluster (an API server, a folder, memory) and the observer that keeps facts about it.

A source calls a *sink* with batches. For each kind it first passes everything that exists (``upserts`` in one or more
batches, then ``Listed``), then changes as they come, and everything again whenever it may have missed a change. A sink
that compares ``Listed`` with what it knows therefore finds every deletion, also those from before its start.

Concurrency: sinks are plain functions that keep at most one pending state a key, so a source never waits for them
and one stream cannot hold up another; memory is bounded by the number of objects.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from ledgerlb.core.cluster.facts import AnyFact
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.kinds import WATCHED
from ledgerlb.kube.memory.cluster import Key, MemoryCluster
from ledgerlb.kube.names import misspelled
from ledgerlb.kube.normalise.dispatch import fact_of, name_of, subject_of

Name = tuple[str, str]
"""(namespace, name)"""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """The end of a full list of a kind: ``names`` is everything that existed.

    ``present`` is False where the cluster does not serve the kind. ``complete`` is False where more may exist that
    cannot be read now (a broken file): nothing is deleted then, and another list follows once it can be read.
    ``version`` is the API version of the list, empty where there is none.
    """

    names: frozenset[Name]
    present: bool = True
    complete: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one kind. In order: upserts, then ``gone``, then
    ``listed``. A name occurs in a batch at most once.
    """

    kind: str
    upserts: tuple[AnyFact, ...] = ()
    gone: tuple[Name, ...] = ()
    listed: Listed | None = None


Sink = Callable[[Batch], None]
Problems = Callable[[BadInput], None]


class ObjectSource(Protocol):
    """Anything that feeds a sink until it is stopped."""

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """Feed ``sink`` until ``stop`` is set. Never raises for what the cluster holds or for a cluster that does
        not answer.
        """
        ...


@dataclass(slots=True)
class ProblemLog:
    """Log a problem of a subject once, until its text changes. Remembers at most ``limit`` subjects."""

    limit: int = 1000
    _logged: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def __call__(self, problem: BadInput) -> None:
        """Log the problem unless it is the last one that was logged of its subject."""
        if self._logged.get(problem.subject) == str(problem):
            return
        self._logged[problem.subject] = str(problem)
        self._logged.move_to_end(problem.subject)
        if len(self._logged) > self.limit:
            self._logged.popitem(last=False)
        _logger.warning("bad input", problem=str(problem))

    def resolved(self, subject: str) -> None:
        """Forget the problems of a subject that works again, and of its lines (``file:line``)."""
        for known in [known for known in self._logged if known == subject or known.startswith(f"{subject}:")]:
            del self._logged[known]


def seen(kind: str, objects: Iterable[Mapping[str, Any]], problems: Problems) -> tuple[list[AnyFact], list[Name]]:
    """Return the facts of the objects, and the names of objects that no longer make a fact. A broken object is
    reported and is in neither: what was known about it stays.
    """
    facts: list[AnyFact] = []
    silent: list[Name] = []
    for obj in objects:
        try:
            fact = fact_of(obj, kind, every_pod=True)
            if fact is None:
                silent.append(name_of(obj, kind))
            else:
                facts.append(fact)
                _warn(fact, subject_of(obj, kind), problems)
        except BadInput as problem:
            problems(problem)
    return facts, silent


def _warn(fact: AnyFact, subject: str, problems: Problems) -> None:
    for field_, problem in getattr(fact, "malformed", ())[:1]:
        problems(BadInput(subject, field_, problem, "correct the object"))
        return
    slip = misspelled(fact.annotations)
    if slip is not None:
        field_, remedy = slip
        problems(BadInput(subject, f"annotation {field_}", "is not one that LedgerLB knows", remedy))


class ClusterSource:
    """The objects of a MemoryCluster. ``pump`` hands over what changed since the last call, without an event loop.

    ``complete`` returns whether the cluster holds everything that it should (see ``Listed``).
    """

    def __init__(
        self,
        cluster: MemoryCluster,
        problems: Problems | None = None,
        complete: Callable[[], bool] = lambda: True,
    ) -> None:
        self._cluster = cluster
        self._problems = problems or ProblemLog()
        self._complete = complete
        self._subscription = cluster.subscribe()
        self._woken = asyncio.Event()
        self._subscription.on_change = self._woken.set
        self._listed = False
        self._listed_in_full = False

    def wake(self) -> None:
        """Let ``run`` look again, since ``complete`` may have changed although no object did."""
        self._woken.set()

    def pump(self, sink: Sink) -> int:
        """Pass on everything the first time and once it is complete, and changes otherwise.

        Return the number of batches.
        """
        changed = self._subscription.drain()
        complete = self._complete()
        if self._listed and (self._listed_in_full or not complete):
            batches = self._changes(changed)
        else:
            batches = self._everything(complete)
            self._listed = True
            self._listed_in_full = complete
        for batch in batches:
            sink(batch)
        return len(batches)

    def _everything(self, complete: bool) -> list[Batch]:
        batches = []
        for entry in WATCHED:
            objects = self._cluster.list(entry.kind)
            facts, silent = seen(entry.kind, objects, self._problems)
            names = frozenset(name_of(obj, entry.kind) for obj in objects) - frozenset(silent)
            batches.append(Batch(entry.kind, tuple(facts), listed=Listed(names, complete=complete)))
        return batches

    def _changes(self, changed: Sequence[tuple[Key, Mapping[str, Any] | None]]) -> list[Batch]:
        by_kind: dict[str, tuple[list[Mapping[str, Any]], list[Name]]] = {}
        for (kind, namespace, name), obj in changed:
            upserts, gone = by_kind.setdefault(kind, ([], []))
            if obj is None:
                gone.append((namespace, name))
            else:
                upserts.append(obj)
        batches = []
        for entry in WATCHED:
            if entry.kind not in by_kind:
                continue
            upserts, gone = by_kind[entry.kind]
            facts, silent = seen(entry.kind, upserts, self._problems)
            gone += silent
            batches.append(Batch(entry.kind, tuple(facts), tuple(gone)))
        return batches

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """Pump at every change until ``stop``."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._woken.clear()
                self.pump(sink)
                waking = asyncio.ensure_future(self._woken.wait())
                await asyncio.wait({waking, stopping}, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            stopping.cancel()
            self._subscription.close()
