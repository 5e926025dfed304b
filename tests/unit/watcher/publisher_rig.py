"""A publisher between a log in memory and a cluster in memory: tests speak for the selector, IPAM and the agents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ledgerlb.core.cluster.facts import FINALIZER, ServiceFact, decode_fact
from ledgerlb.core.intents.model import (
    AddressIntent,
    Intent,
    NetworkOffer,
    Selection,
    Withdrawal,
    encode_intent,
    intent_key,
)
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import GENESIS, Entry, digest, encode_entry
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.paths.pathset import Heartbeat, Report, encode_report, report_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord, Reader
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.source import ClusterSource
from ledgerlb.kube.writer import Object, Write
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.work import Limits
from tests.builders.objects import bare_service

NET = "contrail/ext"
START = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = Limits(first=0.01, longest=0.05, quiet=0.0, patience=0.0)


class FlakyWriter:
    """A MemoryWriter that notes every write, and may fail first or be held back."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.memory = MemoryWriter(cluster)
        self.asked: list[Write] = []
        self.done: list[Write] = []
        self.errors: list[Exception] = []
        self.before: Callable[[Write], Any] = lambda _write: None
        self.after: Callable[[Write], Any] = lambda _write: None

    async def write(self, write: Write) -> Object | None:
        self.asked.append(write)
        held = self.before(write)
        if held is not None:
            await held
        if self.errors:
            raise self.errors.pop(0)
        self.done.append(write)
        result = await self.memory.write(write)
        held = self.after(write)
        if held is not None:
            await held
        return result

    async def close(self) -> None:
        pass

    def take(self) -> list[str]:
        """What was written since the last call, in short."""
        done, self.done = self.done, []
        return [short(write) for write in done]


def short(write: Write) -> str:
    if write.verb == "patch-status":
        metadata = write.body.get("metadata", {})
        return "publish" if "finalizers" in metadata else "release" if metadata else "status"
    return f"event {write.body['reason']}"


