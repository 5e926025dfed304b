"""The logs under test: one harness for each implementation of the port."""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from ledgerlb.eventlog import connect
from ledgerlb.eventlog.embedded import MemoryLog, MemoryStore
from ledgerlb.eventlog.kafka import admin
from ledgerlb.eventlog.kafka.access import loopback
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import LEDGER, Topic
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster


@dataclass
class Harness:
    """Opens connections to one log, and makes topics of its own in it."""

    kind: str
    connect: Callable[[], EventLog]
    bootstrap: str = ""
    path: Path | None = None
    _names: Iterator[int] = field(default_factory=itertools.count)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    async def topic(self, like: Topic = LEDGER) -> Topic:
        made = replace(like, name=f"contract.{self._run}.{next(self._names)}")
        if self.kind == "kafka":
            async with admin.connect(loopback([self.bootstrap])) as client:
                await admin.provision(client, [made], 1)
        return made

    async def write_raw(self, topic: Topic, key: bytes, value: bytes) -> None:
        """Append what no LedgerLB would, as another program could."""
        if self.kind == "kafka":
            async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
                await producer.send_and_wait(topic.name, value, key=key, partition=0)
        elif self.kind == "sqlite":
            assert self.path is not None
            database = sqlite3.connect(self.path)
            with database:
                database.execute(
                    "INSERT INTO record (topic, offset, key, value, timestamp) SELECT ?1, coalesce(max(offset)+1, 0), ?2, ?3, 0 FROM record WHERE topic=?1",
                    (topic.name, key, value),
                )
            database.close()
        else:
            raise AssertionError("a memory log has no outside")


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture(scope="module")
def server() -> Iterator[KubeApiServer]:
    """An API server of the module's own."""
    with KubeApiServer() as started:
        yield started


@pytest.fixture(scope="module")
def cluster(server: KubeApiServer) -> Iterator[Cluster]:
    """A client of it, with the kinds of examples/crds."""
    with Cluster(server.kubeconfig) as found:
        found.install_definitions()
        yield found


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.integration)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return _harness(request.param, request, tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.integration)])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    """Only logs that other programs can reach."""
    return _harness(request.param, request, tmp_path)


@pytest.fixture
def kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return _harness("kafka", request, tmp_path)


@pytest.fixture
async def log(harness: Harness) -> AsyncIterator[EventLog]:
    async with harness.connect() as connected:
        yield connected


def _harness(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    if kind == "memory":
        store = MemoryStore()
        return Harness(kind, lambda: MemoryLog(store))
    if kind == "sqlite":
        path = tmp_path / "log" / "ledger.db"
        return Harness(kind, lambda: connect(f"sqlite://{path}"), path=path)
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")
    return Harness(kind, lambda: connect(f"kafka://{broker.bootstrap}"), bootstrap=broker.bootstrap)
