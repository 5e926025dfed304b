"""Heads that were remembered outside of their chains.

The chain shows every change of an entry that a later entry builds on. It cannot show that its last entries were cut
off, or that its last entry was changed. So processes remember the highest head of each chain that they folded, and keep
it apart from the ledger. A ledger that ends before a remembered head, or has another entry in its place, is damaged.

A head's record is JSON. Readers ignore fields that they do not know, so that a later version can add what a head proves
(such as the root of a Merkle tree) without hiding the head from an older process.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.entry import Seq, is_sane
from ledgerlb.core.ledger.events import Moment
from ledgerlb.core.signatures import Headers, Signatures

VERSION: Final = 1
CONTRADICTED: Final = ""
"""The digest of a head that was remembered with two digests: no entry has it."""

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class HeadRecord(msgspec.Struct, frozen=True, gc=False):
    """A head as it is remembered: the SHA-256 (hex) of the bytes of entry ``seq``, and when it was noted."""

    v: Annotated[int, msgspec.Meta(ge=1)]
    network: str
    seq: Seq
    digest: Digest
    at: Moment

    @property
    def head(self) -> Head:
        """The head itself."""
        return Head(self.seq, self.digest)


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(HeadRecord)


def encode_head(network: str, head: Head, at: datetime) -> bytes:
    """Return the record of a head; ``at`` is aware UTC."""
    return _ENCODER.encode(HeadRecord(VERSION, network, head.seq, head.digest, at))


def decode_head(key: str, value: bytes) -> HeadRecord:
    """Decode the record of a head of the network ``key``; raises UndecodableRecord."""
    try:
        found = _DECODER.decode(value)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise _unusable(key, f"does not decode: {error}") from error
    if found.network != key:
        raise _unusable(key, f"names network {found.network!r}")
    if not is_sane(found.at):
        raise _unusable(key, f"has an impossible time: at {found.at}")
    return found


def _unusable(key: str, problem: str) -> UndecodableRecord:
    return UndecodableRecord(f"remembered head of {key!r}", "", problem, "forget it with ledgerlb heads forget")


class RememberedHeads:
    """The highest remembered head of each network, and whose signatures count beyond it.

    ``signatures`` None: entries need no signature. ``signed_from`` is the first entry of a network that needs one (else
    1). ``noted`` is when a head was noted, where that is known.
    """

    def __init__(self) -> None:
        self._heads: dict[str, Head] = {}
        self.signatures: Signatures | None = None
        self.signed_from: dict[str, int] = {}
        self.noted: dict[str, datetime] = {}

    def remember(self, network: str, head: Head, at: datetime | None = None) -> None:
        """Keep a head, unless a higher one is known. Two digests at one place contradict each other: no entry matches
        that head any more.
        """
        known = self._heads.get(network)
        if known is None or head.seq > known.seq:
            self._heads[network] = head
            self.noted.pop(network, None)
            if at is not None:
                self.noted[network] = at
        elif head.seq == known.seq and head.digest != known.digest:
            self._heads[network] = Head(head.seq, CONTRADICTED)

    def forget(self, network: str) -> None:
        """Drop the head of a network."""
        self._heads.pop(network, None)
        self.noted.pop(network, None)

    def of(self, network: str) -> Head | None:
        """Return the remembered head of a network."""
        return self._heads.get(network)

    def items(self) -> list[tuple[str, Head]]:
        """Return (network, head), by network."""
        return sorted(self._heads.items())

    def networks(self) -> list[str]:
        """Return the networks that have a head, sorted."""
        return sorted(self._heads)

    def mismatch(self, network: str, found: Head, offset: int = NO_OFFSET) -> Damage | None:
        """Return the damage of an entry that stands in the place of a remembered head, None where it is that head."""
        known = self._heads.get(network)
        if known is None or known.seq != found.seq or known.digest == found.digest:
            return None
        was = f"{known.digest[:12]}…" if known.digest else "remembered with two hashes"
        message = f"has the hash {found.digest[:12]}…, but was {was} when its head was remembered: it was changed"
        return Damage(DamageKind.HEAD_MISMATCH, network, found.seq, message, offset)

    def unproven(
        self, network: str, seq: int, value: bytes, headers: Headers, offset: int = NO_OFFSET
    ) -> Damage | None:
        """Return the damage of an entry that no trusted key signed, None where it counts.

        Entries up to a remembered head need no look at their own signature: the chain leads from each of them to the
        head, whose hash is known. That makes the start of a process quick.
        """
        if self.signatures is None:
            return None
        known = self._heads.get(network)
        if known is not None and seq <= known.seq:
            return None
        return self.unsigned(network, seq, value, headers, offset)

    def unsigned(
        self, network: str, seq: int, value: bytes, headers: Headers, offset: int = NO_OFFSET
    ) -> Damage | None:
        """Return the damage of an entry whose own signature does not count, None where it counts or is not needed."""
        if self.signatures is None or seq < self.signed_from.get(network, 1):
            return None
        objection = self.signatures.objection(network, value, headers)
        if objection is None:
            return None
        kind = DamageKind.UNSIGNED if objection.unsigned else DamageKind.FORGED
        return Damage(kind, network, seq, objection.message, offset)

    def cut_off(self, network: str, end: Head) -> Damage | None:
        """Return the damage of a chain that ends at ``end``, before its remembered head; None where it does not."""
        known = self._heads.get(network)
        if known is None or known.seq <= end.seq:
            return None
        missing = f"is missing: the chain ends at entry {end.seq}, but entry {known.seq} was remembered as its head"
        return Damage(DamageKind.TRUNCATED, network, end.seq + 1, missing)
