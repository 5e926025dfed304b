"""The private parts of aiokafka that the producer uses: an upgrade that changes them must fail here, not in production.

Read ``kafka/producer.py`` (``Producer.abandon``) and ``kafka/access.py`` (``create_conn``) before changing the version.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from importlib.metadata import version

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender

from ledgerlb.eventlog.kafka.access import Access
from ledgerlb.eventlog.kafka.producer import Producer
from ledgerlb.eventlog.security import LogSecurity


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("aiokafka").startswith("0.14."), "read the private parts named in this module again"


async def test_a_producer_has_a_sender_and_an_accumulator() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    assert isinstance(producer._sender, Sender)
    assert isinstance(producer._message_accumulator, MessageAccumulator)
    assert inspect.iscoroutinefunction(producer.client.close)
    await producer._sender.close()  # harmless before it was started


async def test_a_closed_sender_has_no_task() -> None:
    sender = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")._sender
    sender._sender_task = task = asyncio.create_task(asyncio.sleep(60))
    closing = asyncio.create_task(sender.close())
    await asyncio.wait({closing}, timeout=5)
    assert task.cancelled()
    assert closing.done()


async def test_failing_all_ends_every_waiting_delivery() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    accumulator = producer._message_accumulator
    batch = accumulator.create_builder()
    batch.append(key=b"k", value=b"v", timestamp=None)
    partition = TopicPartition("topic", 0)
    producer.client.cluster._partitions = {"topic": {0: None}}
    delivery = await accumulator.add_batch(batch, partition, 5)
    accumulator.fail_all(KafkaError("thrown away"))
    with pytest.raises(KafkaError, match="thrown away"):
        await asyncio.wait_for(delivery, 5)


async def test_failing_what_waits_leaves_no_error_that_asyncio_logs_as_lost() -> None:
    lost: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    producer = Producer(Access(("127.0.0.1:1",), LogSecurity()))
    client = producer._client
    accumulator = client._message_accumulator
    batch = accumulator.create_builder()
    batch.append(key=b"k", value=b"v", timestamp=None)
    client.client.cluster._partitions = {"topic": {0: None}}
    delivery = await accumulator.add_batch(batch, TopicPartition("topic", 0), 5)
    delivery.cancel()
    await asyncio.sleep(0)
    producer._fail_waiting()
    accumulator._batches.clear()  # a sender drops what failed; nothing must keep the futures alive
    del batch, delivery
    await asyncio.sleep(0)
    gc.collect()
    assert lost == []


def test_one_connection_can_be_made_with_the_arguments_of_a_client() -> None:
    wanted = {"ssl_context", "security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}
    assert wanted <= set(inspect.signature(create_conn).parameters)
    assert wanted <= set(inspect.signature(AIOKafkaProducer.__init__).parameters)
