"""The shape that every LedgerLB service has: fold records, and when caught up, settle.

A service is a ``Processor``: it names the topics it reads, folds one record at a time into its own state (``take``:
synchronous, pure but for that state), and after each batch, once it has seen everything that stood in the log when it
started, writes what follows from the state (``settle``). The loop in ``loop.py`` runs one processor: reading, dead
letters, back-off, readiness, metrics. Everything a processor knows comes from the log, so killing it at any point
loses nothing.

Concurrency: take and settle of one processor are never run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import Topic


class Processor(Protocol):
    """See module."""

    name: str
    reads: tuple[Topic, ...]
    low_priority: bool
    """Whether nobody waits for this processor on the way to an address: in a storm it lets records gather earlier
    (see ``pace``). A record that comes alone is handled at once all the same.
    """

    def reset(self) -> None:
        """Forget everything that was folded: the loop reads from the beginning again."""
        ...

    def take(self, record: Record) -> None:
        """Fold one record. Raises BadInput (UndecodableRecord) for a record that cannot be used: it goes to dead
        letters with its raw bytes and the loop goes on. State must be unchanged then.
        """
        ...

    async def settle(self, log: EventLog) -> float | None:
        """Write what follows from the state; called when caught up: after each batch, and when its wake-up time is due.
        Returns in how many seconds it wants to be called again without new records (None: only on records).
        Must be idempotent; LogUnavailable from it makes the loop back off, catch up and call it again.
        """
        ...


@runtime_checkable
class Troubled(Protocol):
    """A processor that can report lasting trouble. While ``problems`` returns any line, the process is not ready."""

    def problems(self) -> Sequence[str]:
        """Describe what an operator must act on, a line each; empty: nothing."""
        ...
