"""A source of objects behind two checks: it is the source that the log is about, and it does not take away too much.

    source ──► GuardedSource ──► observer

Before the first batch the source's identity is compared with the log's ``Source`` fact. A source that the log does not
know yet is recorded; another one ends the process (``WrongSource``) unless it is to be adopted. Writers wait for the
same check.

Deletions that follow from a list are then judged by a ``DeletionGuard``. Names that must stay are added to the names of
the list, so the observer keeps what it knows of them. Kinds other than Services wait for the verdict on Services: the
networks and nodes of a cluster that answers with nothing are as suspicious as its Services. Networks are then judged by
the Services that hold their addresses.

Concurrency: everything happens on one event loop. Memory: the names that are held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from ledgerlb.core.cluster.facts import ConfirmedFact, ServiceFact, WithheldFact, decode_fact, fact_key
from ledgerlb.core.errors import BadInput, LogUnavailable
from ledgerlb.eventlog.port import EventLog, PositionLost, Reader
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.deletion_guard import NETWORK_KINDS, DeletionGuard
from ledgerlb.kube.source import Batch, Name, ObjectSource, Sink
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.parts import Clock
from ledgerlb.runtime.stopping import sleep_or_stop
from ledgerlb.watcher.source_identity import Identify, claim, rfc3339

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at whether a grace period is over or a person has confirmed."""
RELIST_SECONDS: Final = 60.0
"""Seconds after an incident in which the other kinds may be listed again before what they lack goes."""
EVENTS_SECONDS: Final = 10.0
"""Seconds within which Services that vanish by watch events count as one loss."""
SHOWN: Final = 20
"""Services, and networks, that a ``Withheld`` record names."""
_EXEMPT: Final = frozenset({"Pod"})
"""Kinds that are never held back: the observer asks for the Pods that it needs by itself."""
_LIST: Final = "list"
_NETWORKS: Final = "listed networks"

_logger = structlog.get_logger(__name__)

Known = Callable[[str], Mapping[str, bytes]]
"""Return what the observer holds of one kind: the encoded fact by record key."""
Remember = Callable[[Known], None]
"""Give a source that keeps nothing over a restart the facts of the log."""


