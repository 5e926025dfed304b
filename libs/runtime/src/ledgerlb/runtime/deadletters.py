"""Dead letters: keep the records that a processor could not use, with their raw bytes, so that no loss goes unseen.

The value of a letter is JSON: ``topic``, ``offset``, ``key`` of the record, ``raw`` (its value in base64; null for a
tombstone), ``raw_key`` (base64), ``sha256`` of the value, ``truncated`` (value or key were too long to keep whole),
``service`` that could not use it, ``error`` (class), ``message``, ``at`` (RFC 3339).

Every start reads the log from its beginning and meets the same bad records again. So a processor writes one letter for
each topic, offset and content: before it writes, it reads the dead letters that the log already has, from where its
last reading ended. ``HOURLY_LIMIT`` bounds the letters of a processor, and ``MAX_PENDING_BYTES`` those that wait while
the log does not answer. Past a limit, the processor counts and logs bad records but does not keep them, until the hour
is over.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from ledgerlb.core.errors import LogAccessDenied
from ledgerlb.eventlog.port import MAX_KEY_BYTES, EventLog, NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import DEAD_LETTERS
from ledgerlb.runtime.metrics import Metrics

HOURLY_LIMIT: Final = 1000
KNOWN_LIMIT: Final = 100_000
"""How many letters a processor remembers as written."""
MAX_RAW_BYTES: Final = 1024 * 1024
MAX_KEY: Final = MAX_KEY_BYTES // 4
"""Characters of a key, which may hold any text: a character takes at most four bytes."""
MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
"""Bad records held in memory until they are written."""
MAX_MESSAGE: Final = 2000
BATCH: Final = 100
DENIED_WAIT: Final = 60.0
"""Seconds until letters that the log does not permit are tried again. Meanwhile the processor does its work."""
READ_TIMEOUT: Final = 20.0
"""Seconds without a record after which reading the dead letters gives up."""
_HOUR: Final = 3600.0

_logger = structlog.get_logger(__name__)

Identity = tuple[str, str, int, str]
"""(processor, topic, offset, sha256 of the value)."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that could not be used, and why (the error's class and text: the error itself would keep its frames)."""

    record: Record
    error: str
    message: str


class DeadLetters:
    """The dead letters of one processor. ``clock`` is monotonic seconds, ``now`` aware UTC."""

    def __init__(
        self, log: EventLog, service: str, metrics: Metrics, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._log = log
        self._service = service
        self._metrics = metrics
        self._clock = clock
        self._now = now
        self._known: OrderedDict[Identity, None] = OrderedDict()
        self._read_to = 0
        self._pending: OrderedDict[Identity, Letter] = OrderedDict()
        self._pending_bytes = 0
        self._hour_began = clock()
        self._this_hour = 0
        self._try_again_at = -math.inf

    def add(self, record: Record, error: BaseException) -> None:
        """Note a bad record; ``flush`` writes it."""
        letter = Letter(record, type(error).__name__, str(error)[:MAX_MESSAGE])
        identity = self._identity(record)
        if identity in self._known or identity in self._pending:
            self._count("known")
        elif self._pending_bytes < MAX_PENDING_BYTES and self._within_limit():
            self._pending[identity] = letter
            self._pending_bytes += _size(record)
        else:
            self._count("held back")

    async def flush(self) -> None:
        """Write the noted letters that the log does not have yet.

        Raises LogUnavailable. Unwritten letters stay noted, and the next try compares them with the log again. A log
        that does not permit it to this process is asked again after DENIED_WAIT, and nothing is raised: an
        administrator must act, and reading the log again would not help.
        """
        if not self._pending or self._clock() < self._try_again_at:
            return
        try:
            await self._write_pending()
        except LogAccessDenied as error:
            self._try_again_at = self._clock() + DENIED_WAIT
            self._count("not permitted", len(self._pending))
            _logger.warning("dead letters are not permitted; trying again", error=str(error), seconds=DENIED_WAIT)

    async def _write_pending(self) -> None:
        await self._read_known()
        for identity in [identity for identity in self._pending if identity in self._known]:
            self._drop(identity)
            self._count("known")
        while self._pending:
            some = list(self._pending.items())[:BATCH]
            await self._log.append(DEAD_LETTERS, [self._encode(identity, letter) for identity, letter in some])
            for identity, _ in some:
                self._drop(identity)
                self._remember(identity)
                self._count("written")

    def _drop(self, identity: Identity) -> None:
        self._pending_bytes -= _size(self._pending.pop(identity).record)

    async def _read_known(self) -> None:
        def take(record: Record) -> None:
            identity = identity_of_letter(record)
            if identity is not None and identity[0] == self._service:
                self._remember(identity)
            self._read_to = record.offset + 1

        start = {DEAD_LETTERS.name: self._read_to}
        positions = await read_to_end(self._log, [DEAD_LETTERS], take, start, silence=READ_TIMEOUT)
        self._read_to = positions[DEAD_LETTERS.name]

    def _remember(self, identity: Identity) -> None:
        self._known[identity] = None
        if len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)

    def _within_limit(self) -> bool:
        if self._clock() - self._hour_began >= _HOUR:
            self._hour_began = self._clock()
            self._this_hour = 0
        self._this_hour += 1
        return self._this_hour <= HOURLY_LIMIT

    def _identity(self, record: Record) -> Identity:
        return (self._service, record.topic, record.offset, hashlib.sha256(record.value or b"").hexdigest())

    def _encode(self, identity: Identity, letter: Letter) -> NewRecord:
        record = letter.record
        raw, raw_key, key = record.value, record.raw_key, record.key[:MAX_KEY]
        value = {
            "topic": record.topic,
            "offset": record.offset,
            "key": key,
            "raw_key": base64.b64encode(raw_key[:MAX_KEY_BYTES]).decode(),
            "raw": None if raw is None else base64.b64encode(raw[:MAX_RAW_BYTES]).decode(),
            "sha256": identity[3],
            "truncated": len(raw or b"") > MAX_RAW_BYTES or len(raw_key) > MAX_KEY_BYTES or key != record.key,
            "service": self._service,
            "error": letter.error,
            "message": letter.message,
            "at": self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return NewRecord(key, json.dumps(value).encode())

    def _count(self, outcome: str, letters: int = 1) -> None:
        self._metrics.dead_letters.labels(self._service, outcome).inc(letters)


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.raw_key)


def identity_of_letter(record: Record) -> Identity | None:
    """Return the identity of a letter; None if it does not decode, since a letter is never a reason to stop."""
    try:
        data: Any = json.loads(record.value or b"")
        return (str(data["service"]), str(data["topic"]), int(data["offset"]), str(data["sha256"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
