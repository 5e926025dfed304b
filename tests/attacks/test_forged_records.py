"""Whoever may write to the log's topics can forge records. With keys, nobody acts on what they did not sign."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.errors import ForeignRecord, InvalidSetting
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import DamageKind
from ledgerlb.core.ledger.entry import Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.heads import encode_head
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.paths.pathset import Heartbeat, Report, encode_report, report_key
from ledgerlb.eventlog.embedded import MemoryLog, SqliteLog
from ledgerlb.eventlog.embedded.heads import heads_path
from ledgerlb.eventlog.keys import SigningKey, TrustedKeys, make_key, write_private
from ledgerlb.eventlog.port import EventLog, NewRecord, Record, read_to_end
from ledgerlb.eventlog.signing import SigningLog
from ledgerlb.eventlog.topics import LEDGER, PATHS, REPORTS, Topic
from ledgerlb.runtime.projection import Projection
from tests.support.embedded import NETWORKS, IpamProcess, offers, wishes
from tests.support.keys import keys_in
from tests.unit.cli.conftest import Invoke, invoke

__all__ = ["invoke"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def write(path: Path, **settings: str) -> None:
    async with IpamProcess(path, **settings) as process:
        await process.say([*offers(), *wishes("a")])


async def late(path: Path, **settings: str) -> IpamProcess:
    async with IpamProcess(path, **settings) as process:
        await process.say(wishes("late"))
    return process


async def records(log: EventLog, topic: Topic) -> list[Record]:
    found: list[Record] = []
    await read_to_end(log, [topic], found.append)
    return found


async def forge(path: Path, network: str, key: SigningKey | None = None) -> None:
    """Append an entry that extends the chain and gives an address to the attacker."""
    async with SqliteLog(path) as log:
        last = [record for record in await records(log, LEDGER) if record.key == network][-1]
        before = decode_entry(network, last.value)
        event = ev.AddressAllocated(f"10.{NETWORKS.index(network)}.0.99", 4, "evil/one", "u", "never-used")
        prev = digest(last.value or b"")
        raw = encode_entry(Entry(VERSION, network, before.seq + 1, prev, before.decided_at, "ipam", (), (event,)))
        signing: EventLog = log if key is None else SigningLog(log, key)
        await signing.append(LEDGER, [NewRecord(network, raw)])


def verified(path: Path, call: Invoke, folder: Path) -> tuple[int, dict[str, Any]]:
    result = call("verify", "--log", f"sqlite://{path}", "--keys", str(folder / "trusted"), "-o", "json")
    return result.exit_code, json.loads(result.stdout)


def test_a_signed_ledger_is_proven_to_its_head(tmp_path: Path, invoke: Invoke) -> None:
    path, settings = tmp_path / "l.db", keys_in(tmp_path)
    asyncio.run(write(path, **settings))
    process = asyncio.run(late(path, **settings))
    assert [len(process.held(network)) for network in NETWORKS] == [2, 2, 2]
    status, report = verified(path, invoke, tmp_path)
    assert (status, report["findings"], report["remembered"]) == (0, [], 3)
    assert {head["network"]: head["proven"] for head in report["heads"]} == {
        network: process.ipam.fold.network(network).seq for network in NETWORKS
    }
    shown = invoke("verify", "--log", f"sqlite://{path}", "--keys", str(tmp_path / "trusted")).stdout
    assert "SIGNED" in shown


@pytest.mark.parametrize("kind", [DamageKind.UNSIGNED, DamageKind.FORGED])
def test_a_forged_allocation_stops_its_network_and_gives_nothing_away(
    tmp_path: Path, invoke: Invoke, kind: DamageKind
) -> None:
    path, settings = tmp_path / "l.db", keys_in(tmp_path)
    asyncio.run(write(path, **settings))
    foreign = None
    if kind is DamageKind.FORGED:
        write_private(tmp_path / "foreign", make_key(("ledger",))[0])
        foreign = SigningKey(tmp_path / "foreign")
    asyncio.run(forge(path, "net/two", foreign))
    process = asyncio.run(late(path, **settings))
    assert {name: found.kind for name, found in process.ipam.fold.damage.items()} == {"net/two": kind}
    assert process.held("net/two") == ["default/two-a"]
    assert len(process.held("net/one")) == 2
    status, report = verified(path, invoke, tmp_path)
    assert status == 1
    assert [(found["rule"], found["network"]) for found in report["findings"]] == [(kind, "net/two")]


def test_an_entry_signed_for_another_network_does_not_count(tmp_path: Path) -> None:
    path, settings = tmp_path / "l.db", keys_in(tmp_path)
    asyncio.run(write(path, **settings))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE record SET headers=(SELECT headers FROM record WHERE topic=?1 AND key=?2 ORDER BY offset DESC LIMIT 1)"
            " WHERE topic=?1 AND key=?3",
            (LEDGER.name, b"net/one", b"net/two"),
        )
        database.execute("DELETE FROM head")
    heads_path(path).unlink()
    process = asyncio.run(late(path, **settings))
    assert {name: found.kind for name, found in process.ipam.fold.damage.items()} == {"net/two": DamageKind.FORGED}


def test_a_rewritten_ledger_with_heads_to_match_is_found_by_its_missing_signatures(
    tmp_path: Path, invoke: Invoke
) -> None:
    path, settings = tmp_path / "l.db", keys_in(tmp_path)
    asyncio.run(write(path, **settings))

    async def rewrite() -> None:
        async with SqliteLog(path) as log:
            last = [record for record in await records(log, LEDGER) if record.key == "net/two"][-1]
            forged = (last.value or b"").replace(b"uid-default/two-a", b"uid-default/two-x")
            head = Head(decode_entry("net/two", forged).seq, digest(forged))
            await log.remember_heads([NewRecord("net/two", None)])
            await log.remember_heads([NewRecord("net/two", encode_head("net/two", head, NOW))])
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE record SET value=? WHERE topic=? AND offset=?", (forged, LEDGER.name, last.offset))

    asyncio.run(rewrite())
    assert invoke("verify", "--log", f"sqlite://{path}").exit_code == 0, "without keys, the heads match"
    status, report = verified(path, invoke, tmp_path)
    assert status == 1
    assert {found["rule"] for found in report["findings"]} == {"HeadUnreadable", "Forged"}
    process = asyncio.run(late(path, **settings))
    assert {name: found.kind for name, found in process.ipam.fold.damage.items()} == {"net/two": DamageKind.FORGED}


def test_entries_up_to_a_signed_head_are_not_verified_one_by_one(tmp_path: Path, monkeypatch: Any) -> None:
    path, settings = tmp_path / "l.db", keys_in(tmp_path)
    asyncio.run(write(path, **settings))
    asked: list[str] = []
    objection = TrustedKeys.objection

    def count(self: TrustedKeys, topic: str, *more: Any) -> Any:
        asked.append(topic)
        return objection(self, topic, *more)

    async def start_and_stop() -> None:
        async with IpamProcess(path, **settings) as process:
            await process.say([])
            while not process.ipam.intents.synced:
                await asyncio.sleep(0.01)
            assert process.ipam.fold.accepted == len(NETWORKS)

    monkeypatch.setattr(TrustedKeys, "objection", count)
    asyncio.run(start_and_stop())
    assert LEDGER.name not in asked


def test_signing_begins_on_a_ledger_without_signatures(tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "l.db"
    url, key, trusted = f"sqlite://{path}", str(tmp_path / "key"), str(tmp_path / "trusted")
    asyncio.run(write(path))
    assert invoke("keys", "init", "--key", key, "--trusted", trusted).exit_code == 0
    settings = {"signing_key_file": key, "trusted_keys_file": trusted}
    stopped = asyncio.run(late(path, **settings))
    assert {found.kind for found in stopped.ipam.fold.damage.values()} == {DamageKind.UNSIGNED}
    asyncio.run(late(path, signing_key_file=key))  # every process signs before any demands it
    shown = invoke("keys", "since", "--trusted", trusted, "--log", url)
    assert "net/one: entries must be signed from 2 on" in shown.stdout
    process = asyncio.run(late(path, **settings))
    assert not process.ipam.fold.damage
    status, report = verified(path, invoke, tmp_path)
    assert (status, report["findings"]) == (0, [])


def test_the_past_of_a_ledger_that_is_signed_since_is_pinned_by_its_hash(tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "l.db"
    asyncio.run(write(path))
    settings = keys_in(tmp_path)
    invoke("keys", "since", "--trusted", str(tmp_path / "trusted"), "--log", f"sqlite://{path}")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE record SET value=CAST(replace(value, 'uid-default/two-a', 'uid-default/two-x') AS BLOB) WHERE key=?",
            (b"net/two",),
        )
        database.execute("DELETE FROM head")
    heads_path(path).unlink()
    process = asyncio.run(late(path, **settings))
    assert {name: found.kind for name, found in process.ipam.fold.damage.items()} == {
        "net/two": DamageKind.HEAD_MISMATCH
    }


async def test_a_process_that_nobody_would_believe_does_not_start(tmp_path: Path) -> None:
    settings = keys_in(tmp_path)
    with pytest.raises(InvalidSetting, match=r"LEDGERLB_SIGNING_KEY_FILE.*is not set"):
        await IpamProcess(tmp_path / "l.db", trusted_keys_file=settings["trusted_keys_file"]).run()
    other = tmp_path / "other"
    other.mkdir()
    mine = keys_in(other, signs=("reports",))
    with pytest.raises(InvalidSetting, match="does not trust for"):
        await IpamProcess(tmp_path / "l.db", **mine).run()


@pytest.mark.parametrize("topic", [PATHS, REPORTS])
@pytest.mark.parametrize("forger", ["nobody", "a stranger", "an agent's key for path sets"])
async def test_an_unsigned_path_set_or_report_is_bad_input(tmp_path: Path, topic: Topic, forger: str) -> None:
    keys_in(tmp_path, signs=("reports",))
    projection = Projection(lambda: NOW)
    projection.trust(TrustedKeys(tmp_path / "trusted"))
    log: EventLog = MemoryLog()
    if forger == "a stranger":
        write_private(tmp_path / "foreign", make_key(("paths", "reports"))[0])
        log = SigningLog(log, SigningKey(tmp_path / "foreign"))
    elif forger != "nobody":
        if topic is REPORTS:
            return
        log = SigningLog(log, SigningKey(tmp_path / "key"))
    beat = Heartbeat(agent="n1", at=NOW, started=NOW)
    report = Report(address="10.0.0.1", agent="n1", state="withdrawn", path="p", at=NOW)
    new = [NewRecord(report_key(one), encode_report(one)) for one in (beat, report)]
    await log.append(topic, [*new, NewRecord("10.0.0.1", None)])
    for record in await records(log, topic):
        with pytest.raises(ForeignRecord, match="nobody acts on it"):
            projection.report(record) if topic is REPORTS else projection.path_set(record)
    assert not projection.agents.agents()


async def test_a_signed_report_counts(tmp_path: Path) -> None:
    keys_in(tmp_path)
    projection = Projection(lambda: NOW)
    projection.trust(TrustedKeys(tmp_path / "trusted"))
    log = SigningLog(MemoryLog(), SigningKey(tmp_path / "key"))
    beat = Heartbeat(agent="n1", at=NOW, started=NOW)
    await log.append(REPORTS, [NewRecord(report_key(beat), encode_report(beat))])
    for record in await records(log, REPORTS):
        projection.report(record)
    assert [agent.agent for agent in projection.agents.agents()] == ["n1"]
