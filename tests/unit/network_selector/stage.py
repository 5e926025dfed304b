"""The selector, and the real IPAM beside it, on a log in memory: what the other parts would write, the tests write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledgerlb.core.cluster.facts import KINDS, Synced, encode_fact, fact_key, key_of
from ledgerlb.core.intents.model import Dropped, decode_intent
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.paths.pathset import Heartbeat, Report, encode_report, report_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS
from ledgerlb.ipam.processor import Ipam
from ledgerlb.network_selector.processor import NetworkSelector
from tests.unit.selection.world import flat

START = datetime(2026, 2, 1, tzinfo=UTC)


class Part:
    """One processor with its reader."""

    def __init__(self, log, processor):
        self.log, self.processor, self.reader = log, processor, None

    async def read(self):
        if self.reader is None:
            self.reader = await self.log.open(self.processor.reads)
        records = await self.reader.poll(0.0)
        for record in records:
            self.processor.take(record)
        return bool(records)

    async def turn(self):
        read = await self.read()
        return read, await self.processor.settle(self.log)


class Stage:
    def __init__(self, settings=None, *, ipam=True):
        self.now = START
        self.settings = settings or DomainSettings()
        self.log = MemoryLog(clock=lambda: self.now)
        self.selector = self.new_selector()
        self.ipam = Part(self.log, Ipam(self.settings, lambda: self.now, "ipam-0")) if ipam else None

    def new_selector(self):
        return Part(self.log, NetworkSelector(self.settings, lambda: self.now))

    async def put(self, *facts):
        await self.log.append(FACTS, [NewRecord(key_of(fact), encode_fact(fact)) for fact in flat(facts)])

    async def drop(self, kind, name):
        namespace, _, bare = name.rpartition("/")
        await self.log.append(FACTS, [NewRecord(fact_key(kind, namespace, bare), None)])

    async def sync(self, *kinds):
        await self.put(*(Synced(of=kind) for kind in kinds or KINDS))

    async def run(self, *parts, turns=60):
        """Until nobody reads or writes anything more."""
        parts = parts or tuple(part for part in (self.selector, self.ipam) if part is not None)
        for _ in range(turns):
            before = await self.sizes()
            for part in parts:
                while True:
                    read, delay = await part.turn()
                    if not read and delay != 0.0:
                        break
            if before == await self.sizes():
                return self
        raise AssertionError(f"not at rest after {turns} turns")

    async def sizes(self):
        return [await self.log.end(topic) for topic in (FACTS, INTENTS, LEDGER, REPORTS)]

    async def start(self, *facts):
        await self.put(*facts)
        await self.sync()
        return await self.run()

    async def advance(self, seconds):
        self.now += timedelta(seconds=seconds)
        await self.run()

    async def report(self, *records):
        await self.log.append(REPORTS, [NewRecord(report_key(r), encode_report(r)) for r in records])

    async def beat(self, agent, *, stopped=False):
        await self.report(Heartbeat(agent=agent, at=self.now, started=START, stopped=stopped))

    async def programmed(self, agent, address):
        await self.report(Report(address=address, agent=agent, state="programmed", path="p", at=self.now))

    async def records(self, topic=INTENTS):
        reader = await self.log.open([topic])
        found = []
        while batch := await reader.poll(0.0):
            found += batch
        return found

    async def intents(self):
        """The last record under each key, without those that were dropped."""
        last = {record.key: decode_intent(record.key, record.value) for record in await self.records()}
        return {key: intent for key, intent in last.items() if not isinstance(intent, Dropped)}

    async def last_intent(self, key):
        return (await self.intents()).get(key)

    async def ledger(self):
        fold = LedgerFold()
        for record in await self.records(LEDGER):
            fold.take(record.key, record.value)
        return fold

    async def held(self, service):
        return {h.network: h.address for h in (await self.ledger()).holdings_of(service) if h.state == "held"}
