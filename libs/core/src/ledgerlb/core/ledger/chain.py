"""The chain is the lock: an entry counts if and only if it extends the head of its network's chain.

Kafka has no conditional append, and this replaces it. Of several writers that decided on the same head, the first in
the order of the log wins, for every reader alike. A zombie's entry, and the same bytes appended twice after a lost
acknowledgement, have a ``seq`` that the chain has already.

A writer decides on the head that it folded, so ``seq == head + 1`` with another ``prev``, or a greater ``seq``, means
that the writer read entries that are not in this log. No race leads to that.
"""

from __future__ import annotations

from typing import NamedTuple

from ledgerlb.core.ledger.damage import Damage, DamageKind
from ledgerlb.core.ledger.entry import GENESIS, Entry


class Head(NamedTuple):
    """The last accepted entry of a chain: its ``seq`` (0: none yet) and the SHA-256 (hex) of its bytes."""

    seq: int = 0
    digest: str = GENESIS


def extends(head: Head, entry: Entry) -> bool:
    """Return whether the entry is the next of the chain."""
    return entry.seq == head.seq + 1 and entry.prev == head.digest


def why_lost(head: Head, entry: Entry) -> str:
    """Explain to people why an entry lost the race."""
    return f"lost the race for seq {entry.seq} (the head of the chain has seq {head.seq})"


def damage_of(head: Head, entry: Entry, offset: int) -> Damage:
    """Return the damage of an entry that neither extends the chain nor lost a race."""
    if entry.seq > head.seq + 1:
        missing = (
            f"entry {head.seq + 1} is"
            if entry.seq == head.seq + 2
            else f"entries {head.seq + 1} to {entry.seq - 1} are"
        )
        return Damage(
            DamageKind.GAP, entry.network, entry.seq, f"does not follow entry {head.seq}: {missing} missing", offset
        )
    message = (
        f"builds on an entry {entry.prev[:12]}… that is not entry {head.seq} ({head.digest[:12]}…): one was changed"
    )
    return Damage(DamageKind.FORK, entry.network, entry.seq, message, offset)
