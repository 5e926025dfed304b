"""One idempotent producer, used until its first error and then abandoned.

An append goes out in batches of at most BATCH_BYTES, one after the other, so that the log holds the beginning of a
failed append and never a part from its middle. (A batch costs one round trip and holds hundreds of records.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.kafka.access import Access
from ledgerlb.eventlog.kafka.stop import finish
from ledgerlb.eventlog.port import MAX_KEY_BYTES, Encoded
from ledgerlb.eventlog.topics import ALL_TOPICS, ENVELOPE_BYTES

BATCH_BYTES: Final = 512 * 1024
REQUEST_TIMEOUT_MS: Final = 4000

_MAX_REQUEST: Final = max(topic.max_bytes for topic in ALL_TOPICS) + MAX_KEY_BYTES + ENVELOPE_BYTES


class Producer:
    """See module. The caller bounds each call in time (DEADLINE) and abandons the producer after any error."""

    DEADLINE: ClassVar[float] = 20.0
    """Seconds for an append, connecting included."""

    def __init__(self, access: Access) -> None:
        self._client = AIOKafkaProducer(
            **access.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            compression_type="lz4",
            max_request_size=_MAX_REQUEST,
            max_batch_size=BATCH_BYTES,
        )
        self._starting = asyncio.Lock()
        self._started = False
        self._abandoned = False

    async def append(self, topic: str, records: Sequence[Encoded]) -> list[int]:
        """Append records in order; returns their offsets. Raises KafkaError, LogUnavailable."""
        await self._start()
        offsets: list[int] = []
        while len(offsets) < len(records):
            batch = self._client.create_batch()
            first = len(offsets)
            count = 0
            for key, value, headers in records[first:]:
                if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                    break
                count += 1
            if count == 0:
                raise LogUnavailable(f"topic {topic}: a record does not fit into a batch; this is a bug")
            batch.close()
            if self._abandoned:
                raise LogUnavailable(f"topic {topic}: another append failed on the same connection")
            delivery = await self._client.send_batch(batch, topic, partition=0)
            base = (await delivery).offset
            if base < 0:
                # The broker knows that it has the batch, but no longer where.
                raise LogUnavailable(f"topic {topic}: appended at an unknown offset")
            offsets.extend(range(base, base + count))
        return offsets

    async def _start(self) -> None:
        async with self._starting:
            if self._abandoned:
                raise LogUnavailable("another append failed on the same connection")
            if not self._started:
                await self._client.start()
                self._started = True

    async def abandon(self) -> None:
        """Stop at once: what was not sent is never sent; every append under way fails. Idempotent."""
        if self._abandoned:
            return
        self._abandoned = True
        # ``stop`` alone would first deliver what is waiting, and retry it for as long as the broker is away.
        sender = self._client._sender  # noqa: SLF001
        self._fail_waiting()
        cancelled = asyncio.ensure_future(sender.close())
        await finish(self._client.client.close())
        await finish(_result(cancelled))
        self._fail_waiting()
        await finish(self._client.stop())

    def _fail_waiting(self) -> None:
        """Fail every batch that the client still holds."""
        accumulator = self._client._message_accumulator  # noqa: SLF001
        batches = {*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())}  # noqa: SLF001
        accumulator.fail_all(KafkaError("the producer was abandoned after an error"))
        # A cancelled append awaits its batch no longer. Unless its error is read, asyncio logs it as lost.
        for batch in batches:
            for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
                if future.done() and not future.cancelled():
                    future.exception()


async def _result(task: asyncio.Future[None]) -> None:
    await task
