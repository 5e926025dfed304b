"""A tailing reader on Kafka: a consumer without a group, with every topic's only partition assigned by hand.

The consumer fetches in the background. When brokers go away it retries silently, so the reader watches the time of its
last fetch: ``poll`` raises LogUnavailable when the brokers have not answered a fetch of some topic for SILENCE seconds,
and goes on by itself when they answer again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.kafka.access import Access
from ledgerlb.eventlog.kafka.denial import as_ours
from ledgerlb.eventlog.kafka.stop import stop_client
from ledgerlb.eventlog.port import PositionLost, Record
from ledgerlb.eventlog.reader import BaseReader

SILENCE: Final = 4.0
"""Seconds without an answer to a fetch after which ``poll`` raises."""
FETCH_WAIT_MS: Final = 500
"""How long a broker holds a fetch that has nothing to say; new records are answered at once. With five processes on one
broker a fifth of that cost a tenth of a core while nothing happened at all."""
UNTAKEN_MS: Final = 1000
"""For how long nothing more is fetched while records of some topic wait to be taken. Past that the other topics are
fetched without it, and what comes on it meanwhile waits until that fetch is answered: so it is longer than any rest
between two polls."""
START_TIMEOUT: Final = 15.0
"""Seconds for connecting again with new credentials."""
PARTITION_FETCH_BYTES: Final = 4 * 1024 * 1024
REQUEST_TIMEOUT_MS: Final = 4000


def new_consumer(access: Access) -> AIOKafkaConsumer:
    """A consumer as every reader and every question about offsets uses it; not started."""
    return AIOKafkaConsumer(
        **access.options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        consumer_timeout_ms=UNTAKEN_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


class KafkaReader(BaseReader):
    """See module. ``positions`` and ``ends`` are offsets by topic name."""

    def __init__(
        self,
        access: Access,
        positions: Mapping[str, int],
        ends: Mapping[str, int],
        on_close: Callable[[KafkaReader], None],
    ) -> None:
        super().__init__(positions, ends)
        self._access = access
        self._files = access.state_of_files()
        self._partitions = [TopicPartition(name, 0) for name in positions]
        self._on_close = on_close
        self._consumer: AIOKafkaConsumer | None = None
        self._fetched_at: dict[TopicPartition, int | None] = {}
        self._answered: dict[TopicPartition, float] = {}
        self._polled_at = 0.0

    async def start(self) -> None:
        """Connect; raises KafkaError."""
        self._files = self._access.state_of_files()
        consumer = new_consumer(self._access)
        try:
            await consumer.start()
            consumer.assign(self._partitions)
            for partition in self._partitions:
                consumer.seek(partition, self._positions[partition.topic])
        except BaseException:
            await stop_client(consumer)
            raise
        self._consumer = consumer
        self._resume()

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109 - the port's
        """See Reader."""
        if self._closed:
            raise LogUnavailable("the reader is closed; open a new one")
        consumer = self._consumer or await self._start_again()
        began = time.monotonic()
        if began - self._polled_at > SILENCE / 2:
            self._resume()  # the caller did not poll: the silence since then proves nothing
        try:
            found = await self._get(consumer, timeout, max_records)
        except OffsetOutOfRangeError as error:
            raise PositionLost(
                f"topics {', '.join(self._positions)}: the log no longer holds the position of the reader ({error}); "
                "read it from the beginning"
            ) from error
        except KafkaError as error:
            raise as_ours(f"reading {', '.join(self._positions)}", error) from error
        await self._advance(consumer)
        self._polled_at = time.monotonic()
        if not found:
            await self._require_answers(consumer)
            return []
        return [_record(message) for messages in found.values() for message in messages]

    async def _get(self, consumer: AIOKafkaConsumer, seconds: float, max_records: int) -> dict[TopicPartition, Any]:
        # The consumer may return early and empty-handed: wait for the rest of the time.
        deadline = time.monotonic() + seconds
        while True:
            remaining = max(0.0, deadline - time.monotonic())
            found: dict[TopicPartition, Any] = await consumer.getmany(
                timeout_ms=int(remaining * 1000), max_records=max_records
            )
            if found or remaining <= 0 or self._closed:
                return found
            await asyncio.sleep(0.001)

    async def _advance(self, consumer: AIOKafkaConsumer) -> None:
        # Asked of the consumer, not counted from records: it also steps over offsets that compaction has emptied.
        for partition in self._partitions:
            self._advance_to(partition.topic, await consumer.position(partition))

    def _resume(self) -> None:
        now = time.monotonic()
        self._polled_at = now
        self._answered = dict.fromkeys(self._partitions, now)

    async def _start_again(self) -> AIOKafkaConsumer:
        """Connect with the new certificates or password."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self.start()
        except (KafkaError, OSError, TimeoutError) as error:
            reason = await self._access.why_not() or str(error) or type(error).__name__
            raise LogUnavailable(f"reading {', '.join(self._positions)}: {reason}") from error
        assert self._consumer is not None
        return self._consumer

    async def _require_answers(self, consumer: AIOKafkaConsumer) -> None:
        now = time.monotonic()
        for partition in self._partitions:
            fetched_at = consumer.last_poll_timestamp(partition)
            if fetched_at != self._fetched_at.get(partition):
                self._fetched_at[partition] = fetched_at
                self._answered[partition] = now
            silence = now - self._answered[partition]
            if silence > SILENCE:
                if self._files != self._access.state_of_files():
                    # The consumer goes on with the credentials that it was made with.
                    self._consumer = None
                    await stop_client(consumer)
                raise LogUnavailable(
                    f"topic {partition.topic}: no answer from {self._access.address} for {silence:.0f} s; is it up?"
                )

    async def close(self) -> None:
        """See Reader."""
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        if self._consumer is not None:
            await stop_client(self._consumer)


def _record(message: Any) -> Record:
    key = message.key or b""
    headers = tuple((name, value or b"") for name, value in message.headers)
    return Record(
        message.topic, message.offset, key.decode("utf-8", "replace"), message.value, message.timestamp, key, headers
    )
