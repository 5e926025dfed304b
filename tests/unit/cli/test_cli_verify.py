"""``verify`` tells a race that was lost from an entry that was forged, and finds every broken promise."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.audit import Audit, AuditReport
from ledgerlb.core.ledger.entry import GENESIS, Cause, Entry, digest, encode_entry
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER
from tests.unit.cli.conftest import Invoke, Past, append

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = ev.NetworkDefined(prefixes=(ev.Prefix(4, "192.0.2.0/24"),))


def given(address: str, service: str, **more: Any) -> ev.AddressAllocated:
    return ev.AddressAllocated(address, 4, service, f"uid-{service}", more.pop("choice", "never-used"), **more)


class Chain:
    """Entries of one network, chained; ``minutes`` is when each is decided."""

    def __init__(self, network: str = "net/ext") -> None:
        self.network = network
        self.seq = 0
        self.head = GENESIS
        self.raw: list[bytes] = []

    def entry(self, *events: ev.Event, minutes: float = 0, seq: int | None = None, prev: str | None = None) -> bytes:
        return encode_entry(
            Entry(
                v=VERSION,
                network=self.network,
                seq=self.seq + 1 if seq is None else seq,
                prev=self.head if prev is None else prev,
                decided_at=NOW + timedelta(minutes=minutes),
                decider="test",
                cause=(Cause(intent="want"),),
                events=events,
            )
        )

    def add(self, *events: ev.Event, minutes: float = 0) -> Chain:
        raw = self.entry(*events, minutes=minutes)
        self.raw.append(raw)
        self.seq += 1
        self.head = digest(raw)
        return self

    def report(self) -> AuditReport:
        audit = Audit()
        for raw in self.raw:
            audit.take(self.network, raw)
        return audit.report()


def rules(report: AuditReport) -> list[str]:
    return [finding.rule for finding in report.findings]


class TestCommand:
    def test_a_sound_ledger(self, past: Past, invoke: Invoke) -> None:
        result = invoke("verify", "--log", past.url, "-o", "json")
        report = json.loads(result.stdout)
        assert result.exit_code == 0
        assert (report["clean"], report["rejected"], report["problems"]) == (True, 0, 0)
        assert report["accepted"] == len(past.engine.records(LEDGER))
        assert {head["network"] for head in report["heads"]} == {"net/ext", "net/two"}

    def test_a_lost_race_is_counted_and_harmless(self, copied: str, past: Past, invoke: Invoke) -> None:
        record = past.engine.records(LEDGER)[-1]
        append(copied, [NewRecord(record.key, record.value)])
        report = json.loads(invoke("verify", "--log", copied, "-o", "json").stdout)
        assert (report["clean"], report["rejected"]) == (True, 1)

    def test_garbage_is_named_and_fails_the_audit(self, copied: str, invoke: Invoke) -> None:
        append(copied, [NewRecord("net/ext", b"\xff\x00"), NewRecord("net/ext", None)])
        result = invoke("verify", "--log", copied)
        assert result.exit_code == 1
        assert "2 undecodable" in result.stdout
        assert "Undecodable  net/ext" in result.stdout
        assert "Empty  net/ext" in result.stdout

    def test_a_changed_entry_is_found(self, past: Past, tmp_path: Any, invoke: Invoke) -> None:
        records = [NewRecord(record.key, record.value) for record in past.engine.records(LEDGER)]
        index = next(i for i, record in enumerate(records) if b"a/web" in (record.value or b""))
        forged = (records[index].value or b"").replace(b"a/web", b"a/bad")
        url = f"sqlite://{tmp_path}/forged.db"
        append(url, [*records[:index], NewRecord(records[index].key, forged), *records[index + 1 :]])
        result = invoke("verify", "--log", url)
        assert result.exit_code == 1
        assert "ChainBroken" in result.stdout

    def test_an_entry_changed_with_sql_is_found(self, copied: str, invoke: Invoke) -> None:
        with closing(sqlite3.connect(copied.removeprefix("sqlite://"))) as database, database:
            # replace() makes text of the bytes, which are judged as they stand then.
            database.execute("UPDATE record SET value=replace(value, 'a/web', 'a/bad') WHERE topic=?", (LEDGER.name,))
        result = invoke("verify", "--log", copied)
        assert result.exit_code == 1
        assert "ChainBroken" in result.stdout

    def test_an_entry_taken_away_is_found(self, past: Past, tmp_path: Any, invoke: Invoke) -> None:
        records = [NewRecord(record.key, record.value) for record in past.engine.records(LEDGER)]
        first = next(record for record in records if record.key == "net/ext")
        url = f"sqlite://{tmp_path}/short.db"
        append(url, [record for record in records if record is not first])
        result = invoke("verify", "--log", url)
        assert result.exit_code == 1
        assert "does not follow entry 0: entry 1 is missing" in result.stdout


class TestChain:
    def test_the_loser_of_a_race_is_harmless_and_an_entry_that_builds_on_it_is_not(self) -> None:
        chain = Chain().add(PLAN)
        winner = chain.entry(given("192.0.2.2", "a/b"))
        loser = chain.entry(given("192.0.2.2", "a/c"))
        follower = chain.entry(given("192.0.2.3", "a/d"), seq=3, prev=digest(loser))
        chain.raw += [winner, loser]
        report = chain.report()
        assert (report.clean, report.accepted, report.rejected) == (True, 2, 1)
        chain.raw += [follower]  # no writer of ours builds on an entry before it has read it back
        assert rules(chain.report()) == ["ChainBroken"]

    def test_an_entry_that_builds_on_nothing_is_not(self) -> None:
        chain = Chain().add(PLAN)
        chain.raw.append(chain.entry(given("192.0.2.2", "a/b"), prev="f" * 64))
        assert rules(chain.report()) == ["ChainBroken"]

    def test_findings_are_bounded_and_problems_counted(self) -> None:
        chain = Chain().add(PLAN)
        chain.raw += [b"{}"] * 1500
        report = chain.report()
        assert report.problems == 1500
        assert len(report.findings) == 1000


class TestPromises:
    def test_a_whole_life_keeps_every_promise(self) -> None:
        chain = (
            Chain()
            .add(PLAN)
            .add(given("192.0.2.2", "a/b"))
            .add(ev.AddressReleasing("192.0.2.2", "a/b"))
            .add(ev.ReleaseCancelled("192.0.2.2", "a/b", "uid-2"))
            .add(ev.HoldingChanged("192.0.2.2", "a/b", "uid-3", sharing_key="k", ports=(("TCP", 80),)))
            .add(given("192.0.2.2", "a/c", sharing_key="k", ports=(("TCP", 81),), choice="shared"))
            .add(ev.HolderLeft("192.0.2.2", "a/b"))
            .add(ev.AddressReleasing("192.0.2.2", "a/c"))
            .add(ev.AddressReleased("192.0.2.2", "a/c", NOW + timedelta(minutes=5)), minutes=0)
            .add(ev.QuarantineEnded("192.0.2.2"), minutes=5)
            .add(given("192.0.2.2", "a/d"), minutes=6)
        )
        report = chain.report()
        assert report.findings == ()
        assert report.heads[0].hash == chain.head

    @pytest.mark.parametrize(
        ("second", "clean"),
        [
            (given("192.0.2.2", "a/c", sharing_key="k", ports=(("UDP", 80),)), True),
            (given("192.0.2.2", "a/c", sharing_key="k", ports=(("TCP", 80),)), False),
            (given("192.0.2.2", "a/c", sharing_key="x", ports=(("TCP", 81),)), False),
            (given("192.0.2.2", "a/c", ports=(("TCP", 81),)), False),
            (given("192.0.2.2", "b/c", sharing_key="k", ports=(("TCP", 81),)), False),
            (given("192.0.2.3", "a/c"), True),
        ],
    )
    def test_one_holder_unless_shared(self, second: ev.AddressAllocated, clean: bool) -> None:
        first = given("192.0.2.2", "a/b", sharing_key="k", ports=(("TCP", 80),))
        report = Chain().add(PLAN).add(first).add(second).report()
        assert rules(report) == ([] if clean else ["TwoHolders"])

    def test_the_same_address_in_another_network_is_another_address(self) -> None:
        audit = Audit()
        for name in ("net/one", "net/two"):
            for raw in Chain(name).add(PLAN).add(given("192.0.2.2", "a/b")).raw:
                audit.take(name, raw)
        assert audit.report().clean

    def test_inside_its_prefix_at_the_time(self) -> None:
        other = ev.NetworkDefined(prefixes=(ev.Prefix(4, "198.51.100.0/24"),))
        assert rules(Chain().add(given("192.0.2.2", "a/b")).report()) == ["OutsidePrefix"]
        assert rules(Chain().add(PLAN).add(given("198.51.100.2", "a/c")).report()) == ["OutsidePrefix"]
        cut_off = Chain().add(PLAN).add(given("192.0.2.2", "a/b")).add(other)
        assert rules(cut_off.report()) == ["OutsidePrefix"]

    def test_a_release_begins_before_it_ends(self) -> None:
        report = Chain().add(PLAN).add(given("192.0.2.2", "a/b")).add(ev.AddressReleased("192.0.2.2", "a/b")).report()
        assert rules(report) == ["ReleasedTooEarly"]

    def test_nobody_gets_it_while_it_is_being_released(self) -> None:
        chain = Chain().add(PLAN).add(given("192.0.2.2", "a/b")).add(ev.AddressReleasing("192.0.2.2", "a/b"))
        assert "GivenWhileReleasing" in rules(chain.add(given("192.0.2.2", "a/c")).report())

    @pytest.mark.parametrize(
        ("service", "minutes", "choice", "found"),
        [
            ("a/c", 1, "never-used", ["QuarantineIgnored"]),
            ("a/c", 1, "quarantine-cut", []),
            ("a/b", 1, "former", []),
            ("a/c", 5, "longest-free", []),
        ],
    )
    def test_quarantine(self, service: str, minutes: int, choice: str, found: list[str]) -> None:
        chain = (
            Chain()
            .add(PLAN)
            .add(given("192.0.2.2", "a/b"))
            .add(
                ev.AddressReleasing("192.0.2.2", "a/b"),
                ev.AddressReleased("192.0.2.2", "a/b", NOW + timedelta(minutes=5)),
            )
            .add(given("192.0.2.2", service, choice=choice), minutes=minutes)
        )
        assert rules(chain.report()) == found

    @pytest.mark.parametrize(
        "event",
        [
            ev.HolderLeft("192.0.2.2", "a/c"),
            ev.HoldingChanged("192.0.2.2", "a/c", "u"),
            ev.AddressReleasing("192.0.2.2", "a/c"),
            ev.ReleaseCancelled("192.0.2.2", "a/b", "u"),
        ],
    )
    def test_only_a_holder_can_change_or_leave(self, event: ev.Event) -> None:
        report = Chain().add(PLAN).add(given("192.0.2.2", "a/b")).add(event).report()
        assert "NotTheHolder" in rules(report)

    def test_the_last_holder_cannot_just_leave(self) -> None:
        report = Chain().add(PLAN).add(given("192.0.2.2", "a/b")).add(ev.HolderLeft("192.0.2.2", "a/b")).report()
        assert rules(report) == ["ReleasedTooEarly"]


def test_time_that_goes_back_is_a_warning_and_no_problem() -> None:
    report = Chain().add(PLAN, minutes=60).add(given("192.0.2.2", "a/s"), minutes=59).add(minutes=61).report()
    assert report.clean
    assert [(warning.rule, warning.seq) for warning in report.warnings] == [("TimeWentBack", 2)]
    assert "2026-01-01T00:59:00Z" in report.warnings[0].message
    assert not Chain().add(PLAN, minutes=60).add(given("192.0.2.2", "a/s"), minutes=60).report().warnings
