"""One ledger entry: a decision with all its events, as it stands in topic ``ledgerlb.ledger.v1`` under its network."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.events import Event, Moment

GENESIS: Final = "0" * 64
"""``prev`` of the first entry of a chain."""
VERSION: Final = 1
MAX_EVENTS: Final = 500
MAX_BYTES: Final = 512 * 1024
"""What the wishes of many together never exceed; one that must be larger may be, as far as the topic admits it."""


class Cause(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why one Service's part of an entry was decided: what it wanted, who asked, which rung chose the network, and
    where the facts stand. An entry that serves several intents has several causes.
    """

    intent: str
    """Kind of the intent: ``want``, ``withdraw``, ``network``; ``clock`` or ``report`` where no intent led to it."""
    revision: int = 0
    service: str = ""
    uid: str = ""
    requester: str = ""
    rung: str = ""
    explanation: str = ""
    facts: tuple[tuple[str, int, int], ...] = ()
    """(topic, partition, offset)."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """See module. ``seq`` counts from 1 in this network's chain; ``prev`` is the SHA-256 (hex) of the previous
    entry's bytes.
    """

    v: int
    network: str
    seq: int
    prev: str
    decided_at: Moment
    decider: str
    cause: tuple[Cause, ...]
    events: tuple[Event, ...]


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """The bytes that are appended and hashed. Deterministic: field order is the struct's."""
    return _ENCODER.encode(entry)


def decode_entry(key: str, value: bytes | None) -> Entry:
    """Decode; raises UndecodableRecord naming key and field. Versions older than today's are upcast first."""
    if not value:
        raise UndecodableRecord(f"ledger entry of {key!r}", "value", "is empty", "the ledger has no tombstones")
    try:
        entry = _DECODER.decode(value)
    except msgspec.DecodeError as error:
        raise UndecodableRecord(f"ledger entry of {key!r}", "value", str(error), "it is skipped and counted") from error
    if entry.v != VERSION:
        raise UndecodableRecord(
            f"ledger entry of {key!r}",
            "v",
            f"version {entry.v} is unknown here",
            "upgrade LedgerLB before reading on",
        )
    if entry.network != key:
        raise UndecodableRecord(f"ledger entry of {key!r}", "network", f"names {entry.network!r}", "it is skipped")
    return entry


def digest(raw: bytes) -> str:
    """The hash by which the next entry names this one."""
    return hashlib.sha256(raw).hexdigest()


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """The entry as plain JSON data, for people and tools."""
    data: dict[str, Any] = msgspec.to_builtins(entry)
    return data
