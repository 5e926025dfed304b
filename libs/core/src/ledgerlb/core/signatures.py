"""What a record's signature covers, and what a reader asks of it. The cryptography is behind a protocol.

A signature is over the topic, the key and the value of a record, so that a record that was signed for one place counts
in no other. It is in the record's headers, with the id of the key that made it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

Headers = tuple[tuple[str, bytes], ...]
"""(name, value) of what a record carries beside key and value."""

KEY_HEADER: Final = "ledgerlb-key"
SIGNATURE_HEADER: Final = "ledgerlb-signature"
_DOMAIN: Final = b"ledgerlb record, version 1\0"
_LENGTH_BYTES: Final = 8
_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a record's signature does not count. ``unsigned``: it has none; else it has a wrong one."""

    unsigned: bool
    message: str


class Signatures(Protocol):
    """Whose signatures count for the records of one topic."""

    def objection(self, key: str, value: bytes | None, headers: Headers) -> Objection | None:
        """Return why the record does not count; None where a trusted key signed it."""
        ...


def signed_bytes(topic: str, key: str, value: bytes | None) -> bytes:
    """Return what is signed. Every part has its length before it, so that no two records have the same bytes."""
    parts = [topic.encode(), key.encode("utf-8", "replace"), b"" if value is None else b"\x01" + value]
    return _DOMAIN + b"".join(len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts)


def key_id(public: bytes) -> str:
    """Return the id of a public key (32 bytes): the beginning of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:_ID_CHARACTERS]


def signature_headers(identity: str, signature: bytes) -> Headers:
    """Return the headers that carry a signature by the key ``identity``."""
    return ((KEY_HEADER, identity.encode()), (SIGNATURE_HEADER, signature))
