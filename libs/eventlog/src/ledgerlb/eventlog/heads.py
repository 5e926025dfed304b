"""Read and forget the remembered heads of the ledger's chains, wherever the log keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.heads import HeadRecord, RememberedHeads, decode_head
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import HEADS, LEDGER

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys  # loads cryptography, which only those need who use keys


MAX_UNUSABLE: Final = 100
"""Lines about heads that cannot be used; the rest is counted."""


async def read_heads(log: EventLog, heads: RememberedHeads, keys: TrustedKeys | None = None) -> list[str]:
    """Add every head that the log keeps to ``heads``, and return a line for each that cannot be used. Raises
    LogUnavailable.

    With ``keys``, only heads that they signed count, and entries must be signed, too.
    """
    reading = _Reading(heads, keys)
    await log.read_heads(reading.take)
    if keys is not None:
        heads.signatures = keys.of(LEDGER.name)
        heads.signed_from.update({network: since.seq for network, since in keys.since.items()})
        for network, pinned in keys.pinned().items():
            heads.remember(network, pinned)
    if reading.more:
        reading.unusable.append(f"{reading.more} more remembered heads cannot be used")
    return reading.unusable


class _Reading:
    """Takes the records of heads one by one."""

    def __init__(self, heads: RememberedHeads, keys: TrustedKeys | None) -> None:
        self.unusable: list[str] = []
        self.more = 0
        self._heads = heads
        self._since = {} if keys is None else keys.since
        self._signatures = None if keys is None else keys.of(HEADS.name)

    def take(self, record: Record) -> None:
        objection = None
        if self._signatures is not None:
            objection = self._signatures.objection(record.key, record.value, record.headers)
        try:
            head = None if record.value is None else decode_head(record.key, record.value)
        except UndecodableRecord as error:
            self._refuse(str(error))
            return
        if objection is not None:
            since = self._since.get(record.key)
            if not objection.unsigned or head is None or since is None or head.seq >= since.seq:
                what = "remembered head" if head is not None else "request to forget the head"
                self._refuse(f"{what} of {record.key!r} {objection.message}; it does not count")
        elif head is None:
            self._heads.forget(record.key)
        else:
            self._heads.remember(record.key, head.head, head.at)

    def _refuse(self, problem: str) -> None:
        if len(self.unusable) < MAX_UNUSABLE:
            self.unusable.append(problem)
        else:
            self.more += 1


async def highest_heads(log: EventLog) -> list[HeadRecord]:
    """Return the highest head that the log keeps of each network, by network. Raises LogUnavailable."""
    found: dict[str, HeadRecord] = {}

    def take(record: Record) -> None:
        if record.value is None:
            found.pop(record.key, None)
            return
        try:
            head = decode_head(record.key, record.value)
        except UndecodableRecord:
            return
        known = found.get(record.key)
        if known is None or head.seq >= known.seq:
            found[record.key] = head

    await log.read_heads(take)
    return [found[network] for network in sorted(found)]


async def forget_heads(log: EventLog, networks: Iterable[str]) -> None:
    """Let the log forget the heads of these networks. Raises LogUnavailable."""
    await log.remember_heads([NewRecord(network, None) for network in networks])
