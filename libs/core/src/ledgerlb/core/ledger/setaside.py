"""The records of a damaged network that do not count, and the entry that ends the damage.

Every reader hashes them in the order of the log. An entry that ends the damage states the same hash, so it counts only
where it names exactly the records that the reader has seen.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.ledger.chain import Head, extends
from ledgerlb.core.ledger.damage import Damage, DamageKind
from ledgerlb.core.ledger.entry import GENESIS, Entry, digest
from ledgerlb.core.ledger.events import DamageSetAside, SetAsideRecord

AFTER_DAMAGE: Final = "AfterDamage"
"""The kind of a record that is an entry and came after a damaged one."""
MAX_NAMED: Final = 100
"""Records that are named one by one; all of them are counted and hashed."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """How many records, the hash over all of them, and the first ones."""

    records: int = 0
    digest: str = GENESIS
    named: tuple[SetAsideRecord, ...] = ()

    def plus(self, record: SetAsideRecord) -> SetAside:
        """Return these records and one more."""
        named = self.named if len(self.named) == MAX_NAMED else (*self.named, record)
        return SetAside(self.records + 1, digest((self.digest + record.digest).encode()), named)


NOTHING_ASIDE: Final = SetAside()


def repair_of(head: Head, entry: Entry, aside: SetAside) -> DamageSetAside | None:
    """Return the event by which the entry extends the last good one and sets aside exactly these records, else None."""
    first = _first(entry)
    if first is None or not extends(head, entry):
        return None
    return first if (first.records, first.digest) == (aside.records, aside.digest) else None


def repairs_what_counted(entry: Entry, repaired: Container[int]) -> bool:
    """Return whether an entry behind the head sets records aside that the reader has counted; ``repaired`` are the
    numbers of the entries that ended damage. Two repairs of the same damage have the same number, so the second one
    loses a race like any other entry.
    """
    return _first(entry) is not None and entry.seq not in repaired


def counted_damage(entry: Entry, offset: int) -> Damage:
    """Return the damage of a reader that has counted what an operator set aside."""
    message = "sets entries aside that this process has counted: the log was changed after they were read"
    return Damage(DamageKind.CONTRADICTION, entry.network, entry.seq, message, offset)


def _first(entry: Entry) -> DamageSetAside | None:
    first = entry.events[0] if entry.events else None
    return first if isinstance(first, DamageSetAside) else None
