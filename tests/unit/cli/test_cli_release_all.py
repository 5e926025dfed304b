"""``ledgerlb release-all`` asks first, releases everything, and says what is left and why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from ledgerlb.cli.commands.release_all import reasons_left, until_released
from ledgerlb.cli.pipeline import assembled
from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.core.ledger.events import AddressReleasing
from ledgerlb.core.paths.pathset import Heartbeat, encode_report, report_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.settings import programmer_settings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import LEDGER, REPORTS
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.source import ClusterSource
from ledgerlb.runtime import serve as serving
from ledgerlb.runtime.settings import process_settings
from ledgerlb.watcher.assemble import WatcherPorts
from ledgerlb.watcher.settings import watcher_settings
from tests.builders import objects
from tests.builders.objects import NETWORK, bare_service, namespace, service
from tests.unit.cli.conftest import Invoke

BOUND = 30.0


def test_without_an_answer_nothing_is_released(copied: str, invoke: Invoke) -> None:
    result = invoke("release-all", "--log", copied, "--kubeconfig", "/nonexistent")
    assert result.exit_code == 1
    assert result.stdout == "2 addresses of 3 Services are given up, and traffic to them ends; give --yes to do it\n"


class Cluster:
    """A cluster in memory, the log about it, and pipelines on both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory = MemoryCluster(lambda: datetime.now(UTC))
        self.log = MemoryLog()
        monkeypatch.setattr(serving, "connect", lambda *_, **__: self.log)

    def pipeline(self, settings: DomainSettings):
        return assembled(
            settings,
            watcher_settings(),
            programmer_settings(),
            WatcherPorts(source=ClusterSource(self.memory), writer=MemoryWriter(self.memory)),
        )

    def service(self, name: str):
        found = self.memory.get("Service", "a", name)
        assert found is not None
        return found

    def marks(self, name: str) -> tuple[object, ...]:
        found = self.service(name)
        status = found.get("status", {})
        conditions = [c["type"] for c in status.get("conditions", ()) if c["type"].startswith("ledgerlb.io/")]
        return (found["metadata"].get("finalizers", []), status.get("loadBalancer", {}).get("ingress", []), conditions)

    async def serve(self) -> None:
        """Serve the Services until each has its verdict."""
        pipeline, stop = self.pipeline(DomainSettings()), asyncio.Event()
        running = asyncio.create_task(pipeline.serve(process_settings(log="memory:", http_port=0), stop=stop))
        assert await pipeline.follower.settled(BOUND) == []
        stop.set()
        assert await running == 0

    async def release(self, settings: DomainSettings, within: float = BOUND) -> dict[str, list[str]]:
        """Take LedgerLB off all Services; returns what is left."""
        pipeline, stop = self.pipeline(settings), asyncio.Event()
        running = asyncio.create_task(pipeline.serve(process_settings(log="memory:", http_port=0), stop=stop))
        await until_released(pipeline.follower, within, stop)
        assert await running == 0
        return reasons_left(pipeline.follower.view, datetime.now(UTC))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(monkeypatch)
    cluster.memory.apply(namespace("net", objects.ADMITTED))
    cluster.memory.apply(namespace("a"))
    cluster.memory.apply(objects.nad("net/x", "192.0.2.0/24"))
    for name in ("web", "api"):
        cluster.memory.apply(service(f"a/{name}", {NETWORK: "net/x"}))
    cluster.memory.apply(service("a/waiting", {NETWORK: "net/none"}))
    return cluster


async def test_nothing_of_ledgerlb_is_left_on_any_service(cluster):
    theirs = bare_service("a/theirs", ports=[{"port": 80}], loadBalancerClass="x/y")
    theirs["metadata"]["finalizers"] = [FINALIZER]
    cluster.memory.apply(theirs)
    await cluster.serve()
    assert cluster.marks("web")[0] == [FINALIZER]
    assert await cluster.release(DomainSettings().releasing()) == {}
    for name in ("web", "api", "waiting"):
        assert cluster.marks(name) == ([], [], [])
    assert cluster.marks("theirs")[0] == [FINALIZER], "another controller's finalizer is not ours to remove"
    records: list[Record] = []
    async with cluster.log as log:
        await read_to_end(log, [LEDGER], records.append)
    entries = [decode_entry(record.key, record.value) for record in records]
    events = [event for entry in entries for event in entry.events if isinstance(event, AddressReleasing)]
    assert sorted((event.service, event.why) for event in events) == [("a/api", "ReleaseAll"), ("a/web", "ReleaseAll")]


async def test_what_is_left_says_which_agent_it_waits_for(cluster):
    await cluster.serve()
    now = datetime.now(UTC)
    beat = Heartbeat(agent="far", at=now, started=now, backend="fabric-linux")
    async with cluster.log as log:
        await log.append(REPORTS, [NewRecord(report_key(beat), encode_report(beat))])
    left = await cluster.release(DomainSettings().releasing(), within=3.0)
    assert sorted(left) == ["a/api", "a/web"]
    assert all("waits for agent far to withdraw it" in why for reasons in left.values() for why in reasons)


async def test_services_leave_too_when_the_setting_of_the_class_changes(cluster):
    await cluster.serve()
    assert await cluster.release(DomainSettings(load_balancer_class="x/new")) == {}
    assert cluster.marks("web") == ([], [], [])
