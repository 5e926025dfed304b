"""Read and forget the remembered heads of the ledger's chains, wherever the log keeps them."""

from __future__ import annotations

from collections.abc import Iterable

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.heads import HeadRecord, RememberedHeads, decode_head
from ledgerlb.eventlog.port import EventLog, NewRecord, Record


async def read_heads(log: EventLog, heads: RememberedHeads) -> list[str]:
    """Add every head that the log keeps to ``heads``, and return a line for each that cannot be used. Raises
    LogUnavailable.
    """
    unusable: list[str] = []

    def take(record: Record) -> None:
        if record.value is None:
            heads.forget(record.key)
            return
        try:
            heads.remember(record.key, decode_head(record.key, record.value).head)
        except UndecodableRecord as error:
            unusable.append(str(error))

    await log.read_heads(take)
    return unusable


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
