"""What every event log keeps to, whatever it is made of."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime

import pytest

from ledgerlb.core.errors import LogUnavailable, RecordTooLarge
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.heads import encode_head
from ledgerlb.eventlog.heads import forget_heads, highest_heads
from ledgerlb.eventlog.port import EventLog, NewRecord, PositionLost, Reader, Record, latest
from ledgerlb.eventlog.topics import FACTS
from tests.contract.conftest import Harness


def records(*values: str, key: str = "k") -> list[NewRecord]:
    return [NewRecord(key, value.encode()) for value in values]


async def read_to_end(reader: Reader, seconds: float = 20.0) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(seconds):
        while not reader.caught_up:
            found += await reader.poll(1.0)
    return found


async def read_count(reader: Reader, count: int, seconds: float = 20.0) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found += await reader.poll(1.0)
    return found


def values(found: list[Record]) -> list[str]:
    return [(record.value or b"").decode() for record in found]


async def test_records_come_back_in_the_order_of_their_appends(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    first = await log.append(topic, [NewRecord("network/a", b"1"), NewRecord("network/ä", b"2")])
    second = await log.append(topic, [NewRecord("", b"3")])
    async with await log.open([topic]) as reader:
        found = await read_to_end(reader)
    assert [(record.key, record.value) for record in found] == [("network/a", b"1"), ("network/ä", b"2"), ("", b"3")]
    assert [record.offset for record in found] == first + second == [0, 1, 2]
    assert all(record.topic == topic.name for record in found)
    assert all(abs(record.timestamp / 1000 - time.time()) < 60 for record in found)
    assert found[1].raw_key == "network/ä".encode()


async def test_the_highest_head_of_each_network_is_remembered_until_it_is_forgotten(
    harness: Harness, log: EventLog
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def head(network: str, seq: int) -> NewRecord:
        return NewRecord(network, encode_head(network, Head(seq, f"{seq:064x}"), at))

    await log.provision()
    one, two = f"net/{uuid.uuid4()}", f"net/ä-{uuid.uuid4()}"
    await log.remember_heads([head(one, 1), head(two, 7)])
    await log.remember_heads([head(one, 2)])
    await log.remember_heads([head(one, 1)])
    async with harness.connect() as another:
        found = {kept.network: kept.seq for kept in await highest_heads(another)}
    assert (found[one], found[two]) == (2, 7)
    await forget_heads(log, [one])
    assert {kept.network for kept in await highest_heads(log)} & {one, two} == {two}


async def test_headers_come_back_with_their_record(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic(FACTS)
    headers = (("key", b"\x00\xff"), ("signature", b"s" * 64), ("empty", b""))
    await log.append(topic, [NewRecord("k", b"v", headers), NewRecord("k", b"w"), NewRecord("k", None, headers)])
    async with harness.connect() as another, await another.open([topic]) as reader:
        assert [record.headers for record in await read_to_end(reader)] == [headers, (), headers]
    with pytest.raises(RecordTooLarge, match="bytes of headers"):
        await log.append(topic, [NewRecord("k", b"v", (("huge", b"x" * 5000),))])


async def test_an_empty_append_is_nothing(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    assert await log.append(topic, []) == []
    assert await log.end(topic) == 0


async def test_a_tombstone_is_a_record_without_value(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic(FACTS)
    await log.append(topic, [NewRecord("k", b"v"), NewRecord("k", None), NewRecord("k", b"")])
    async with await log.open([topic]) as reader:
        assert [record.value for record in await read_to_end(reader)] == [b"v", None, b""]


async def test_end_is_the_offset_after_the_last_record(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    assert await log.end(topic) == 0
    offsets = await log.append(topic, records("a", "b", "c"))
    assert await log.end(topic) == offsets[-1] + 1


async def test_two_readers_see_the_same(harness: Harness, log: EventLog) -> None:
    topic, other = await harness.topic(), await harness.topic()
    async with await log.open([topic, other]) as one, await log.open([other, topic]) as two:
        for number in range(20):
            await log.append(topic if number % 3 else other, records(str(number)))
        seen_by_one, seen_by_two = await read_count(one, 20), await read_count(two, 20)
    for name in (topic.name, other.name):
        assert [record for record in seen_by_one if record.topic == name] == [
            record for record in seen_by_two if record.topic == name
        ]
    assert sorted(values(seen_by_one)) == sorted(str(number) for number in range(20))


async def test_a_reader_begins_where_it_is_told(harness: Harness, log: EventLog) -> None:
    topic, other = await harness.topic(), await harness.topic()
    offsets = await log.append(topic, records("a", "b", "c"))
    await log.append(other, records("x", "y"))
    async with await log.open([topic, other], {topic.name: offsets[2]}) as reader:
        found = await read_to_end(reader)
        assert sorted(values(found)) == ["c", "x", "y"]
        assert reader.position(topic) == await log.end(topic)
        assert reader.position(other) == await log.end(other)


async def test_a_reader_may_begin_at_the_end(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    await log.append(topic, records("a", "b"))
    async with await log.open([topic], {topic.name: await log.end(topic)}) as reader:
        assert reader.caught_up
        assert await reader.poll(0.1) == []
        await log.append(topic, records("c"))
        assert values(await read_count(reader, 1)) == ["c"]


async def test_a_position_beyond_the_end_is_lost(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    await log.append(topic, records("a", "b"))
    with pytest.raises(PositionLost, match=topic.name):
        await log.open([topic], {topic.name: 7})


async def test_caught_up_means_the_end_at_opening_and_stays_true(harness: Harness, log: EventLog) -> None:
    topic, empty = await harness.topic(), await harness.topic()
    async with await log.open([topic, empty]) as reader:
        assert reader.caught_up
    await log.append(topic, records(*map(str, range(10))))
    async with await log.open([topic, empty]) as reader:
        assert not reader.caught_up
        found = []
        while not reader.caught_up:
            found += await reader.poll(5.0, max_records=4)
        assert values(found)[:10] == [str(number) for number in range(10)]
        await log.append(topic, records("later"))
        assert reader.caught_up


async def test_poll_returns_no_more_than_asked_for(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    await log.append(topic, records(*map(str, range(25))))
    async with await log.open([topic]) as reader:
        seen: list[str] = []
        while len(seen) < 25:
            batch = await reader.poll(5.0, max_records=10)
            assert 0 < len(batch) <= 10
            seen += values(batch)
            assert reader.position(topic) == len(seen)
    assert seen == [str(number) for number in range(25)]


async def test_a_busy_topic_does_not_starve_another(harness: Harness, log: EventLog) -> None:
    """A topic that always has more to give may come first with what it had, but not for ever."""
    busy, quiet = await harness.topic(), await harness.topic()
    await log.append(busy, records(*map(str, range(300))))
    await log.append(quiet, records("here"))
    async with await log.open([busy, quiet]) as reader:
        polls = 0
        async with asyncio.timeout(20):
            while "here" not in values(await reader.poll(1.0, max_records=10)):
                polls += 1
                await log.append(busy, records(*["more"] * 10))
        assert polls < 60


async def test_poll_with_nothing_to_read_returns_after_its_time(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    async with await log.open([topic]) as reader:
        began = time.monotonic()
        assert await reader.poll(0.3) == []
        assert 0.25 < time.monotonic() - began < 2.0
        assert await reader.poll(0) == []


async def test_a_waiting_reader_is_woken_by_an_append(harness: Harness, log: EventLog) -> None:
    topic, other = await harness.topic(), await harness.topic()
    async with harness.connect() as writer, await log.open([other, topic]) as reader:
        await writer.append(topic, records("warm"))
        await read_count(reader, 1)
        delays = []
        for number in range(5):
            waiting = asyncio.create_task(reader.poll(10.0))
            await asyncio.sleep(0.15)
            assert not waiting.done()
            began = time.monotonic()
            await writer.append(topic, records(str(number)))
            assert values(await waiting) == [str(number)]
            delays.append(time.monotonic() - began)
        assert sorted(delays)[2] < 0.25, delays


async def test_concurrent_appenders_lose_nothing_and_keep_the_order_of_each_call(
    harness: Harness, log: EventLog
) -> None:
    topic = await harness.topic()

    async def appender(name: str, connection: EventLog) -> list[int]:
        offsets: list[int] = []
        for number in range(10):
            offsets += await connection.append(topic, records(*(f"{name}.{number}.{part}" for part in range(7))))
        return offsets

    async with harness.connect() as second:
        told = await asyncio.gather(*(appender(f"{i}", log if i % 2 else second) for i in range(6)))
    async with await log.open([topic]) as reader:
        found = await read_to_end(reader)
    assert len(found) == 6 * 10 * 7
    assert sorted(offset for offsets in told for offset in offsets) == [record.offset for record in found]
    by_offset = {record.offset: record.value for record in found}
    for name, offsets in enumerate(told):
        assert [by_offset[offset] for offset in offsets] == [
            f"{name}.{number}.{part}".encode() for number in range(10) for part in range(7)
        ]
    seen = values(found)
    for start in range(0, len(seen), 7):  # no call's records are torn apart
        assert len({value.rsplit(".", 1)[0] for value in seen[start : start + 7]}) == 1


async def test_appends_of_one_connection_keep_the_order_of_the_calls(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    await asyncio.gather(*(log.append(topic, records(str(number))) for number in range(50)))
    async with await log.open([topic]) as reader:
        assert values(await read_to_end(reader)) == [str(number) for number in range(50)]


async def test_latest_is_the_last_record_under_each_key(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic(FACTS)
    assert await latest(log, topic) == {}
    await log.append(
        topic,
        [NewRecord("a", b"1"), NewRecord("b", b"1"), NewRecord("a", b"2"), NewRecord("b", None), NewRecord("c", b"1")],
    )
    found = await latest(log, topic)
    assert {key: record.value for key, record in found.items()} == {"a": b"2", "c": b"1"}


async def test_a_record_of_the_largest_size_passes_and_one_byte_more_does_not(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    largest = random.Random(1).randbytes(topic.max_bytes)  # does not compress
    await log.append(topic, [NewRecord("k", largest)])
    with pytest.raises(RecordTooLarge, match=topic.name):
        await log.append(topic, [NewRecord("small", b"1"), NewRecord("k", largest + b"!")])
    with pytest.raises(RecordTooLarge):
        await log.append(topic, [NewRecord("k" * 20_000, b"1")])
    async with await log.open([topic]) as reader:
        found = await read_to_end(reader)
    assert [record.value for record in found] == [largest]  # nothing of the refused appends


async def test_an_append_of_many_megabytes_arrives_whole(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    sent = [NewRecord(str(number), bytes([number % 251]) * 40_000) for number in range(300)]
    offsets = await log.append(topic, sent)
    assert offsets == list(range(300))
    async with await log.open([topic]) as reader:
        found = await read_to_end(reader)
    assert [(record.key, record.value) for record in found] == [(record.key, record.value) for record in sent]


async def test_a_log_outlives_its_connections(harness: Harness) -> None:
    topic = await harness.topic()
    async with harness.connect() as one:
        await one.append(topic, records("a", "b"))
        async with await one.open([topic]) as reader:
            await read_to_end(reader)
            position = reader.position(topic)
    async with harness.connect() as two:
        await two.append(topic, records("c"))
        async with await two.open([topic], {topic.name: position}) as reader:
            assert values(await read_to_end(reader)) == ["c"]
        async with await two.open([topic]) as reader:
            assert values(await read_to_end(reader)) == ["a", "b", "c"]


async def test_closing_twice_is_harmless_and_what_is_closed_says_so(harness: Harness) -> None:
    topic = await harness.topic()
    log = harness.connect()
    async with log:
        reader = await log.open([topic])
        await reader.close()
        await reader.close()
        with pytest.raises(LogUnavailable):
            await reader.poll(0.1)
        left_open = await log.open([topic])
    await log.__aexit__(None, None, None)
    with pytest.raises(LogUnavailable):
        await left_open.poll(0.1)
    await left_open.close()
    with pytest.raises(LogUnavailable):
        await log.append(topic, records("a"))
    with pytest.raises(LogUnavailable):
        await log.end(topic)
    async with log:  # and may be opened again
        await log.append(topic, records("a"))


async def test_a_cancelled_poll_loses_nothing(harness: Harness, log: EventLog) -> None:
    topic = await harness.topic()
    async with await log.open([topic]) as reader:
        for number in range(5):
            waiting = asyncio.create_task(reader.poll(10.0))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            racing = asyncio.create_task(reader.poll(10.0))
            await log.append(topic, records(str(number)))
            racing.cancel()
            found = await asyncio.gather(racing, return_exceptions=True)
            got = found[0] if isinstance(found[0], list) else await read_count(reader, 1)
            assert values(got) == [str(number)]


async def test_a_reader_passes_a_key_that_is_no_text(durable: Harness) -> None:
    topic = await durable.topic()
    async with durable.connect() as log:
        await log.append(topic, records("before"))
        await durable.write_raw(topic, b"\xff\xfe\x00bad", b"raw")
        await log.append(topic, records("after"))
        async with await log.open([topic]) as reader:
            found = await read_to_end(reader)
    assert values(found) == ["before", "raw", "after"]
    assert found[1].raw_key == b"\xff\xfe\x00bad"
    assert found[1].key == b"\xff\xfe\x00bad".decode("utf-8", "replace")


async def test_a_log_that_is_provisioned_has_nothing_to_complain_about(harness: Harness, log: EventLog) -> None:
    await log.provision(replication=1)
    assert await log.provision(replication=1) == []
    assert await log.check() == []


async def test_topics_do_not_mix(harness: Harness, log: EventLog) -> None:
    one, two = await harness.topic(), await harness.topic()
    await log.append(one, records("1"))
    await log.append(two, records("2"))
    async with await log.open([one]) as reader:
        assert values(await read_to_end(reader)) == ["1"]
    assert await log.end(one) == await log.end(two) == 1
