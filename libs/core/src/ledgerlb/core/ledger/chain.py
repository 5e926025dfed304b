"""The chain is the lock: an entry counts if and only if it extends the head of its network's chain where it stands
in the log.

Kafka has no conditional append. This is one: of several writers that decided upon the same head, the first in log
order wins, for every reader alike; a zombie's entry, or the same bytes appended twice after a lost acknowledgement,
extends nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from ledgerlb.core.ledger.entry import GENESIS, Entry


class Head(NamedTuple):
    """The last accepted entry of a chain: its ``seq`` (0: none yet) and the SHA-256 (hex) of its bytes."""

    seq: int = 0
    digest: str = GENESIS


def extends(head: Head, entry: Entry) -> bool:
    """Whether the entry is the next of the chain."""
    return entry.seq == head.seq + 1 and entry.prev == head.digest


def why_not(head: Head, entry: Entry) -> str:
    """For people: why the entry does not extend the head."""
    if entry.seq <= head.seq:
        return f"seq {entry.seq} was taken already (the chain stands at {head.seq})"
    if entry.seq > head.seq + 1:
        return f"seq {entry.seq} leaves a gap (the chain stands at {head.seq})"
    return f"prev {entry.prev[:12]} is not the head {head.digest[:12]}"