class GuardedSource:
    """See module. ``known`` and ``clock`` are set before it runs; ``identify`` None: any source is right."""

    def __init__(
        self, source: ObjectSource, guard: DeletionGuard, clock: Clock, *, identify: Identify | None, adopt: bool
    ) -> None:
        self._source = source
        self._guard = guard
        self._clock = clock
        self._identify = identify
        self._adopt = adopt
        self._held: dict[str, set[Name]] = {}
        """Names by kind that lists left out and that stay for now."""
        self._vanished: dict[Name, float] = {}
        """Services that vanished by events of the last seconds, and when; the first few of a loss are gone already."""
        self._services_judged = False
        self._incident = False
        """Whether Services that a list left out are held back."""
        self._stranding = False
        """Whether networks that a list left out are held back."""
        self._delete_at: float | None = None
        self._sink: Sink = lambda _: None
        self._changed = asyncio.Event()
        self._shown: WithheldFact | None = None
        self.known: Known = lambda _: {}
        self.remember: Remember | None = None
        self.admitted = asyncio.Event()
        """Set once the source is known to be the log's, and has handed over objects: a folder has none before."""
        if identify is None:
            self.admitted.set()
        guard.on_change = self._changed.set

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See ObjectSource. Raises WrongSource."""
        self._sink = sink
        source = await claim(self._identify, self.known("Source"), self._clock, stop, adopt=self._adopt)
        if stop.is_set():
            return
        if source is not None:
            sink(Batch("Source", (source,)))
        elif self.remember is not None:  # the log is about this very source
            self.remember(self.known)
        if self.known("Withheld"):  # an incident of an earlier process; this one judges by itself
            sink(Batch("Withheld", gone=(("", "deletions"),)))
        await self._source.run(self._pass, stop)

    # Deletions

    def _pass(self, batch: Batch) -> None:
        self.admitted.set()
        held = self._held.get(batch.kind)
        if held:
            held -= {(fact.namespace, fact.name) for fact in batch.upserts}
            held -= set(batch.gone)
        if batch.kind == "Service" and self._vanished:
            for fact in batch.upserts:
                self._vanished.pop((fact.namespace, fact.name), None)
        if batch.listed is None or not batch.listed.complete or batch.kind in _EXEMPT:
            self._sink(self._judged_events(batch) if batch.kind == "Service" and batch.gone else batch)
            return
        missing = self._names(batch.kind) - batch.listed.names
        missing -= {(fact.namespace, fact.name) for fact in batch.upserts}
        if batch.kind == "Service":
            stay = self._judge_services(missing)
        else:
            self._held[batch.kind] = missing
            waits = self._incident or not self._services_judged
            stay = missing if waits or (batch.kind in NETWORK_KINDS and not self._networks_may_go()) else set()
        self._held[batch.kind] = stay
        self._sink(replace(batch, listed=replace(batch.listed, names=batch.listed.names | stay)))
        if self._services_judged and not self._incident and self._delete_at is None:
            self._delete_held_back()

    def _judged_events(self, batch: Batch) -> Batch:
        """Return a batch of events without the Services that stay although they vanished.

        A Service that is deleted in order shows that first, and goes once LedgerLB has removed its finalizer. One that
        vanishes with the finalizer on it was lost in another way, such as an API server on an old backup.
        """
        facts = self.known("Service")
        lost = {name for name in batch.gone if _is_held(facts, name)}
        if not lost:
            return batch
        now = self._guard.clock()
        recent = {name: at for name, at in self._vanished.items() if now - at <= EVENTS_SECONDS}
        self._vanished = recent | dict.fromkeys(lost, now)
        stay = self._judge_services(self._held.get("Service", set()) | self._vanished.keys())
        if not stay:
            return batch
        self._held["Service"] = stay
        return replace(batch, gone=tuple(name for name in batch.gone if name not in lost))

    def _judge_services(self, missing: set[Name]) -> set[Name]:
        """Return the Services that stay although a list left them out."""
        over = self._guard.is_over(_LIST)
        may_go = self._may_go(missing)
        self._services_judged = True
        if not may_go:
            self._incident, self._delete_at = True, None
            return missing
        if self._incident:
            self._incident = False
            # What came back comes kind by kind: the other kinds get time to be listed again.
            self._delete_at = self._guard.clock() + (0.0 if over else RELIST_SECONDS)
        return set()

    def _networks_may_go(self) -> bool:
        """Judge the networks that lists left out by the Services that they would strand."""
        over = self._guard.is_over(_NETWORKS)
        missing = [(kind, name) for kind in NETWORK_KINDS for name in self._held.get(kind, ())]
        if not self._guard.judge_networks(_NETWORKS, missing):
            self._stranding = self._guard.holds_back(_NETWORKS)
            return False
        if self._stranding:
            self._stranding = False
            if not over:  # NADs and VirtualNetworks come back one kind after the other
                self._delete_at = self._guard.clock() + RELIST_SECONDS
                return False
        return True

    def _names(self, kind: str) -> set[Name]:
        names: set[Name] = set()
        for key in self.known(kind):
            namespace, _, name = key.partition("/")[2].partition("/")
            names.add((namespace, name))
        return names

    def _may_go(self, missing: set[Name]) -> bool:
        """Judge the Services that a list left out: those that are load balancers count."""
        facts = self.known("Service")
        gone = {name for name in missing if name in self._vanished and fact_key("Service", *name) not in facts}
        balanced = gone | {name for name in missing if _is_balanced(facts, name)}
        held = len(gone) + sum(_is_balanced(facts, name) for name in self._names("Service")) if balanced else 0
        return self._guard.judge(_LIST, balanced, held)

    def _delete_held_back(self) -> None:
        """Report everything that was held back as gone to the observer, but no networks that must stay."""
        self._delete_at = None
        held, self._held = self._held, {}
        self._report_gone({kind: names for kind, names in held.items() if kind not in NETWORK_KINDS})
        self._held = {kind: names for kind, names in held.items() if kind in NETWORK_KINDS}
        if self._networks_wait() and self._networks_may_go():
            networks, self._held = self._held, {}
            self._report_gone(networks)

    def _report_gone(self, held: Mapping[str, set[Name]]) -> None:
        for kind, names in held.items():
            if names:
                self._sink(Batch(kind, gone=tuple(sorted(names))))

    def look(self) -> None:
        """Release the deletions that may go by now."""
        if self._incident:
            stay = self._judge_services(self._held.get("Service", set()))
            if stay or self._incident:
                return
        if self._delete_at is None:
            if self._services_judged and self._networks_wait():
                self._delete_held_back()
        elif self._guard.clock() >= self._delete_at:
            self._delete_held_back()

    def _networks_wait(self) -> bool:
        return any(self._held.get(kind) for kind in NETWORK_KINDS)

    # As a task

    async def guard(self, log: EventLog, health: Health, stop: asyncio.Event) -> None:
        """Keep the ``Withheld`` record, and read confirmations, until ``stop`` (an extra task of the process)."""
        del health
        reader: Reader | None = None
        try:
            while not stop.is_set():
                await self._wait(stop)
                reader = await self._read_confirmations(log, reader)
                self.look()
                self._show()
        finally:
            if reader is not None:
                await reader.close()

    async def _wait(self, stop: asyncio.Event) -> None:
        if self._guard.withheld is not None or self._delete_at is not None or self._networks_wait():
            await sleep_or_stop(stop, LOOK_SECONDS)
            return
        waiting = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        self._changed.clear()

    async def _read_confirmations(self, log: EventLog, reader: Reader | None) -> Reader | None:
        """Read what was appended since the incident began; returns the reader while there is one."""
        with suppress(LogUnavailable):
            if self._guard.withheld is None:
                if reader is not None:
                    await reader.close()
                return None
            if reader is None:
                return await log.open([FACTS], {FACTS.name: await log.end(FACTS)})
            try:
                while records := await reader.poll(0.0):
                    for record in records:
                        self._confirm(record.key, record.value)
            except PositionLost:
                await reader.close()
                return None
        return reader

    def _confirm(self, key: str, value: bytes | None) -> None:
        if not key.startswith("Confirmed/") or value is None or self._shown is None:
            return
        with suppress(BadInput):
            fact = decode_fact(key, value)
            if isinstance(fact, ConfirmedFact) and fact.uid == self._shown.uid:
                _logger.warning("mass deletion confirmed", by=fact.by, services=self._shown.gone)
                self._guard.confirm()

    def _show(self) -> None:
        """Keep the ``Withheld`` record as the guard has it, through the observer."""
        withheld = self._guard.withheld
        if withheld is None:
            if self._shown is not None:
                _logger.warning("nothing is held back any more")
                self._shown = None
                self._sink(Batch("Withheld", gone=(("", "deletions"),)))
            return
        if self._shown is not None and (self._shown.gone, self._shown.networks) == (
            len(withheld.gone),
            withheld.networks[:SHOWN],
        ):
            return
        now = self._clock()
        self._shown = WithheldFact(
            uid=self._shown.uid if self._shown is not None else f"{now.timestamp():.6f}",
            created=rfc3339(now),
            until=rfc3339(now + timedelta(seconds=withheld.seconds_left)),
            gone=len(withheld.gone),
            held=withheld.held,
            services=tuple("/".join(name) for name in withheld.gone[:SHOWN]),
            networks=withheld.networks[:SHOWN],
        )
        _logger.warning(
            "mass deletion held back: Services or networks are missing from the source, and nothing is released yet; "
            "restore the source, or run: ledgerlb confirm-deletions",
            gone=self._shown.gone, held=self._shown.held, until=self._shown.until, services=self._shown.services,
            networks=self._shown.networks,
        )  # fmt: skip
        self._sink(Batch("Withheld", (self._shown,)))

    @property
    def withheld(self) -> int:
        """How many Services are held back now."""
        withheld = self._guard.withheld
        return len(withheld.gone) if withheld is not None else 0


def _service(facts: Mapping[str, bytes], name: Name) -> ServiceFact | None:
    key = fact_key("Service", *name)
    value = facts.get(key)
    if value is None:
        return None
    try:
        fact = decode_fact(key, value)
    except BadInput:
        return None
    return fact if isinstance(fact, ServiceFact) else None


def _is_balanced(facts: Mapping[str, bytes], name: Name) -> bool:
    fact = _service(facts, name)
    return fact is not None and fact.type == "LoadBalancer"


def _is_held(facts: Mapping[str, bytes], name: Name) -> bool:
    """Return whether the Service has our finalizer and is not being deleted."""
    fact = _service(facts, name)
    return fact is not None and fact.type == "LoadBalancer" and fact.has_finalizer and not fact.deleting
