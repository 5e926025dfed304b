"""Damage of the ledger: what it is, and which records have it.

A writer that loses the race for the head of a chain leaves an entry with a ``seq`` that the chain has already. That is
normal, and readers skip it. Everything in ``DamageKind`` cannot come from an honest writer of this version, so the
network stops deciding on every reader until an operator acts: what is held stays held, nothing new is given out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.reasons import Reason

NO_OFFSET: Final = -1
NO_DAMAGE: Final[Mapping[str, Damage]] = MappingProxyType({})


class DamageKind(StrEnum):
    """Why a record cannot count as an entry, nor as the loser of a race."""

    EMPTY = "Empty"
    """The record has no value: the ledger has no tombstones."""
    UNDECODABLE = "Undecodable"
    """The value is not an entry of any known version."""
    TOO_NEW = "TooNew"
    """A newer version of LedgerLB wrote the entry."""
    MISPLACED = "Misplaced"
    """The entry names another network than the record's key."""
    GAP = "Gap"
    """``seq`` skips entries that are not in the log."""
    FORK = "Fork"
    """``seq`` follows the head, but ``prev`` names another entry in its place."""
    CONTRADICTION = "Contradiction"
    """An event says something that no decision on this state can say."""
    HEAD_MISMATCH = "HeadMismatch"
    """Another entry stands where a remembered head was."""
    TRUNCATED = "Truncated"
    """The chain ends before a remembered head."""
    UNSIGNED = "Unsigned"
    """The entry has no signature, and the reader trusts keys."""
    FORGED = "Forged"
    """The entry's signature is wrong, or of a key that is not trusted for it."""


_UPGRADE: Final = "upgrade this process"
_INSPECT: Final = "run ledgerlb verify, then ledgerlb repair, or restore the log from a backup"
_REPLACED: Final = f"{_INSPECT}; if you replaced the log on purpose, run ledgerlb heads forget"


@dataclass(frozen=True, slots=True)
class Damage:
    """The first damaged record of a network.

    ``offset`` is its place in the ledger topic (``NO_OFFSET``: unknown), ``seq`` the entry's number (0: unreadable),
    ``named`` the network that a misplaced entry names.
    """

    kind: DamageKind
    network: str
    seq: int
    message: str
    offset: int = NO_OFFSET
    named: str = ""

    @property
    def reason(self) -> Reason:
        """The reason for Services that wait for the network."""
        return Reason.LEDGER_TOO_NEW if self.kind is DamageKind.TOO_NEW else Reason.LEDGER_DAMAGED

    @property
    def remedy(self) -> str:
        """What an operator can do."""
        if self.kind in {DamageKind.HEAD_MISMATCH, DamageKind.TRUNCATED}:
            return _REPLACED
        return _UPGRADE if self.kind is DamageKind.TOO_NEW else _INSPECT

    @property
    def place(self) -> str:
        """The record, for people."""
        entry = f"entry {self.network}#{self.seq}" if self.seq else f"ledger record of {self.network!r}"
        return entry if self.offset == NO_OFFSET else f"{entry} at offset {self.offset}"

    def text(self) -> str:
        """Describe the damage and its remedy in one line."""
        return f"{self.place} {self.message}; {self.remedy}"

    def in_named(self) -> Damage:
        """Return the damage of the network that a misplaced entry names and is missing from."""
        return replace(self, network=self.named, named="", message=f"is filed under key {self.network!r}")

    def error(self) -> LedgerDamaged:
        """The error that reports this damage."""
        return LedgerDamaged(self.place, "", self.message, self.remedy)
