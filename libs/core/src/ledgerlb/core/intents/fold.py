"""``IntentFold``: the one fold of the intents topic, which every reader of the topic shares.

The fold keeps the newest record under each key. An older revision never replaces a newer one, whatever order they have
in the log; of two records with the same revision the later one counts. A tombstone empties its key and releases
nothing, because a release needs a ``Withdrawal``; after it, any revision is accepted again.

The log itself keeps the *last* record of a key, so a record that arrived late with an older revision would win after a
compaction. ``overwritten`` names such keys, and the network-selector writes their newest record again.

Concurrency: plain data without locks; one event loop changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledgerlb.core.index import Index
from ledgerlb.core.intents.claims import NO_CLAIMS, Claims, claimed_by
from ledgerlb.core.intents.model import (
    AddressIntent,
    Dropped,
    Intent,
    IntentRecord,
    IntentsSynced,
    NetworkOffer,
    Selection,
    ServiceIntent,
    decode_intent,
    intent_key,
)


@dataclass(frozen=True, slots=True)
class IntentChange:
    """One record that the fold took. ``before`` is the record that it held under the key until then.

    ``outdated``: the record has an older revision than ``before``, so the fold still holds ``before``.
    """

    record: IntentRecord
    before: Intent | None
    outdated: bool = False


class IntentFold:
    """The newest intent of each key. Callers read the tables and never change them.

    ``offers``: by network; ``selections``: by Service (``namespace/name``); ``synced``: whether the selector has
    looked at everything once. IPAM decides nothing before.
    """

    def __init__(self) -> None:
        self.offers: dict[str, NetworkOffer] = {}
        self.selections: dict[str, Selection] = {}
        self.synced = False
        self.overwritten: dict[str, None] = {}
        self._by_service: Index[str, str, ServiceIntent] = Index()
        self._by_network: Index[str, str, ServiceIntent] = Index()
        self._claims: dict[str, Claims] = {}
        self._retired: dict[str, int] = {}
        """The highest revision before a tombstone, by key, until a record reaches it again."""
        self._noted: dict[str, int] = {}
        """Offset of our own record that was noted and not read yet, by key."""

    def take(self, key: str, value: bytes | None, offset: int) -> IntentChange | None:
        """Fold one record that was read.

        Return None for a record that ``note`` took already, and for one that precedes it in the log. Raises
        UndecodableRecord and then leaves the fold unchanged.
        """
        noted = self._noted.get(key)
        if noted is not None:
            if offset >= noted:
                del self._noted[key]
            if offset <= noted:
                return None
        return self._put(key, decode_intent(key, value))

    def note(self, record: IntentRecord, offset: int) -> IntentChange:
        """Fold a record that we appended at ``offset``, so that it counts before we read it back."""
        key = intent_key(record)
        self._noted[key] = offset
        return self._put(key, record)

    def intents_of(self, service: str) -> Mapping[str, ServiceIntent]:
        """Return the intents of a Service, by network."""
        return self._by_service.of(service)

    def intents_for(self, network: str) -> Mapping[str, ServiceIntent]:
        """Return the intents that concern a network, by Service."""
        return self._by_network.of(network)

    def claims_on(self, network: str) -> Claims:
        """Return which Services claim which addresses of a network."""
        return self._claims.get(network, NO_CLAIMS)

    def wants(self, service: str) -> bool:
        """Return whether the Service wants addresses of any network."""
        return any(isinstance(intent, AddressIntent) for intent in self.intents_of(service).values())

    def services(self) -> Iterable[str]:
        """Return every Service with a selection or an intent."""
        return dict.fromkeys((*self.selections, *self._by_service))

    def next_revision(self, key: str, known: int = 0) -> int:
        """Return the revision for the next record under a key; ``known`` is one that the ledger remembers."""
        held = self._held(*key.split("|", 1))
        return max(getattr(held, "revision", 0), self._retired.get(key, 0), known) + 1

    def restatements(self) -> tuple[Intent, ...]:
        """Return the newest record of every overwritten key, with the next revision, ready to be appended."""
        found = []
        for key in self.overwritten:
            held = self._held(*key.split("|", 1))
            if held is not None:
                found.append(held.model_copy(update={"revision": self.next_revision(key)}))
        return tuple(found)

    def _held(self, network: str, service: str) -> Intent | None:
        if not network:
            return self.selections.get(service)
        if not service:
            return self.offers.get(network)
        return self._by_service.of(service).get(network)

    def _put(self, key: str, record: IntentRecord) -> IntentChange:
        if isinstance(record, IntentsSynced):
            self.synced = True
            return IntentChange(record, None)
        network, _, service = key.partition("|")
        before = self._held(network, service)
        if isinstance(record, Dropped):
            self._remove(key, network, service, before)
            return IntentChange(record, before)
        if before is not None and record.revision < getattr(before, "revision", 0):
            self.overwritten[key] = None
            return IntentChange(record, before, outdated=True)
        self.overwritten.pop(key, None)
        if record.revision >= self._retired.get(key, 0):
            self._retired.pop(key, None)
        match record:
            case NetworkOffer():
                self.offers[network] = record
            case Selection():
                self.selections[service] = record
            case _:
                self._by_service.put(service, network, record)
                self._by_network.put(network, service, record)
                self._claim(network, service, claimed_by(record))
        return IntentChange(record, before)

    def _remove(self, key: str, network: str, service: str, before: Intent | None) -> None:
        if not network and not service:
            self.synced = False
        if before is None:
            return
        self.overwritten.pop(key, None)
        self._retired[key] = max(getattr(before, "revision", 0), self._retired.get(key, 0))
        if not network:
            del self.selections[service]
        elif not service:
            del self.offers[network]
        else:
            self._by_service.discard(service, network)
            self._by_network.discard(network, service)
            self._claim(network, service, ())

    def _claim(self, network: str, service: str, addresses: tuple[str, ...]) -> None:
        claims = self._claims.get(network)
        if claims is None:
            if not addresses:
                return
            claims = self._claims[network] = Claims()
        claims.assign(service, addresses)
        if not len(claims):
            del self._claims[network]
