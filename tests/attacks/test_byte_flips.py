"""The byte-flip campaign: a real ledger is changed in every place, and ``verify`` finds each change.

A real IPAM process writes an embedded, signed ledger of three networks with a life in it. Then every byte of every
entry is flipped, entries are swapped, dropped, cut off, emptied and filed under other keys, and the whole topic is
renamed. A change must be found, and the finding must name the entry, its neighbour, or its place in the log; or the
change must be harmless: every network has the same chain and the same state as before. Harmless changes are counted,
and only the order of entries of different networks may be one.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.ledger.audit import Audit, AuditReport
from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.embedded.heads import heads_path
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.keys import TrustedKeys
from ledgerlb.eventlog.port import Record, read_to_end
from ledgerlb.eventlog.topics import LEDGER
from tests.support.embedded import NETWORKS, IpamProcess, offers, wishes
from tests.support.keys import keys_in
from tests.support.ledger import withdrawal_of
from tests.unit.cli.conftest import Invoke, invoke

__all__ = ["invoke"]
FLIPS: int = 4
"""Bits that are flipped of each byte, one at a time."""


@dataclass(frozen=True)
class Ledger:
    """A ledger as it was written, and the folder with its file and keys."""

    folder: Path
    records: tuple[Record, ...]

    @property
    def path(self) -> Path:
        return self.folder / "l.db"

    def heads(self, *, keys: bool = False) -> RememberedHeads:
        heads = RememberedHeads()
        trusted = TrustedKeys(self.folder / "trusted") if keys else None

        async def read() -> None:
            async with SqliteLog(self.path) as log:
                assert await read_heads(log, heads, trusted) == []

        asyncio.run(read())
        return heads

    def of(self, network: str) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.key == network)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("flips")
    found: list[Record] = []

    async def live() -> None:
        path = folder / "l.db"
        async with IpamProcess(path, **keys_in(folder)) as process:
            await process.say([*offers(), *wishes("a", "b")])
            await process.say(wishes("c"))
            gone = [withdrawal_of(one.service).model_copy(update={"network": one.network}) for one in wishes("a")]
            await process.say(gone)
            await process.say(wishes("d"))
            await process.say(wishes("b", revision=3, ports=(("TCP", 443),), basis="other"))
        async with SqliteLog(path) as log:
            await read_to_end(log, [LEDGER], found.append)

    asyncio.run(live())
    made = Ledger(folder, tuple(found))
    kinds = {type(event).__name__ for record in found for event in decode_entry(record.key, record.value).events}
    assert kinds >= {"NetworkDefined", "AddressAllocated", "AddressReleasing", "AddressReleased", "HoldingChanged"}
    assert all(len(made.of(network)) >= 4 for network in NETWORKS)
    return made


def audited(records: Iterable[Record], heads: RememberedHeads) -> AuditReport:
    audit = Audit(heads)
    for record in records:
        audit.take(record.key, record.value, record.offset, record.headers)
    return audit.report()


def state_of(records: Iterable[Record]) -> object:
    """Everything that a reader knows after these records."""
    fold = LedgerFold()
    for record in records:
        try:
            fold.take(record.key, record.value, record.offset)
        except LedgerDamaged:
            return "damaged"
    return {name: (state.head, state.records, state.refusals, state.plan) for name, state in fold.networks.items()}


def names(report: AuditReport, record: Record) -> bool:
    """Whether a finding names the changed entry, the one that builds on it, or its offset."""
    seq = decode_entry(record.key, record.value).seq
    return any(
        (found.network == record.key and found.seq in {seq, seq + 1}) or f"at offset {record.offset} " in found.message
        for found in report.findings
    )


def flips(raw: bytes, seed: int, bits: int = FLIPS) -> Iterator[bytes]:
    """Every byte with some of its bits flipped, one at a time."""
    chance = random.Random(seed)
    for at, byte in enumerate(raw):
        for bit in chance.sample(range(8), bits):
            yield raw[:at] + bytes([byte ^ (1 << bit)]) + raw[at + 1 :]


def test_the_ledger_itself_is_sound_and_signed_to_its_heads(ledger: Ledger) -> None:
    report = audited(ledger.records, ledger.heads(keys=True))
    assert report.clean
    assert [(head.seq, head.proven) for head in report.heads] == [(head.seq, head.seq) for head in report.heads]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_flipped_byte_of_every_entry_is_found(ledger: Ledger, network: str) -> None:
    """The other networks are left out: nothing in a value concerns them."""
    chain, heads, count = ledger.of(network), ledger.heads(), 0
    for other in set(NETWORKS) - {network}:
        heads.forget(other)
    for at, record in enumerate(chain):
        for value in flips(record.value or b"", record.offset):
            report = audited((*chain[:at], replace(record, value=value), *chain[at + 1 :]), heads)
            assert not report.clean, f"missed in {network} entry {at + 1}: {value!r}"
            assert names(report, record), (report.findings, value)
            count += 1
    assert count == FLIPS * sum(len(record.value or b"") for record in chain) > 5000


def test_every_flipped_byte_of_every_key_is_found(ledger: Ledger) -> None:
    heads = ledger.heads()
    for at, record in enumerate(ledger.records):
        for key in flips(record.key.encode(), record.offset):
            changed = replace(record, key=key.decode("utf-8", "replace"), raw_key=key)
            report = audited((*ledger.records[:at], changed, *ledger.records[at + 1 :]), heads)
            assert not report.clean
            assert names(report, record), (report.findings, key)


def test_every_flipped_byte_of_every_signature_is_found_with_keys(ledger: Ledger) -> None:
    heads = ledger.heads(keys=True)
    for network in NETWORKS:
        heads.forget(network)  # else the chain proves the entry anyway, and verify names it all the same
    for record in ledger.records:
        before = [one for one in ledger.of(record.key) if one.offset < record.offset]
        for number, (name, content) in enumerate(record.headers):
            for value in flips(content, record.offset, bits=1):
                headers = (*record.headers[:number], (name, value), *record.headers[number + 1 :])
                report = audited((*before, replace(record, headers=headers)), heads)
                assert [finding.rule for finding in report.findings] == ["Forged"], (name, value)
                assert names(report, record)


def cut(records: Sequence[Record]) -> Iterator[tuple[str, tuple[Record, ...]]]:
    for left in range(len(records)):
        yield f"the first {left} records are left", tuple(records[:left])
    for first, last in itertools.combinations(range(len(records) + 1), 2):
        yield f"records {first} to {last - 1} are gone", (*records[:first], *records[last:])


def test_every_cut_is_found(ledger: Ledger) -> None:
    heads = ledger.heads()
    for what, left in cut(ledger.records):
        assert not audited(left, heads).clean, what


def test_every_emptied_entry_is_found(ledger: Ledger) -> None:
    heads = ledger.heads()
    for at, record in enumerate(ledger.records):
        for value in (None, b""):
            report = audited((*ledger.records[:at], replace(record, value=value), *ledger.records[at + 1 :]), heads)
            assert not report.clean
            assert names(report, record)


def test_every_swap_is_found_or_changes_only_the_order_of_different_networks(ledger: Ledger) -> None:
    heads, outcomes = ledger.heads(), Counter[str]()
    before = state_of(ledger.records)
    for one, two in itertools.combinations(range(len(ledger.records)), 2):
        first, second = ledger.records[one], ledger.records[two]
        swapped = list(ledger.records)
        swapped[one], swapped[two] = replace(second, offset=first.offset), replace(first, offset=second.offset)
        if not audited(swapped, heads).clean:
            outcomes["found"] += 1
            continue
        between = {record.key for record in ledger.records[one : two + 1]}
        assert first.key != second.key, "two entries of one network"
        assert all(
            [record.value for record in swapped if record.key == network] == [r.value for r in ledger.of(network)]
            for network in between
        ), "every chain has the same bytes"
        assert state_of(swapped) == before
        outcomes["harmless"] += 1
    for one, two in itertools.permutations(range(len(ledger.records)), 2):
        values = list(ledger.records)
        values[one] = replace(values[one], value=ledger.records[two].value)
        assert not audited(values, heads).clean, "an entry in the place of another"
    assert outcomes.total() == len(ledger.records) * (len(ledger.records) - 1) // 2
    assert outcomes["harmless"] < outcomes["found"]


# The same by the command, on files


def edit(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(sql, values).rowcount > 0


@pytest.fixture
def copied(ledger: Ledger, tmp_path: Path) -> Path:
    for name in ("l.db", "l.db.heads", "trusted"):
        (tmp_path / name).write_bytes((ledger.folder / name).read_bytes())
    return tmp_path / "l.db"


def test_the_command_finds_a_sample_of_flips_and_names_their_entries(
    ledger: Ledger, copied: Path, invoke: Invoke
) -> None:
    chance = random.Random(1)
    for record in chance.sample(ledger.records, 8):
        raw = bytearray(record.value or b"")
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        edit(copied, "UPDATE record SET value=? WHERE topic=? AND offset=?", bytes(raw), LEDGER.name, record.offset)
        result = invoke("verify", "--log", f"sqlite://{copied}")
        seq = decode_entry(record.key, record.value).seq
        assert result.exit_code == 1
        assert any(
            text in result.stdout
            for text in (f"{record.key}#{seq}", f"{record.key}#{seq + 1}", f"at offset {record.offset} ")
        ), result.stdout
        edit(copied, "UPDATE record SET value=? WHERE topic=? AND offset=?", record.value, LEDGER.name, record.offset)
    assert invoke("verify", "--log", f"sqlite://{copied}").exit_code == 0


@pytest.mark.parametrize(
    ("sql", "values", "words"),
    [
        ("UPDATE record SET topic=? WHERE topic=?", ("renamed", LEDGER.name), "the remembered heads"),
        ("DELETE FROM record WHERE topic=?", (LEDGER.name,), "the remembered heads"),
        ("DELETE FROM record", (), "the remembered heads"),
        ("UPDATE record SET value=NULL WHERE topic=?", (LEDGER.name,), "Empty  net/one"),
        ("UPDATE record SET value='' WHERE topic=?", (LEDGER.name,), "Empty  net/one"),
        ("UPDATE record SET key='net/none' WHERE topic=?", (LEDGER.name,), "Misplaced  net/none#1"),
        ("UPDATE head SET value='{}'", (), "HeadUnreadable"),
        ("UPDATE head SET value=replace(value, 'net/one', 'net/two')", (), "HeadUnreadable"),
    ],
)
def test_the_command_finds_what_was_done_to_the_whole_ledger(
    copied: Path, invoke: Invoke, sql: str, values: tuple[object, ...], words: str
) -> None:
    edit(copied, sql, *values)
    result = invoke("verify", "--log", f"sqlite://{copied}")
    assert result.exit_code != 0
    assert words in result.stdout + result.stderr


@pytest.mark.parametrize("keep", ["table", "file"])
def test_the_command_finds_a_cut_tail_by_either_memory(copied: Path, invoke: Invoke, keep: str) -> None:
    if keep == "table":
        heads_path(copied).unlink()
    else:
        edit(copied, "DELETE FROM head")
    edit(
        copied,
        "DELETE FROM record WHERE topic=?1 AND offset=(SELECT max(offset) FROM record WHERE topic=?1)",
        LEDGER.name,
    )
    result = invoke("verify", "--log", f"sqlite://{copied}", "--keys", str(copied.with_name("trusted")))
    assert result.exit_code == 1
    assert "Truncated  net/" in result.stdout


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_file_that_was_cut_off_is_named(copied: Path, invoke: Invoke, size: int) -> None:
    copied.write_bytes(copied.read_bytes()[:size])
    result = invoke("verify", "--log", f"sqlite://{copied}")
    assert result.exit_code != 0
    assert "l.db" in result.stderr
