"""The shape that every LedgerLB service has: fold records, and when caught up, settle.

A service is a ``Processor``: it names the topics it reads, folds one record at a time into its own state (``take``:
synchronous, pure but for that state), and after each batch writes what follows from the state (``settle``). It begins
to settle once it has seen everything that the log held at the start. The loop in ``loop.py`` runs the processors:
reading, dead letters, back-off, readiness, metrics. Everything a processor knows comes from the log, so killing it at
any point loses nothing.

Concurrency: take and settle of one processor never run at the same time.
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
    """Whether no Service waits for this processor to get its address. In a storm it lets records gather earlier (see
    ``pace``). It still handles a record that comes alone at once.
    """

    def reset(self) -> None:
        """Forget everything folded so far: the loop reads from the beginning again."""
        ...

    def take(self, record: Record) -> None:
        """Fold one record.

        Raises BadInput (UndecodableRecord) for a record that it cannot use, and must then leave the state unchanged.
        The loop writes that record to dead letters with its raw bytes and continues.
        """
        ...

    async def settle(self, log: EventLog) -> float | None:
        """Write what follows from the state. Must be idempotent.

        The loop calls it when caught up: after each batch, and when its wake-up time is due. Return in how many
        seconds to call it again without new records (None: only on records). After LogUnavailable the loop backs off,
        catches up and calls it again.
        """
        ...


@runtime_checkable
class Troubled(Protocol):
    """A processor that can report lasting trouble. While ``problems`` returns any line, the process is not ready."""

    def problems(self) -> Sequence[str]:
        """Describe what an operator must act on, a line each; empty: nothing."""
        ...
