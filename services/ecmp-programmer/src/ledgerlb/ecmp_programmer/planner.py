"""The planner: path sets from the ledger and the cluster's facts.

The planner reads facts, ledger and its own path sets. It plans (``core.paths.plan_from``) the addresses that a batch of
records concerns. It writes a path set if its bytes differ from the last one under the address, and a tombstone once no
Service holds the address. It writes nothing before every kind of fact is synced. It publishes an address even without a
backend: agents must know the address, because its release waits for them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ledgerlb.core.errors import ForeignRecord, UndecodableRecord
from ledgerlb.core.index import Dependencies
from ledgerlb.core.ledger.events import DamageSetAside
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.paths.backend_facts import touched_by
from ledgerlb.core.paths.pathset import PathSet, decode_path_set, encode_path_set
from ledgerlb.core.paths.plan import plan_from
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import FACTS, LEDGER, PATHS, Topic
from ledgerlb.runtime.projection import Projection
from ledgerlb.runtime.size_guard import SizeGuard

BATCH: Final = 500
"""Path sets appended at a time."""


class Planner:
    """See module. ``pending`` are addresses whose path set may have changed."""

    name = "planner"
    reads: tuple[Topic, ...] = (FACTS, LEDGER, PATHS)
    low_priority = True

    def __init__(self, settings: DomainSettings, projection: Projection | None = None) -> None:
        self._projection = projection or Projection()
        self.settings = settings
        self._size_guard = SizeGuard(PATHS)
        self.reset()

    def reset(self) -> None:
        """See Processor."""
        self._projection.reset()
        self._facts = self._projection.cluster
        self._ledger = self._projection.ledger
        self._published: dict[str, bytes] = {}
        self._written: dict[str, int] = {}
        self._made_from: Dependencies[str, str] = Dependencies()
        self.pending: set[str] = set()

    def take(self, record: Record) -> None:
        """See Processor."""
        if record.topic == FACTS.name:
            change = self._projection.fact(record).change
            for key in touched_by(change):
                self.pending.update(self._made_from.dependents_on(key))
        elif record.topic == LEDGER.name:
            taken = self._projection.entry(record)
            if isinstance(taken, Accepted):
                addresses = (getattr(event, "address", None) for event in taken.entry.events)
                self.pending.update(address for address in addresses if address is not None)
                if any(isinstance(event, DamageSetAside) for event in taken.entry.events):
                    # While the network was damaged, its path sets did not follow the ledger.
                    holdings = self._ledger.networks[taken.entry.network].holdings()
                    self.pending.update(holding.address for holding in holdings)
                    self.pending.update(self._published)
        elif record.topic == PATHS.name:
            self._take_published(record)

    def _take_published(self, record: Record) -> None:
        # This process knows what it wrote; an echo of an older record must not hide a newer one.
        written = self._written.get(record.key, -1)
        if record.offset == written:
            del self._written[record.key]
        if record.offset <= written:
            return
        self.pending.add(record.key)
        try:
            self._projection.require_author(record)
        except ForeignRecord:
            # No agent acts on it, so the path set is written again, even where this one has the same bytes.
            self._remember(record.key, None)
            raise
        self._remember(record.key, record.value)

    async def settle(self, log: EventLog) -> float | None:
        """See Processor."""
        self._projection.at_end()
        # Without any ledger entry no address was ever given out or released, so existing path sets stay.
        if not self._facts.synced() or not self._ledger.accepted:
            return None
        due = sorted(self.pending)
        for start in range(0, len(due), BATCH):
            addresses = due[start : start + BATCH]
            records = [record for address in addresses if (record := self._change(address)) is not None]
            if records:
                offsets = await log.append(PATHS, records)
                for record, offset in zip(records, offsets, strict=True):
                    self._remember(record.key, record.value)
                    self._written[record.key] = offset
            self.pending.difference_update(addresses)
            await asyncio.sleep(0)  # planning thousands of addresses must not block the process's other tasks
        return None

    def _change(self, address: str) -> NewRecord | None:
        """Return the record that brings the topic up to date for one address; None where it is up to date."""
        planned = plan_from(self._facts, self._ledger, address)
        self._made_from.assign(address, planned.made_from)
        value = encode_path_set(planned.path_set) if planned.path_set is not None else None
        published = self._published.get(address)
        if value == published or self._must_stay(address, published, planned.path_set):
            return None
        if not self._size_guard.fits(address, value):
            return None
        return NewRecord(address, value)

    def _must_stay(self, address: str, published: bytes | None, planned: PathSet | None) -> bool:
        """Return whether the ledger is too damaged to change a path set.

        The fold of a damaged network ends at its last good entry, and the address may have changed hands since. So a
        path set of the network follows its backends while the holder is the same, and is not changed otherwise.
        """
        if not self._ledger.damage:
            return False
        current = _readable(address, published)
        networks = {one.network for one in (current, planned) if one is not None}
        if networks.isdisjoint(self._ledger.damage):
            return False
        if current is None or planned is None:
            return True
        return (current.network, current.allocation, current.release) != (
            planned.network,
            planned.allocation,
            planned.release,
        )

    def _remember(self, address: str, value: bytes | None) -> None:
        if value:
            self._published[address] = value
        else:
            self._published.pop(address, None)


def _readable(address: str, published: bytes | None) -> PathSet | None:
    """Return the published path set, None where there is none that an agent could read."""
    try:
        return decode_path_set(address, published)
    except UndecodableRecord:
        return None
