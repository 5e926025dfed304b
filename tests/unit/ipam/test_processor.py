"""The IPAM service on a log in memory: racing replicas, lost acknowledgements, restarts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ledgerlb.core.errors import LogUnavailable, TopicMisconfigured, UndecodableRecord
from ledgerlb.core.intents.model import IntentsSynced, encode_intent, intent_key
from ledgerlb.core.ledger.entry import digest
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.paths.pathset import Heartbeat, Report, encode_report, report_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import INTENTS, LEDGER, REPORTS
from ledgerlb.ipam import processor
from ledgerlb.ipam.processor import Ipam
from tests.support.ledger import NETWORK, START, intent_of, offer, withdrawal_of


class Replica:
    """One IPAM with its reader; ``turn`` is one round of the service loop."""

    def __init__(self, log, name, clock):
        self.log, self.ipam = log, Ipam(DomainSettings(), clock, name)
        self.reader = None

    async def read(self):
        if self.reader is None:
            self.reader = await self.log.open(self.ipam.reads)
        records = await self.reader.poll(0.0)
        for record in records:
            self.ipam.take(record)
        return records

    async def turn(self):
        return await self.read(), await self.ipam.settle(self.log)


class World:
    def __init__(self):
        self.now = START
        self.log = MemoryLog(clock=lambda: self.now)
        self.clock = lambda: self.now

    def replica(self, name="ipam-0"):
        return Replica(self.log, name, self.clock)

    async def say(self, *intents):
        await self.log.append(INTENTS, [NewRecord(intent_key(i), encode_intent(i)) for i in intents])

    async def report(self, *records):
        await self.log.append(REPORTS, [NewRecord(report_key(r), encode_report(r)) for r in records])

    async def run(self, *replicas, turns=30):
        for _ in range(turns):
            before = await self.log.end(LEDGER)
            idle = [not await replica.read() for replica in replicas]
            for replica in replicas:  # all decide on what all have read: the race
                await replica.ipam.settle(self.log)
            if all(idle) and await self.log.end(LEDGER) == before:
                return
        raise AssertionError("never came to rest")

    async def fold(self):
        fold = LedgerFold()
        async with await self.log.open([LEDGER]) as reader:
            for record in await reader.poll(0.0, 100_000):
                fold.take(record.key, record.value)
        return fold


@pytest.fixture
async def world():
    world = World()
    async with world.log:
        yield world


async def test_decides_nothing_before_everything_known_was_said(world):
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), intent_of("a"))
    await world.run(ipam)
    assert await world.log.end(LEDGER) == 0
    await world.say(IntentsSynced())
    await world.run(ipam)
    assert [h.address for h in (await world.fold()).holdings_of("default/a")] == ["10.0.0.2"]


async def test_two_replicas_on_one_log_allocate_each_address_once(world):
    one, two = world.replica("one"), world.replica("two")
    await world.say(offer("10.0.0.0/16"), IntentsSynced(), *(intent_of(f"s{n}") for n in range(300)))
    await world.run(one, two)
    fold = await world.fold()
    held = [h.address for h in fold.holdings()]
    assert len(held) == len(set(held)) == 300
    assert fold.rejected > 0, "the race never happened"
    assert one.ipam.fold.network(NETWORK).head == two.ipam.fold.network(NETWORK).head


async def test_a_decision_that_fits_no_record_holds_up_its_own_network_only(world, monkeypatch, caplog):
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), *(intent_of(f"s{n}") for n in range(40)))
    await world.run(ipam)
    monkeypatch.setattr(processor, "LEDGER", replace(LEDGER, max_bytes=1500))
    elsewhere = (
        one.model_copy(update={"network": "n/other"}) for one in (offer("10.9.0.0/24"), intent_of("elsewhere"))
    )
    await world.say(offer("10.0.0.0/29", revision=2), intent_of("late"), *elsewhere)
    await world.run(ipam)
    assert caplog.text.count("a decision does not fit into a record") == 1
    assert f"network={NETWORK}" in caplog.text
    fold = await world.fold()
    assert [h.address for h in fold.holdings_of("default/elsewhere")] == ["10.9.0.2"]
    assert fold.holdings_of("default/late") == ()
    monkeypatch.undo()
    await world.say(offer("10.0.0.0/24", revision=3))  # the edit is taken back
    await world.run(ipam)
    assert [h.address for h in (await world.fold()).holdings_of("default/late")] == ["10.0.0.42"]


async def test_wishes_that_would_not_fit_one_entry_together_come_in_several(world):
    ipam = world.replica()
    ports = tuple(("UDP", port) for port in range(10_000, 10_600))  # an RTP range each
    await world.say(
        offer("10.0.0.0/24"),
        IntentsSynced(),
        *(intent_of(f"s{n:03}").model_copy(update={"ports": ports}) for n in range(200)),
    )
    await world.run(ipam)
    fold = await world.fold()
    assert len({holding.address for holding in fold.holdings()}) == 200
    sizes = [len(record.value) for record in world.log.store.topics[LEDGER.name]]
    assert max(sizes) <= 512 * 1024
    assert len(sizes) < 20


async def test_a_decision_that_the_log_refused_for_whatever_reason_is_made_again(world):
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    append = world.log.append

    async def refuse(_topic, _records):
        world.log.append = append
        raise TopicMisconfigured("the topic is missing for a moment")

    world.log.append = refuse
    with pytest.raises(TopicMisconfigured):
        await ipam.turn()
    await world.run(ipam)
    assert [h.address for h in (await world.fold()).holdings_of("default/a")] == ["10.0.0.2"]


async def test_restart_and_redelivery_write_nothing_new(world):
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"), intent_of("b"))
    await world.run(world.replica())
    end = await world.log.end(LEDGER)
    await world.say(intent_of("a"), intent_of("b"), offer("10.0.0.0/24"))
    await world.run(world.replica("again"))
    assert await world.log.end(LEDGER) == end


async def test_lost_acknowledgement_of_an_entry_that_was_written_allocates_once(world):
    replica = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    append = world.log.append

    async def lose(topic, records):
        await append(topic, records)
        world.log.append = append
        raise LogUnavailable("no answer in time")

    world.log.append = lose
    with pytest.raises(LogUnavailable):
        await world.run(replica)
    await world.run(replica)
    fold = await world.fold()
    assert [h.address for h in fold.holdings()] == ["10.0.0.2"]


async def test_append_that_never_arrived_is_decided_again(world):
    replica = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    append = world.log.append

    async def fail(topic, records):
        world.log.append = append
        raise LogUnavailable("broker gone")

    world.log.append = fail
    with pytest.raises(LogUnavailable):
        await world.run(replica)
    await world.run(replica)
    assert len(list((await world.fold()).holdings())) == 1


async def test_freed_address_goes_to_the_one_who_waits_longest(world):
    replica = world.replica()
    await world.say(offer("10.0.0.0/30"), IntentsSynced(), intent_of("a", created="1"))
    await world.run(replica)
    await world.say(intent_of("late", created="3"), intent_of("early", created="2"))
    await world.run(replica)
    await world.say(withdrawal_of("a"))
    await world.run(replica)
    fold = await world.fold()
    assert [h.service for h in fold.holdings()] == ["default/early"]
    assert [r.reason for r in fold.refusals_of("default/late")] == ["NetworkFull"]


async def releasing(world):
    """A replica that waits for agent ``n1`` to withdraw the address of ``default/a``; and the holding."""
    replica = world.replica()
    await world.report(Heartbeat(agent="n1", at=START, started=START))
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    await world.run(replica)
    await world.say(withdrawal_of("a"))
    await world.run(replica)
    (holding,) = (await world.fold()).holdings_of("default/a")
    return replica, holding


async def test_release_waits_for_the_report_and_wakes_up_when_a_silent_agent_is_dead(world):
    replica, holding = await releasing(world)
    assert holding.state == "releasing"
    _, wake_up = await replica.turn()
    assert wake_up == pytest.approx(300.001)
    world.now += timedelta(seconds=wake_up)
    await world.run(replica)
    assert (await world.fold()).holdings_of("default/a") == ()


async def test_confirmed_release_completes_and_quarantine_ends_by_itself(world):
    replica, holding = await releasing(world)
    await world.report(
        Report(address="10.0.0.2", agent="n1", state="withdrawn", path="x", release=holding.release, at=START)
    )
    await world.run(replica)
    state = (await world.fold()).network(NETWORK)
    assert state.records["10.0.0.2"].status == "quarantined"
    _, wake_up = await replica.turn()
    assert wake_up == pytest.approx(300)
    world.now += timedelta(seconds=300)
    await world.run(replica)
    assert (await world.fold()).network(NETWORK).records["10.0.0.2"].status == "leased"


async def test_lost_intents_topic_releases_nothing(world):
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    await world.run(world.replica())
    world.log.store.topics[INTENTS.name].clear()
    await world.say(offer("10.0.0.0/24"), IntentsSynced())
    await world.run(world.replica("new"))
    assert [h.state for h in (await world.fold()).holdings_of("default/a")] == ["held"]


@pytest.mark.parametrize("topic", [INTENTS, LEDGER, REPORTS])
async def test_undecodable_record_is_told_with_its_key_and_changes_nothing(world, topic):
    replica = world.replica()
    await world.log.append(topic, [NewRecord("x/y|z", b"{broken")])
    with pytest.raises(UndecodableRecord, match=r"x/y\|z"):
        await replica.turn()


_PREFIX = {"family": 4, "prefix": "10.0.0.0/24"}


@pytest.mark.parametrize(
    ("topic", "key", "changes"),
    [
        (INTENTS, f"{NETWORK}|", {"quarantine": 1e300}),
        (INTENTS, f"{NETWORK}|", {"lease": -1}),
        (INTENTS, f"{NETWORK}|", {"prefixes": [{"family": 4, "prefix": "everything"}]}),
        (INTENTS, f"{NETWORK}|", {"prefixes": [{"family": 6, "prefix": "10.0.0.0/24"}]}),
        (INTENTS, f"{NETWORK}|", {"prefixes": [{**_PREFIX, "ranges": [["10.0.0.1", "10.0.0"]]}]}),
        (INTENTS, f"{NETWORK}|", {"prefixes": [{**_PREFIX, "excluded": [["a", "b"]]}]}),
        (INTENTS, f"{NETWORK}|", {"prefixes": [{**_PREFIX, "gateway": "gateway"}]}),
        (INTENTS, f"{NETWORK}|default/a", {"requested": ["any"]}),
        (INTENTS, f"{NETWORK}|default/a", {"adopt": ["2001:DB8::1"]}),
        (INTENTS, f"{NETWORK}|default/a", {"revision": 2**64}),
        (REPORTS, "heartbeat/x", {"at": "9999-12-31T23:59:59Z"}),
        (REPORTS, "heartbeat/x", {"at": "2026-01-01T00:00:00"}),
    ],
)
async def test_a_record_that_decodes_but_cannot_be_reckoned_with_is_refused_and_stops_nothing(
    world, topic, key, changes
):
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"), intent_of("b"))
    await world.report(Heartbeat(agent="x", at=START, started=START))
    await world.run(ipam)
    [last] = [record for record in world.log.store.topics[topic.name] if record.key == key]
    absurd = json.dumps({**json.loads(last.value), **changes}).encode()
    await world.log.append(topic, [NewRecord(key, absurd)])
    with pytest.raises(UndecodableRecord):
        await ipam.turn()
    await world.say(intent_of("c"), withdrawal_of("b", revision=2))
    await world.run(ipam)
    fold = await world.fold()
    assert [h.address for h in fold.holdings_of("default/c")] == ["10.0.0.4"]
    assert [h.state for h in fold.holdings_of("default/b")] == ["releasing"]


async def test_an_entry_whose_time_has_no_zone_is_damage(world):
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced())
    await world.run(ipam)
    [record] = world.log.store.topics[LEDGER.name]
    entry = json.loads(record.value)
    naive = {**entry, "seq": 2, "prev": digest(record.value), "decided_at": entry["decided_at"].rstrip("Z")}
    await world.log.append(LEDGER, [NewRecord(NETWORK, json.dumps(naive).encode())])
    with pytest.raises(UndecodableRecord, match="decided_at"):
        await ipam.turn()
    await world.say(intent_of("a"))
    await world.run(ipam)
    assert ipam.ipam.fold.holdings_of("default/a") == ()
