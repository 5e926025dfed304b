"""The event log on Kafka: one client of each kind (producer, offsets, admin), and a consumer per reader.

Concurrency: one event loop. Appends to one topic follow each other in the order of the calls; appends to different
topics run side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ledgerlb.core.errors import LogAccessDenied, LogUnavailable, TopicMisconfigured
from ledgerlb.eventlog.acls import findings, missing_grants, wanted_grants
from ledgerlb.eventlog.kafka import acls, admin
from ledgerlb.eventlog.kafka.access import Access
from ledgerlb.eventlog.kafka.denial import as_ours
from ledgerlb.eventlog.kafka.producer import Producer
from ledgerlb.eventlog.kafka.reader import KafkaReader, new_consumer
from ledgerlb.eventlog.kafka.stop import stop_client
from ledgerlb.eventlog.port import NewRecord, Reader, Record, check_start, encode_records, read_to_end
from ledgerlb.eventlog.security import LogSecurity
from ledgerlb.eventlog.topics import ALL_TOPICS, HEADS, Topic

CALL_TIMEOUT: Final = 15.0
"""Seconds for opening a reader, asking for an end, and each step of provisioning and checking."""


class KafkaLog:
    """See module. ``servers`` are ``host:port`` of brokers to begin with. Raises InvalidSetting where ``security``
    does not protect connections to other hosts.
    """

    def __init__(self, servers: Sequence[str], security: LogSecurity | None = None) -> None:
        security = security if security is not None else LogSecurity()
        security.require_safe(servers)
        self._access = Access(tuple(servers), security)
        self._producer: Producer | None = None
        self._appending: dict[str, asyncio.Lock] = {}
        self._offsets: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()
        self._known: set[str] = set()
        """Topics that exist. Asking for a topic that does not exist can make the broker create it with settings that
        lose records, so every call looks here first."""
        self._readers: set[KafkaReader] = set()
        self._closed = True

    # -- the port --------------------

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog. Raises TopicMisconfigured for a topic that does not exist."""
        encoded = encode_records(topic, records)
        if not encoded:
            return []
        lock = self._appending.setdefault(topic.name, asyncio.Lock())
        async with self._bounded("append to " + topic.name, Producer.DEADLINE), lock:
            await self._ensure_known((topic,))
            producer = self._current_producer()
            try:
                return await producer.append(topic.name, encoded)
            except BaseException:
                # Records that this producer still holds must not reach the log behind the next decision.
                if self._producer is producer:
                    self._producer = None
                await producer.abandon()
                raise

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """See EventLog. Raises TopicMisconfigured for a topic that does not exist."""
        wanted = start or {}
        async with self._bounded("opening a reader", CALL_TIMEOUT):
            await self._ensure_known(topics)
            beginnings, ends = await self._ask_offsets(topics)
            positions = {}
            for topic in topics:
                # A compacted topic may have lost its first records; later ones of the same keys replaced them.
                lowest = beginnings[topic.name] if topic.cleanup == "delete" else 0
                position = check_start(topic, wanted.get(topic.name, 0), lowest, ends[topic.name])
                positions[topic.name] = max(position, beginnings[topic.name])
            reader = KafkaReader(self._access, positions, ends, on_close=self._readers.discard)
            await reader.start()
        self._readers.add(reader)
        return reader

    async def end(self, topic: Topic) -> int:
        """See EventLog. Raises TopicMisconfigured for a topic that does not exist."""
        async with self._bounded("the end of " + topic.name, CALL_TIMEOUT):
            await self._ensure_known((topic,))
            _, ends = await self._ask_offsets((topic,))
            return ends[topic.name]

    async def provision(self, *, replication: int = 1) -> list[str]:
        """See EventLog."""
        async with self._bounded("provisioning topics", 2 * CALL_TIMEOUT), admin.connect(self._access) as client:
            return await admin.provision(client, ALL_TOPICS, replication)

    async def check(self) -> list[str]:
        """See EventLog. A denial is one of the lines: a service may lack the right to read settings, and work."""
        try:
            async with self._bounded("checking topics", CALL_TIMEOUT), admin.connect(self._access) as client:
                return await admin.check(client, ALL_TOPICS)
        except LogAccessDenied as error:
            return [str(error)]

    # -- access rules --------------------

    async def grant(self, principals: Mapping[str, Sequence[str]]) -> list[str]:
        """Allow the principals of each role (``eventlog.acls``) what it needs, and return a line for each new rule.
        Rules that are there stay. Raises LogUnavailable.
        """
        wanted = wanted_grants(principals)
        async with self._bounded("granting access", 2 * CALL_TIMEOUT), admin.connect(self._access) as client:
            present = await acls.rules(client)
            lacking = missing_grants(present or (), wanted)
            await acls.add(client, lacking)
        return [f"{one.principal}: may {one.operation} {one.name}" for one in lacking]

    async def check_access(self, principals: Mapping[str, Sequence[str]]) -> list[str] | None:
        """Return a line for each principal that lacks what its service needs, or could do too much; None where the
        brokers have no authorizer, so that everybody may do everything. Raises LogUnavailable.
        """
        async with self._bounded("checking access", CALL_TIMEOUT), admin.connect(self._access) as client:
            present = await acls.rules(client)
        return None if present is None else findings(present, principals)

    async def maintain(self, limit: int = 10_000) -> int:
        """Return 0: the brokers compact and expire topics by themselves."""
        del limit
        return 0

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """See EventLog."""
        await self.append(HEADS, heads)

    async def read_heads(self, take: Callable[[Record], None]) -> None:
        """See EventLog. A missing topic holds no heads: ``check`` reports it."""
        try:
            await read_to_end(self, [HEADS], take)
        except TopicMisconfigured:
            return

    # -- inside --------------------

    def _current_producer(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(self._access)
        return self._producer

    async def _ensure_known(self, topics: Sequence[Topic]) -> None:
        missing = [topic.name for topic in topics if topic.name not in self._known]
        if not missing:
            return
        async with admin.connect(self._access) as client:
            self._known |= await admin.existing(client, missing)
        missing = [name for name in missing if name not in self._known]
        if missing:
            raise TopicMisconfigured(
                f"{', '.join(missing)}: no such topic on {self._access.address}; create it by starting a LedgerLB "
                "process with LEDGERLB_LOG_PROVISION=true"
            )

    async def _ask_offsets(self, topics: Sequence[Topic]) -> tuple[dict[str, int], dict[str, int]]:
        """Return where each topic begins and ends. Uses its own client: a tailing consumer answers behind its long
        poll.
        """
        partitions = [TopicPartition(topic.name, 0) for topic in topics]
        async with self._asking:
            if self._offsets is None:
                consumer = new_consumer(self._access)
                try:
                    await consumer.start()
                except BaseException:
                    await stop_client(consumer)
                    raise
                self._offsets = consumer
            try:
                beginnings = await self._offsets.beginning_offsets(partitions)
                ends = await self._offsets.end_offsets(partitions)
            except BaseException:
                consumer, self._offsets = self._offsets, None
                await stop_client(consumer)
                raise
        return (
            {partition.topic: offset for partition, offset in beginnings.items()},
            {partition.topic: offset for partition, offset in ends.items()},
        )

    @contextlib.asynccontextmanager
    async def _bounded(self, what: str, seconds: float) -> AsyncIterator[None]:
        """Raise every failure of Kafka as LogUnavailable."""
        if self._closed:
            raise LogUnavailable(f"{what}: the log is closed; open it again")
        try:
            with _as_unavailable(what, self._access):
                async with asyncio.timeout(seconds):
                    yield
        except LogUnavailable:
            self._known.clear()  # the cluster may come back without its topics
            raise

    async def __aenter__(self) -> Self:
        try:
            with _as_unavailable("connecting", self._access):
                async with asyncio.timeout(CALL_TIMEOUT), admin.connect(self._access):
                    pass
        except LogUnavailable as error:
            if reason := await self._access.why_not():
                raise LogUnavailable(f"connecting to Kafka: {reason}") from error
            raise
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for reader in tuple(self._readers):
            await reader.close()
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abandon()
        consumer, self._offsets = self._offsets, None
        if consumer is not None:
            await stop_client(consumer)


@contextlib.contextmanager
def _as_unavailable(what: str, access: Access) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise LogUnavailable(f"{what}: Kafka at {access.address} did not answer in time; is it up?") from error
    except (KafkaError, OSError) as error:
        raise as_ours(f"{what}: Kafka at {access.address}", error, "is it up?") from error
