"""Records that lie: bytes from a topic end no process and no command.

Every decoder returns a value or raises BadInput, whatever bytes it gets, and every part of a running cluster goes on
after a record that it cannot use.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from ledgerlb.core.cluster.facts import Condition
from ledgerlb.core.errors import BadInput, UndecodableRecord
from ledgerlb.eventlog.port import NewRecord, Record
from ledgerlb.eventlog.topics import DEAD_LETTERS, FACTS, INTENTS, LEDGER, PATHS, REPORTS, Topic
from ledgerlb.simulator.engine import Engine
from ledgerlb.watcher.announcements import announcements
from tests.attacks.mutate import HUGE, every_strange_value
from tests.attacks.samples import LETTER, records
from tests.attacks.targets import DECODERS
from tests.builders.objects import backends, service
from tests.support.simulate import apply, base, simulation_of

HEARTBEAT: Final = {"kind": "heartbeat", "agent": "n9", "at": "2026-01-01T00:00:00Z", "started": "2026-01-01T00:00:00Z"}
OFFER: Final = {"type": "network", "network": "net/ext", "revision": 2**40}
WANT: Final = {"type": "want", "network": "net/ext", "service": "a/s", "revision": 2**40}
REPORT: Final = {
    "kind": "report", "address": "192.168.102.2", "agent": "n1", "state": "programmed", "path": "x",
    "at": "2026-01-01T00:00:00Z",
}  # fmt: skip
PATH_SET: Final = {"address": "192.168.102.2", "family": 4, "network": "net/ext"}

LIES: Final[tuple[tuple[Topic, str, dict[str, Any]], ...]] = (
    (REPORTS, "heartbeat/n9", {**HEARTBEAT, "at": "0001-01-01T00:00:00+14:00"}),
    (REPORTS, "heartbeat/n9", {**HEARTBEAT, "started": "9999-12-31T23:59:59-14:00"}),
    (REPORTS, "heartbeat/n9", {**HEARTBEAT, "at": HUGE}),
    (REPORTS, "heartbeat/n9", {**HEARTBEAT, "at": float("nan")}),
    (REPORTS, "heartbeat/n9", {**HEARTBEAT, "agent": "n8"}),
    (REPORTS, "192.168.102.2/n1", {**REPORT, "seconds": float("inf")}),
    (REPORTS, "192.168.102.2/n1", {**REPORT, "weights": {"n1": HUGE}}),
    (REPORTS, "192.168.102.2/n1", {**REPORT, "allocations": None}),
    (REPORTS, "192.168.102.2/n1", {**REPORT, "address": "192.168.102.3"}),
    (INTENTS, "net/ext|", {**OFFER, "allowed_namespaces": "team in ("}),
    (INTENTS, "net/ext|", {**OFFER, "revision": HUGE}),
    (INTENTS, "net/ext|", {**OFFER, "quota_per_namespace": -1}),
    (INTENTS, "net/ext|", {**OFFER, "quarantine": float("nan")}),
    (INTENTS, "net/ext|", {**OFFER, "prefixes": None}),
    (INTENTS, "net/ext|", {**OFFER, "prefixes": [{"family": 4, "prefix": "boom"}]}),
    (INTENTS, "net/ext|a/s", {**WANT, "facts": [{"topic": "t", "offset": HUGE}]}),
    (INTENTS, "net/ext|a/s", {**WANT, "ports": [["TCP", HUGE]]}),
    (INTENTS, "net/ext|a/s", {**WANT, "ports": [["TCP", 65536]]}),
    (INTENTS, "net/ext|a/s", {**WANT, "requested": ["boom"]}),
    (INTENTS, "net/ext|a/s", {**WANT, "adopt": None}),
    (PATHS, "192.168.102.2", {**PATH_SET, "next_hops": [{"node": "n1", "weight": HUGE}]}),
    (PATHS, "boom", {**PATH_SET, "address": "boom"}),
    (PATHS, "192.168.102.2", {**PATH_SET, "family": 6}),
    (FACTS, "Service/a/s", {"kind": "Service", "namespace": "a", "name": "s", "ports": [{"port": HUGE}]}),
    (FACTS, "Service/a/s", {"kind": "Service", "namespace": "a", "name": "s", "ingress": None}),
    (FACTS, "Node//n1", {"kind": "Node", "name": "n1", "addresses": None}),
    (FACTS, "Withheld//deletions", {"kind": "Withheld", "gone": HUGE, "held": 1}),
)  # fmt: skip


def _named(lie: tuple[Topic, str, dict[str, Any]]) -> str:
    return f"{lie[1]}-{json.dumps(lie[2])[-40:]}"


@pytest.mark.parametrize(("topic", "key", "value"), LIES, ids=map(_named, LIES))
def test_a_decoder_refuses_what_nobody_can_reckon_with(topic: Topic, key: str, value: dict[str, Any]) -> None:
    with pytest.raises(UndecodableRecord, match="again"):
        DECODERS[topic.name](key, json.dumps(value).encode())


@pytest.mark.parametrize("value", [{**LETTER, "offset": float("inf")}, [], None, {**LETTER, "offset": None}, LETTER])
def test_a_dead_letter_is_never_a_reason_to_stop(value: Any) -> None:
    DECODERS[DEAD_LETTERS.name]("k", json.dumps(value).encode())


@pytest.mark.parametrize("topic", DECODERS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "NaN", "null", '"\\ud800"', "\ufeff{}"]
)
def test_no_json_text_is_too_strange(topic: str, text: str) -> None:
    _decode(topic, "a|b", text.encode())


def _decode(topic: str, key: str, value: bytes) -> None:
    with suppress(BadInput):
        DECODERS[topic](key, value)


# Mutations of records that a real pipeline wrote; seeded ones are in ``targets``


@pytest.fixture(scope="module")
def written() -> list[Record]:
    """One record of each kind of key that a scenario wrote, and a letter."""
    return list({(record.topic, record.key.partition("/")[0]): record for record in records() if record.value}.values())


def value_mutants(record: Record) -> Iterator[bytes]:
    data = json.loads(record.value or b"")
    if "revision" in data:
        data["revision"] = 2**40  # newer than the record, or nobody would look at the rest
    for mutant in every_strange_value(data):
        yield json.dumps(mutant).encode()


def test_every_changed_value_decodes_or_is_bad_input(written: list[Record]) -> None:
    assert {record.topic for record in written} == set(DECODERS)
    for record in written:
        for raw in value_mutants(record):
            _decode(record.topic, record.key, raw)


# A running cluster


async def _append(engine: Engine, topic: Topic, key: str, raw: bytes) -> None:
    await engine._log.append(topic, [NewRecord(key, raw)])
    await engine.pump()


async def _goes_on(records: list[tuple[Topic, str, bytes]]) -> list[str]:
    """Run a cluster, append the records one by one, and return the problems that its parts reported.

    A part that raises anything but BadInput ends the simulation. After all of them, every part serves a new Service, in
    the processes that read the records as they came and in new ones that read them at their start.
    """
    steps = [
        apply(*base(service("a/s"), backends("a/s", n1=["10.1.1.1"]))),
        apply(service("a/late"), backends("a/late", n1=["10.1.1.2"])),
        {"restart": ["watcher", "selector", "ipam", "programmer"]},
        apply(service("a/later"), backends("a/later", n1=["10.1.1.3"])),
    ]
    simulation = simulation_of(steps)
    problems = simulation.engine.problems
    seen = []
    async for step in simulation.run():
        seen.append(step)
        if len(seen) == 1:
            for topic, key, raw in records:
                await _append(simulation.engine, topic, key, raw)
    for name in ("a/late", "a/later"):
        assert seen[-1]["services"][name]["state"] == "Ready", name
        assert seen[-1]["services"][name]["path_set"], name
    return problems


async def test_a_running_cluster_goes_on_after_each_lie() -> None:
    lies = [(topic, key, json.dumps(value).encode()) for topic, key, value in LIES]
    problems = await _goes_on(lies)
    assert len(problems) >= len(LIES) - 8, "parts report what they cannot use"


@pytest.mark.parametrize("seed", range(4))
async def test_no_mutant_that_decodes_ends_a_part(
    written: list[Record], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    topics = {topic.name: topic for topic in (FACTS, INTENTS, PATHS, REPORTS)}
    mutants = [(topics[r.topic], r.key, raw) for r in written if r.topic in topics for raw in value_mutants(r)]
    simulation = simulation_of([apply(*base(service("a/s"), backends("a/s", n1=["10.1.1.1"])))])
    async for _ in simulation.run():
        for topic, key, raw in chance.sample(mutants, 60):
            await _append(simulation.engine, topic, key, raw)
        await simulation.engine.restart(["watcher", "selector", "ipam", "programmer"])
    assert "this is a bug" not in caplog.text
    assert not simulation.engine.view.ledger.damage, "IPAM appends no entry that does not decode"


async def test_the_planner_goes_on_where_a_damaged_network_has_a_path_set_that_lies() -> None:
    steps = [apply(*base(service("a/s"), backends("a/s", n1=["10.1.1.1"])))]
    simulation = simulation_of(steps)
    async for step in simulation.run():
        (address,) = step["services"]["a/s"]["addresses"]
        await _append(simulation.engine, LEDGER, "net/ext", b"{")
        await _append(simulation.engine, PATHS, address, b'{"next_hops":null}')
    assert simulation.engine.records(PATHS)[-1].value == b'{"next_hops":null}', "nothing is decided on damage"


def test_conditions_of_another_version_lead_to_no_event() -> None:
    assert announcements((), [Condition(type="ledgerlb.io/Later", status="True", reason="Later")]) == ()


async def test_a_dead_agent_with_a_heartbeat_of_next_year_holds_up_no_release() -> None:
    gone = {"delete": [{"kind": "Service", "namespace": "a", "name": "s"}]}
    simulation = simulation_of([apply(*base(service("a/s"))), gone, {"advance": "10m"}])
    lie = {**HEARTBEAT, "at": "2027-01-01T00:00:00Z"}
    holdings = []
    async for _ in simulation.run():
        if not holdings:
            await _append(simulation.engine, REPORTS, "heartbeat/n9", json.dumps(lie).encode())
        holdings.append([holding.state for holding in simulation.engine.view.ledger.holdings()])
    assert holdings == [["held"], ["releasing"], []]
