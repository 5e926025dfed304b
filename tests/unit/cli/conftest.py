"""A log in a file, made by the simulator: a fixed history in virtual time, without waiting for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ledgerlb.cli.main import app
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS
from ledgerlb.simulator.engine import Engine
from tests.builders.objects import ADDRESSES, NETWORK, backends, nad, node, service
from tests.support.environment import remove_settings
from tests.support.simulate import apply, base, delete, run_simulation, simulation_of

Invoke = Callable[..., Result]

STEPS = [
    apply(
        *base(
            node("n2", "10.10.0.2"),
            nad("net/two", "198.51.100.0/24"),
            service("a/web"),
            service("a/api", {ADDRESSES: "192.0.2.50"}),
            service("a/lost", {NETWORK: "net/none"}),
            service("a/inside", type="ClusterIP"),
            backends("a/web", n1=["10.1.0.1"], n2=["10.2.0.1", "10.2.0.2"]),
        )
    ),
    {"advance": "1h"},
    delete("Service", "a/web"),
    {"advance": "10m"},
    apply(service("a/other", {ADDRESSES: "192.0.2.2"})),
    {"advance": "10m"},
]
"""a/web holds 192.0.2.2 from 00:00 to 01:00, a/other from 01:10 on."""


def write_log(engine: Engine, path: Path) -> str:
    """Copy the engine's log into a SQLite file; returns its URL."""
    url = f"sqlite://{path}"

    async def copy() -> None:
        async with connect(url) as log:
            await log.provision()
            for topic in (FACTS, INTENTS, LEDGER, PATHS, REPORTS):
                records = [NewRecord(record.key, record.value) for record in engine.records(topic)]
                if records:
                    await log.append(topic, records)

    asyncio.run(copy())
    return url


def append(url: str, records: Sequence[NewRecord]) -> None:
    """Append raw records to the ledger topic of a log."""

    async def write() -> None:
        async with connect(url) as log:
            await log.append(LEDGER, records)

    asyncio.run(write())


@dataclass(frozen=True)
class Past:
    """A finished simulation and its log as a file."""

    engine: Engine
    url: str


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    simulation = simulation_of(STEPS)
    run_simulation(simulation)
    return Past(simulation.engine, write_log(simulation.engine, tmp_path_factory.mktemp("log") / "ledger.db"))


@pytest.fixture
def copied(past: Past, tmp_path: Path) -> str:
    """A log of its own with the same records, to be tampered with."""
    return write_log(past.engine, tmp_path / "copy.db")


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command line in this process; the environment says nothing."""
    remove_settings(monkeypatch)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    return call
