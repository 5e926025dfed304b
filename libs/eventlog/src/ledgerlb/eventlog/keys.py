"""Ed25519 keys: the one that a process signs with, and those that it trusts.

The signing key is a PEM file (PKCS #8) that only its process can read. The trusted keys are a JSON file with public
keys, which may be read by everybody and must be written by administrators only:

    {"v": 1,
     "keys": [{"id": "…", "public": "<base64>", "signs": ["ledger", "paths", "reports"], "created": "…"}],
     "since": {"contrail/ext": {"seq": 42, "prev": "<SHA-256 of entry 41>"}}}

``signs`` bounds a key to some topics. ``since`` says from which entry on a network's entries must be signed; what is
before it is as the hash says. Both files are read again when they change, so a rotation needs no
restart.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.entry import Seq
from ledgerlb.core.ledger.heads import Digest
from ledgerlb.core.signatures import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    Headers,
    Objection,
    Signatures,
    key_id,
    signature_headers,
    signed_bytes,
)
from ledgerlb.eventlog.files import read_bounded, write_file
from ledgerlb.eventlog.topics import HEADS, LEDGER, PATHS, REPORTS

Role = Literal["ledger", "paths", "reports"]
"""What a key may sign: ledger entries and their heads, path sets, or reports."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
ROLE_OF: Final[Mapping[str, Role]] = {
    LEDGER.name: "ledger", HEADS.name: "ledger", PATHS.name: "paths", REPORTS.name: "reports",
}  # fmt: skip
"""The topics whose records are signed."""
RECHECK_SECONDS: Final = 1.0
"""Between two looks whether the file of trusted keys has a key that a record names."""
_MAX_BYTES: Final = 4 * 1024 * 1024
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_SIGNING: Final = "signing key"
_TRUSTED: Final = "trusted keys"


class TrustedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key (32 bytes in base64) and what it may sign."""

    id: str
    public: str
    signs: tuple[Role, ...]
    created: datetime


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first entry of a network that must be signed, and the hash of the entry before it."""

    seq: Seq
    prev: Digest


class TrustedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the file of trusted keys."""

    v: Literal[1] = 1
    keys: tuple[TrustedKey, ...] = ()
    since: dict[str, Since] = {}


class SigningKey:
    """The key of this process; see module. Raises InvalidSetting where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state(path)
        self._use(_load_private(path))

    def _use(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.id = key_id(_raw_public(key))

    def refresh(self) -> None:
        """Read the file again if it changed. While it cannot be used, the former key stays."""
        state = _state(self._path)
        if state != self._state:
            with contextlib.suppress(InvalidSetting):
                self._use(_load_private(self._path))
            self._state = state

    def headers(self, topic: str, key: str, value: bytes | None) -> Headers:
        """Return the headers that sign a record."""
        return signature_headers(self.id, self._key.sign(signed_bytes(topic, key, value)))


class TrustedKeys:
    """The keys whose signatures count; see module. Raises InvalidSetting where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = 0.0
        self._state = _state(path)
        self._use(read_trusted(path))

    def _use(self, content: TrustedFile) -> None:
        self._keys = {key.id: (_public_of(key, self._path), key.signs) for key in content.keys}
        self.since = dict(content.since)

    def may_sign(self, identity: str, role: Role) -> bool:
        """Return whether the key ``identity`` is trusted for ``role``."""
        return self._knows(identity) and role in self._keys[identity][1]

    def of(self, topic: str) -> Signatures:
        """Return whose signatures count for the records of a topic."""
        return _OfTopic(self, topic)

    def pinned(self) -> dict[str, Head]:
        """Return, by network, the last entry that needs no signature."""
        return {network: Head(since.seq - 1, since.prev) for network, since in self.since.items() if since.seq > 1}

    def objection(self, topic: str, key: str, value: bytes | None, headers: Headers) -> Objection | None:
        """Return why a record does not count; None where a key that may sign the topic signed it."""
        found = dict(headers)
        signature = found.get(SIGNATURE_HEADER)
        if signature is None or KEY_HEADER not in found:
            return Objection(unsigned=True, message="is not signed")
        identity = found[KEY_HEADER].decode("ascii", "replace")
        if not self._knows(identity):
            return Objection(unsigned=False, message=f"is signed with the key {identity[:40]!r}, which is not trusted")
        public, signs = self._keys[identity]
        if ROLE_OF[topic] not in signs:
            return Objection(unsigned=False, message=f"is signed with the key {identity}, which may not sign {topic}")
        try:
            public.verify(signature, signed_bytes(topic, key, value))
        except InvalidSignature:
            return Objection(unsigned=False, message=f"does not match its signature by the key {identity}")
        return None

    def _knows(self, identity: str) -> bool:
        if identity not in self._keys and time.monotonic() - self._looked >= RECHECK_SECONDS:
            self._looked = time.monotonic()
            state = _state(self._path)
            if state != self._state:
                self._state = state
                with contextlib.suppress(InvalidSetting):
                    self._use(read_trusted(self._path))
        return identity in self._keys


class _OfTopic:
    def __init__(self, keys: TrustedKeys, topic: str) -> None:
        self._keys = keys
        self._topic = topic

    def objection(self, key: str, value: bytes | None, headers: Headers) -> Objection | None:
        """See Signatures."""
        return self._keys.objection(self._topic, key, value, headers)


def make_key(signs: tuple[Role, ...]) -> tuple[bytes, TrustedKey]:
    """Make a key pair; return the private key as PEM, and the public one as it is trusted."""
    key = Ed25519PrivateKey.generate()
    raw = _raw_public(key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    now = datetime.now(UTC).replace(microsecond=0)
    return pem, TrustedKey(key_id(raw), base64.b64encode(raw).decode(), signs, now)


def write_private(path: Path, pem: bytes) -> None:
    """Write a private key that only the owner can read. Raises InvalidSetting."""
    try:
        write_file(path, pem, mode=_PRIVATE)
    except OSError as error:
        raise InvalidSetting(
            _SIGNING, str(path), f"cannot be written: {error.strerror}", "name another file"
        ) from error


def read_trusted(path: Path) -> TrustedFile:
    """Read a file of trusted keys; raises InvalidSetting."""
    try:
        content = msgspec.json.decode(_read(path, _TRUSTED), type=TrustedFile)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _unusable(_TRUSTED, path, str(error)) from error
    for key in content.keys:
        _public_of(key, path)
    return content


def write_trusted(path: Path, content: TrustedFile) -> None:
    """Write a file of trusted keys, complete or not at all. Raises InvalidSetting."""
    try:
        write_file(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n", mode=_PUBLIC)
    except OSError as error:
        raise InvalidSetting(
            _TRUSTED, str(path), f"cannot be written: {error.strerror}", "name another file"
        ) from error


def _public_of(key: TrustedKey, path: Path) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(key.public, validate=True)
        public = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise _unusable(_TRUSTED, path, f"the public key of {key.id!r} is not 32 bytes in base64") from error
    if key_id(raw) != key.id:
        raise _unusable(_TRUSTED, path, f"the key {key.id!r} has another id: {key_id(raw)}")
    return public


def _raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _load_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read(path, _SIGNING), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(_SIGNING, path, f"it is not a private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(_SIGNING, path, "it is not an Ed25519 key")
    return key


def _read(path: Path, what: str) -> bytes:
    try:
        return read_bounded(path, _MAX_BYTES)
    except OSError as error:
        raise _unusable(what, path, error.strerror or str(error)) from error


def _unusable(what: str, path: Path, problem: str) -> InvalidSetting:
    return InvalidSetting(what, str(path), f"cannot be used: {problem}", "make one with ledgerlb keys init")


def _state(path: Path) -> tuple[int, int, int]:
    """What tells whether a file changed, also one that a mounted Secret replaces."""
    try:
        found = path.stat()
    except OSError:
        return (-1, -1, -1)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
