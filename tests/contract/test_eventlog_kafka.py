"""What only Kafka can do to us: brokers that go away and come back, settings that others change, records that expire."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_topic import NewTopic

from ledgerlb.core.errors import EventLogError, LogUnavailable, TopicMisconfigured
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.kafka import admin
from ledgerlb.eventlog.kafka.access import loopback
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import EventLog, NewRecord, PositionLost, Reader
from ledgerlb.eventlog.topics import ALL_TOPICS, FACTS, LEDGER, Topic
from tests.contract.conftest import Harness
from tests.contract.test_eventlog import read_count, read_to_end, records, values
from tests.support.containers import KafkaBroker

pytestmark = pytest.mark.integration


@contextmanager
def stopped(broker: KafkaBroker, *, kill: bool = False) -> Iterator[None]:
    (broker.kill_broker if kill else broker.stop_broker)()
    try:
        yield
    finally:
        broker.start_broker()


async def until_unavailable(reader: Reader, seconds: float) -> float:
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            try:
                await reader.poll(0.5)
            except LogUnavailable:
                return time.monotonic() - began


async def append_until_it_works(log: EventLog, topic: Topic, value: str, seconds: float = 40.0) -> int:
    """Append again and again, as a caller that decides again; returns how often it failed first."""
    failures = 0
    async with asyncio.timeout(seconds):
        while True:
            try:
                await log.append(topic, records(value))
            except LogUnavailable:
                failures += 1
                await asyncio.sleep(0.2)
            else:
                return failures


async def set_config(kafka: Harness, topic: str, **settings: str) -> None:
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        config = {key.replace("_", "."): value for key, value in settings.items()}
        for response in await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)]):
            assert [entry[0] for entry in response.resources] == [0]


async def test_a_missing_topic_is_told_and_not_made_by_asking(kafka: Harness) -> None:
    missing = Topic("contract.never-made", "", "delete", (), "")
    async with kafka.connect() as log:
        for call in (log.append(missing, records("a")), log.end(missing), log.open([missing])):
            with pytest.raises(TopicMisconfigured, match=r"contract\.never-made.*LEDGERLB_LOG_PROVISION"):
                await call
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        assert missing.name not in await client.list_topics()
        assert (await admin.check(client, [missing]))[0].startswith("contract.never-made: the topic is missing")


async def test_settings_that_lose_records_are_reported_and_mended(kafka: Harness) -> None:
    async with kafka.connect() as log:
        await log.provision()
        await set_config(kafka, LEDGER.name, cleanup_policy="compact", retention_ms="1000", segment_ms="60000")
        await set_config(kafka, FACTS.name, min_compaction_lag_ms="0", unclean_leader_election_enable="true")
        problems = await log.check()
        for topic, setting, found, wanted in (
            (LEDGER, "cleanup.policy", "compact", "delete"),
            (LEDGER, "retention.ms", "1000", "-1"),
            (FACTS, "cleanup.policy", "delete", "compact"),
            (FACTS, "min.compaction.lag.ms", "0", str(14 * 24 * 3600 * 1000)),
            (FACTS, "unclean.leader.election.enable", "true", "false"),
        ):
            assert any(line.startswith(f"{topic.name}: {setting} is {found}, wanted {wanted};") for line in problems), (
                problems
            )
        assert not [line for line in problems if not line.startswith((LEDGER.name, FACTS.name))]
        changed = await log.provision()
        assert f"{LEDGER.name}: retention.ms set to -1 (was 1000)" in changed
        assert await log.check() == []
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, LEDGER.name, {"segment.ms": ""})
        [response] = await client.describe_configs([resource])
        assert response.resources[0][4][0][1] == "60000"  # somebody else's setting survived


async def test_a_topic_with_several_partitions_is_reported(kafka: Harness) -> None:
    wrong = Topic("contract.three-partitions", "", "delete", (), "")
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        await client.create_topics([NewTopic(wrong.name, 3, 1, topic_configs=admin.wanted_settings(wrong, 1))])
        problems: list[str] = []
        async with asyncio.timeout(10):
            while not problems or "missing" in problems[0]:
                problems = await admin.check(client, [wrong])
    assert len(problems) == 1
    assert problems[0].startswith("contract.three-partitions: has 3 partitions, wanted 1;")


@pytest.mark.parametrize("kill", [False, True], ids=["shut down", "killed"])
async def test_reader_and_appender_recover_when_the_broker_was_away(
    kafka: Harness, kafka_broker: KafkaBroker, kill: bool
) -> None:
    topic, quiet = await kafka.topic(), await kafka.topic()
    async with kafka.connect() as log, await log.open([topic, quiet]) as reader:
        await log.append(topic, records("before"))
        assert values(await read_count(reader, 1)) == ["before"]
        with stopped(kafka_broker, kill=kill):
            assert await until_unavailable(reader, 15.0) < 8.0
            began = time.monotonic()
            with pytest.raises(LogUnavailable):
                await log.append(topic, records("lost?"))
            assert time.monotonic() - began < 25.0
            with pytest.raises(LogUnavailable):
                await log.end(topic)
        await append_until_it_works(log, topic, "after")
        seen: list[str] = []
        async with asyncio.timeout(40):
            while "after" not in seen:
                try:
                    seen += values(await reader.poll(1.0))
                except LogUnavailable:
                    await asyncio.sleep(0.1)
        async with await log.open([topic]) as again:
            everything = values(await read_to_end(again))
    assert everything == ["before", *seen]
    assert seen in (["after"], ["lost?", "after"])


async def test_a_frozen_broker_ends_an_append_in_time_and_nothing_of_it_comes_later_than_what_follows(
    kafka: Harness, kafka_broker: KafkaBroker
) -> None:
    topic = await kafka.topic()
    async with kafka.connect() as log:
        await log.append(topic, records("before"))
        kafka_broker.pause_broker()
        try:
            began = time.monotonic()
            results = await asyncio.gather(
                *(log.append(topic, records(f"frozen {number}")) for number in range(3)), return_exceptions=True
            )
            took = time.monotonic() - began
        finally:
            kafka_broker.resume_broker()
        assert all(isinstance(result, EventLogError) for result in results), results
        assert took < 26.0
        await append_until_it_works(log, topic, "after")
        await asyncio.sleep(1.0)  # time in which a producer that lives on would append
        async with await log.open([topic]) as reader:
            found = values(await read_to_end(reader))
    assert found[0] == "before"
    assert found[-1] == "after"
    assert len(found) == len(set(found))


async def test_one_failed_append_does_not_stop_the_next(kafka: Harness) -> None:
    topic, narrow = await kafka.topic(), await kafka.topic()
    await set_config(kafka, narrow.name, max_message_bytes="1000")
    noise = random.Random(1).randbytes(20_000)  # does not compress
    async with kafka.connect() as log:
        for number in range(3):
            with pytest.raises(LogUnavailable):
                await log.append(narrow, [NewRecord("k", noise)])
            assert await log.append(topic, records(str(number))) == [number]


async def test_a_position_before_the_first_record_is_lost_and_the_beginning_is_where_the_log_begins(
    kafka: Harness,
) -> None:
    topic = await kafka.topic()
    async with kafka.connect() as log:
        await log.append(topic, records(*map(str, range(10))))
        async with admin.connect(loopback([kafka.bootstrap])) as client:
            await client.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=6)})
        with pytest.raises(PositionLost):
            await log.open([topic], {topic.name: 3})
        async with await log.open([topic]) as reader:
            assert [record.offset for record in await read_to_end(reader)] == [6, 7, 8, 9]
        async with await log.open([topic], {topic.name: 6}) as reader:
            assert len(await read_to_end(reader)) == 4


async def test_a_reader_whose_position_is_removed_says_so(kafka: Harness) -> None:
    topic, trigger = await kafka.topic(), await kafka.topic()
    async with kafka.connect() as log:
        noise = random.Random(1)  # does not compress: more than the reader fetches ahead
        await log.append(topic, [NewRecord("k", noise.randbytes(300_000)) for _ in range(60)])
        async with await log.open([topic, trigger]) as reader:
            await reader.poll(5.0, max_records=1)  # what is not fetched yet goes away under the reader
            async with admin.connect(loopback([kafka.bootstrap])) as client:
                await client.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=59)})
            with pytest.raises(PositionLost):
                await read_to_end(reader)


async def test_a_cluster_that_cannot_be_reached_is_told_with_its_address() -> None:
    log = connect("kafka://127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
        await log.__aenter__()
    assert time.monotonic() - began < 16.0
    await log.__aexit__(None, None, None)


async def test_a_ledger_that_was_deleted_beside_facts_is_refused(kafka: Harness) -> None:
    async with kafka.connect() as log:
        await log.provision()
        await log.append(LEDGER, records("entry"))
        await require_ledger(log)
        await log.append(FACTS, records("fact"))
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        await client.delete_topics([LEDGER.name])
        async with asyncio.timeout(20):
            while LEDGER.name in await client.list_topics():
                await asyncio.sleep(0.05)
    async with kafka.connect() as log:
        with pytest.raises(TopicMisconfigured, match=f"{LEDGER.name}: the topic is missing, but .*{FACTS.name}"):
            await require_ledger(log)
        await log.provision()


async def test_every_declared_topic_has_one_partition_after_provisioning(kafka: Harness) -> None:
    async with kafka.connect() as log:
        await log.provision()
    async with admin.connect(loopback([kafka.bootstrap])) as client:
        found = {entry["topic"]: len(entry["partitions"]) for entry in await client.describe_topics()}
    assert {topic.name: found.get(topic.name) for topic in ALL_TOPICS} == {topic.name: 1 for topic in ALL_TOPICS}
