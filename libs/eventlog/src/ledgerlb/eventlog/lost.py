"""Tell a log that lost its ledger from a new one.

Without its ledger a log looks new, and every address in use would be given out again. What else the log holds shows
that there was a ledger: path sets, snapshots and remembered heads come from its entries alone. Facts and intents may be
there before the first decision, so they only count where the ledger's topic itself is gone.
"""

from __future__ import annotations

from typing import Final

from ledgerlb.core.errors import TopicMisconfigured
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import FACTS, HEADS, INTENTS, LEDGER, PATHS, SNAPSHOTS, Topic

_MADE_FROM_ENTRIES: Final = (PATHS, SNAPSHOTS, HEADS)
_OLDER_THAN_ENTRIES: Final = (FACTS, INTENTS)


async def require_ledger(log: EventLog) -> None:
    """Raise TopicMisconfigured where the ledger is missing or empty and other topics show that there was one.

    Call it before provisioning, which would make the missing topic. Raises LogUnavailable.
    """
    end = await _end(log, LEDGER)
    if end:
        return
    witnesses = _MADE_FROM_ENTRIES if end == 0 else (*_MADE_FROM_ENTRIES, *_OLDER_THAN_ENTRIES)
    found = [topic.name for topic in witnesses if await _end(log, topic)]
    if HEADS.name not in found and await _remembers_heads(log):
        found.append("the remembered heads")
    if found:
        state = "empty" if end == 0 else "missing"
        raise TopicMisconfigured(
            f"{LEDGER.name}: the topic is {state}, but {', '.join(found)} "
            f"{'has' if len(found) == 1 else 'have'} records: the allocations are lost, and addresses in use would be "
            "given out again; restore a backup of the log, or set LEDGERLB_LOG_NEW_LEDGER=true (ledgerlb topics apply: "
            "--new-ledger) to begin a new ledger"
        )


async def _remembers_heads(log: EventLog) -> bool:
    found = False

    def take(record: Record) -> None:
        nonlocal found
        found = found or record.value is not None

    await log.read_heads(take)
    return found


async def _end(log: EventLog, topic: Topic) -> int | None:
    """The end of the topic, None where the topic is missing."""
    try:
        return await log.end(topic)
    except TopicMisconfigured:
        return None