class Rig:
    def __init__(self, settings: DomainSettings | None = None) -> None:
        self.settings = settings or DomainSettings()
        self.now = START
        self.log = MemoryLog(clock=lambda: self.now)
        self.cluster = MemoryCluster(lambda: self.now)
        self.source = ClusterSource(self.cluster)
        self.observer = Observer()
        self.writer = FlakyWriter(self.cluster)
        self.heads: dict[str, tuple[int, str]] = {}
        self.revision = 0
        self.publisher: Publisher
        self.reader: Reader | None = None
        self.restart()

    def restart(self, limits: Limits = QUICK) -> None:
        """A new publisher that knows nothing."""
        self.publisher = Publisher(self.settings, self.writer, lambda: self.now, limits=limits)
        self.reader = None

    # The cluster

    def service(self, name: str = "web", **spec: Any) -> None:
        full = {"ports": [{"port": 80}], "selector": {"a": "b"}} | spec
        self.cluster.apply(bare_service(f"a/{name}", **full))

    def obj(self, name: str = "web") -> dict[str, Any]:
        found = self.cluster.get("Service", "a", name)
        assert found is not None
        return found

    def fact(self, name: str = "web") -> ServiceFact:
        """The Service as the observer sees it."""
        found = fact_of(self.obj(name), "Service")
        assert isinstance(found, ServiceFact)
        return found

    def ingress(self, name: str = "web") -> list[str]:
        entries = self.obj(name).get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        return [entry["ip"] for entry in entries]

    def conditions(self, name: str = "web") -> dict[str, tuple[str, str]]:
        entries = self.obj(name).get("status", {}).get("conditions") or ()
        return {c["type"].removeprefix("ledgerlb.io/"): (c["status"], c["reason"]) for c in entries}

    def has_finalizer(self, name: str = "web") -> bool:
        return FINALIZER in self.obj(name)["metadata"].get("finalizers", ())

    def events(self) -> list[tuple[str, str]]:
        return [(event["involvedObject"]["name"], event["reason"]) for event in self.writer.memory.events]

    # Selector, IPAM, agents

    async def intend(self, *intents: Intent) -> None:
        await self.log.append(INTENTS, [NewRecord(intent_key(i), encode_intent(i)) for i in intents])

    async def select(self, name: str = "web", network: str | None = NET, **more: Any) -> None:
        """The selector's verdict, and the wish that follows from it."""
        self.revision += 1
        uid = self.obj(name)["metadata"]["uid"]
        fields = {"rung": "default-selector"} | more
        await self.intend(
            Selection(service=f"a/{name}", revision=self.revision, uid=uid, network=network, **fields),
            *(
                [AddressIntent(network=network, service=f"a/{name}", revision=self.revision, uid=uid)]
                if network
                else []
            ),
        )

    async def withdraw(self, name: str = "web", network: str = NET) -> None:
        self.revision += 1
        await self.intend(Withdrawal(network=network, service=f"a/{name}", revision=self.revision))

    async def offer(self, network: str = NET, **more: Any) -> None:
        self.revision += 1
        await self.intend(NetworkOffer(network=network, revision=self.revision, **more))

    async def enter(self, *events: ev.Event, network: str = NET) -> None:
        """One ledger entry; the first one of a network defines it."""
        seq, prev = self.heads.get(network, (0, GENESIS))
        if not seq and not any(isinstance(event, ev.NetworkDefined) for event in events):
            events = (ev.NetworkDefined((ev.Prefix(4, "0.0.0.0/0"), ev.Prefix(6, "::/0"))), *events)
        raw = encode_entry(Entry(VERSION, network, seq + 1, prev, self.now, "test", (), events))
        self.heads[network] = (seq + 1, digest(raw))
        await self.log.append(LEDGER, [NewRecord(network, raw)])

    async def allocate(self, address: str, name: str = "web", network: str = NET, *, sharing_key: str = "") -> None:
        uid, family = self.obj(name)["metadata"]["uid"], 6 if ":" in address else 4
        allocated = ev.AddressAllocated(address, family, f"a/{name}", uid, "never-used", sharing_key)  # type: ignore[arg-type]
        await self.enter(allocated, network=network)

    async def refuse(self, reason: str, name: str = "web", network: str = NET) -> None:
        uid = self.obj(name)["metadata"]["uid"]
        await self.enter(ev.AllocationRefused(f"a/{name}", uid, reason, f"says {reason}"), network=network)

    async def releasing(self, address: str, name: str = "web", network: str = NET) -> None:
        await self.enter(ev.AddressReleasing(address, f"a/{name}"), network=network)

    async def released(self, address: str, name: str = "web", network: str = NET) -> None:
        await self.enter(ev.AddressReleased(address, f"a/{name}"), network=network)

    async def report(self, *records: Report | Heartbeat) -> None:
        await self.log.append(REPORTS, [NewRecord(report_key(r), encode_report(r)) for r in records])

    async def agent(self, name: str = "n1") -> None:
        await self.report(Heartbeat(agent=name, at=self.now, started=self.now))

    async def programmed(self, address: str, name: str = "n1") -> None:
        await self.report(Report(address=address, agent=name, state="programmed", path="p", at=self.now))

    # Turning

    async def observe(self) -> None:
        """The cluster into the facts topic."""
        self.source.pump(self.observer.take)
        await self.observer.flush(self.log)

    async def fold(self) -> float | None:
        """Everything in the log into the publisher, which then settles; its writes are not waited for."""
        if self.reader is None:
            self.reader = await self.log.open(list(self.publisher.reads))
        while True:
            records = await self.reader.poll(0.0)
            if not records:
                break
            for record in records:
                self.publisher.take(record)
        return await self.publisher.settle(self.log)

    async def turn(self, rounds: int = 3) -> float | None:
        """Cluster → log → publisher → cluster, until nothing moves any more."""
        wake = None
        for _ in range(rounds):
            await self.observe()
            wake = await self.fold()
            assert await self.publisher.idle(5.0)
        return wake

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def facts_of(self, key: str) -> list[Any]:
        """Every fact that the log has under the key."""
        async with await self.log.open([FACTS]) as reader:
            return [decode_fact(r.key, r.value) for r in await reader.poll(0.0) if r.key == key]


async def ready(rig: Rig, address: str = "192.0.2.1", name: str = "web") -> None:
    """A Service that has its address, published."""
    rig.service(name)
    await rig.turn(1)
    await rig.select(name)
    await rig.allocate(address, name)
    await rig.turn()
    assert rig.ingress(name) == [address]
    rig.writer.take()
