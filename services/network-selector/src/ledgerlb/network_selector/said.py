"""What the selector has said so far: a fold of the intents topic, own records and those of other replicas
alike.

Revisions rise per key for as long as anybody remembers: over restarts, because the topic keeps the last record,
and over a lost topic, because the ledger names the revision that each decision followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ledgerlb.core.intents import (
    AddressIntent,
    Dropped,
    IntentRecord,
    IntentsSynced,
    NetworkOffer,
    Selection,
    Withdrawal,
    decode_intent,
    intent_key,
)
from ledgerlb.core.reasons import Reason

Word = AddressIntent | Withdrawal
_NOBODY: Final[Mapping[str, Word]] = MappingProxyType({})


class Said:
    """See module. The last record under each key, by what it is about."""

    def __init__(self) -> None:
        self.offers: dict[str, NetworkOffer] = {}
        self.selections: dict[str, Selection] = {}
        self.synced = False
        self._words: dict[str, dict[str, Word]] = {}
        self._revisions: dict[str, int] = {}
        self._offsets: dict[str, int] = {}

    def read(self, key: str, value: bytes | None, offset: int) -> IntentRecord | None:
        """Fold a record that was read; None where it is no news (our own, noted when it was appended). Raises
        UndecodableRecord.
        """
        if offset <= self._offsets.get(key, -1):
            return None
        record = decode_intent(key, value)
        self.note(record, offset)
        return record

    def note(self, record: IntentRecord, offset: int) -> None:
        """Take a record that stands at ``offset``."""
        key = intent_key(record)
        self._offsets[key] = offset
        match record:
            case NetworkOffer():
                self.offers[record.network] = record
            case Selection():
                self.selections[record.service] = record
            case AddressIntent() | Withdrawal():
                self._words.setdefault(record.service, {})[record.network] = record
            case IntentsSynced():
                self.synced = True
            case Dropped():
                self._drop(record)
        revision = getattr(record, "revision", 0)
        self._revisions[key] = max(revision, self._revisions.get(key, 0))

    def _drop(self, dropped: Dropped) -> None:
        if not dropped.service:
            self.offers.pop(dropped.network, None)
            self.synced = self.synced and bool(dropped.network)
        elif not dropped.network:
            self.selections.pop(dropped.service, None)
        else:
            words = self._words.get(dropped.service, {})
            words.pop(dropped.network, None)
            if not words:
                self._words.pop(dropped.service, None)

    def words_of(self, service: str) -> Mapping[str, Word]:
        """The last that was said to each network about the Service."""
        return self._words.get(service, _NOBODY)

    def services(self) -> Iterable[str]:
        """Every Service that something stands about."""
        return dict.fromkeys((*self.selections, *self._words))

    def missing_their_network(self) -> list[str]:
        """Services that were told, of their choice or of a fresh one, that a network does not exist."""
        return [
            name
            for name, verdict in self.selections.items()
            if Reason.NETWORK_NOT_FOUND in {verdict.reason, verdict.drift_reason}
        ]

    def next_revision(self, key: str, known: int = 0) -> int:
        """The revision of the next record under a key; ``known`` is one that another source remembers."""
        return max(self._revisions.get(key, 0), known) + 1
