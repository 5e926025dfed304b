"""One ledger entry: a decision with all its events, as topic ``ledgerlb.ledger.v1`` holds it under its network."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.events import Event, Moment
from ledgerlb.core.ledger.upcast import VERSION, is_older, upcast

GENESIS: Final = "0" * 64
"""``prev`` of the first entry of a chain."""
MAX_EVENTS: Final = 500
MAX_BYTES: Final = 512 * 1024
"""An entry about many Services stays below this; one about a single Service may be as large as the topic admits."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9000
"""Years of every moment in an entry: durations can be added to it without an overflow."""

Seq = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
Revision = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
CauseKind = Literal["want", "withdraw", "network", "clock", "report", "operator"]


class Cause(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """Why one Service's part of an entry was decided: its intent, who asked, which rung chose the network, and where
    the facts are. An entry about several Services has several causes.
    """

    intent: CauseKind
    """``clock`` and ``report`` where time or an agent's report led to the events, ``operator`` where a person did."""
    revision: Revision = 0
    service: str = ""
    uid: str = ""
    requester: str = ""
    rung: str = ""
    explanation: str = ""
    facts: tuple[tuple[str, int, int], ...] = ()
    """(topic, partition, offset)."""


class Entry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """See module. ``seq`` counts from 1 in this network's chain; ``prev`` is the SHA-256 (hex) of the previous
    entry's bytes; ``v`` is the version in which the entry was written, whatever its fields look like today.
    """

    v: int
    network: str
    seq: Seq
    prev: str
    decided_at: Moment
    decider: str
    cause: tuple[Cause, ...]
    events: tuple[Event, ...]


class _Version(msgspec.Struct, gc=False):
    """The one field that every version of an entry has."""

    v: int
    seq: int = 0


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Entry)
_VERSION_DECODER: Final = msgspec.json.Decoder(_Version)
_RAW_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_NOT_DECODABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


def encode_entry(entry: Entry) -> bytes:
    """The bytes that are appended and hashed. Deterministic: fields have the order of the struct."""
    return _ENCODER.encode(entry)


def parse_entry(key: str, value: bytes | None, offset: int = NO_OFFSET) -> Entry | Damage:
    """Decode one record of the ledger topic; return the damage of a record that is not an entry. Never raises."""
    if not value:
        return Damage(DamageKind.EMPTY, key, 0, "has no value, and the ledger has no tombstones", offset)
    try:
        entry = _decode(value)
    except _NOT_DECODABLE as error:
        return _newer(key, value, offset) or Damage(DamageKind.UNDECODABLE, key, 0, f"does not decode: {error}", offset)
    if entry.v != VERSION and not is_older(entry.v):
        return _newer(key, value, offset) or Damage(
            DamageKind.UNDECODABLE, key, entry.seq, f"has version {entry.v}, which never existed", offset
        )
    if entry.network != key:
        message = f"is filed under another key: it names network {entry.network!r}"
        return Damage(DamageKind.MISPLACED, key, entry.seq, message, offset, entry.network)
    if not is_sane(entry.decided_at):
        message = f"has an impossible time: decided_at {entry.decided_at}"
        return Damage(DamageKind.UNDECODABLE, key, entry.seq, message, offset)
    return entry


def _decode(value: bytes) -> Entry:
    """Decode an entry of any version up to today's; raises one of ``_NOT_DECODABLE``.

    Nearly every entry of a log is of today's version, so its version is not looked up first.
    """
    try:
        entry = _DECODER.decode(value)
    except _NOT_DECODABLE:
        if not is_older(_VERSION_DECODER.decode(value).v):
            raise
        return _decode_older(value)
    return _decode_older(value) if is_older(entry.v) else entry


def _decode_older(value: bytes) -> Entry:
    raw = _RAW_DECODER.decode(value)
    return msgspec.convert(upcast(raw, raw["v"]), Entry)


def _newer(key: str, value: bytes, offset: int) -> Damage | None:
    """Return the damage of an entry of a newer version, None for any other value."""
    try:
        found = _VERSION_DECODER.decode(value)
    except _NOT_DECODABLE:
        return None
    if found.v <= VERSION:
        return None
    message = f"has version {found.v}, and this process knows versions up to {VERSION}"
    return Damage(DamageKind.TOO_NEW, key, max(0, found.seq), message, offset)


def is_sane(moment: datetime) -> bool:
    """Return whether a moment is UTC and in a year that can be reckoned with."""
    return moment.tzinfo is UTC and FIRST_YEAR <= moment.year <= LAST_YEAR


def decode_entry(key: str, value: bytes | None) -> Entry:
    """Decode one record of the ledger topic; raises LedgerDamaged."""
    found = parse_entry(key, value)
    if isinstance(found, Damage):
        raise found.error()
    return found


def digest(raw: bytes) -> str:
    """The hash by which the next entry names this one."""
    return hashlib.sha256(raw).hexdigest()


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """The entry as plain JSON data, for people and tools."""
    data: dict[str, Any] = msgspec.to_builtins(entry)
    return data
