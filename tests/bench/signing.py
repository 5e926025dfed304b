"""What signatures cost: an append with its read-back, and a start from many entries, with and without them.

One process, one run: each pair is measured in turns, so that a machine that grows slower slows both. Figures are CPU time
of the process, all its threads included, except for the time from an append to its fold. The ledger is that of ``fold``.
Each start reads an SQLite log to its end and folds it:

- *unsigned*: no keys;
- *signed heads*: keys are trusted, and the log keeps a signed head of each network near its end, as after a normal stop;
- *each entry*: keys are trusted, and no head is kept, so that every entry's own signature is verified.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads, encode_head
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.keys import ROLES, SigningKey, TrustedFile, TrustedKeys, make_key, write_private, write_trusted
from ledgerlb.eventlog.port import EventLog, NewRecord, Record, read_to_end
from ledgerlb.eventlog.signing import SigningLog
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.serve import spare_objects
from tests.bench.fold import generate

BATCH = 500
APPENDS = 1000
ROUNDS = 5
VERIFIED_MOST = 20_000
"""Entries of the start that verifies each one: its time grows with their number alone."""


def keys_in(folder: Path) -> tuple[SigningKey, TrustedKeys]:
    pem, public = make_key(ROLES)
    write_private(folder / "key", pem)
    write_trusted(folder / "trusted", TrustedFile(keys=(public,)))
    return SigningKey(folder / "key"), TrustedKeys(folder / "trusted")


async def write(log: EventLog, ledger: list[tuple[str, bytes]]) -> None:
    for start in range(0, len(ledger), BATCH):
        await log.append(LEDGER, [NewRecord(key, raw) for key, raw in ledger[start : start + BATCH]])


async def start(path: Path, keys: TrustedKeys | None, *, use_heads: bool = True) -> tuple[float, LedgerFold]:
    """CPU seconds of reading the log to its end and folding it."""
    gc.collect()
    async with SqliteLog(path) as log:
        began = time.process_time()
        heads = RememberedHeads()
        assert await read_heads(log, heads, keys) == []
        if not use_heads:
            for network in heads.networks():
                heads.forget(network)
        fold = LedgerFold(heads)
        await read_to_end(log, [LEDGER], lambda one: fold.take(one.key, one.value, one.offset, one.headers))
        fold.check_ends()
        seconds = time.process_time() - began
    assert not fold.damage
    return seconds, fold


async def remember(log: EventLog, fold: LedgerFold) -> None:
    now = datetime.now(UTC)
    await log.remember_heads(
        [NewRecord(name, encode_head(name, state.head, now)) for name, state in fold.networks.items()]
    )


async def appended(
    folder: Path, ledger: list[tuple[str, bytes]], key: SigningKey, keys: TrustedKeys
) -> dict[str, float]:
    """Microseconds from an append to its fold, in turns: the median, and CPU time on average."""
    found: dict[str, list[float]] = {"plain": [], "signed": []}
    cpu = dict.fromkeys(found, 0.0)
    async with SqliteLog(folder / "plain.db") as plain, SqliteLog(folder / "signed.db") as under:
        sides = {"plain": (plain, None), "signed": (SigningLog(under, key), keys)}
        loops = {name: await _Side.open(log, trusted) for name, (log, trusted) in sides.items()}
        for number in range(0, APPENDS, APPENDS // ROUNDS):
            for name, side in loops.items():
                began = time.process_time()
                for entry in ledger[number : number + APPENDS // ROUNDS]:
                    found[name].append(await side.append(*entry))
                cpu[name] += time.process_time() - began
    medians = {f"append_{name}_us": statistics.median(times) * 1e6 for name, times in found.items()}
    return medians | {f"append_{name}_cpu_us": seconds / APPENDS * 1e6 for name, seconds in cpu.items()}


class _Side:
    def __init__(self, log: EventLog, fold: LedgerFold, reader) -> None:
        self.log, self.fold, self.reader = log, fold, reader

    @classmethod
    async def open(cls, log: EventLog, keys: TrustedKeys | None) -> _Side:
        heads = RememberedHeads()
        if keys is not None:
            heads.signatures = keys.of(LEDGER.name)
        return cls(log, LedgerFold(heads), await log.open([LEDGER]))

    async def append(self, key: str, raw: bytes) -> float:
        began = time.perf_counter()
        await self.log.append(LEDGER, [NewRecord(key, raw)])
        records: list[Record] = []
        while not records:
            records = await self.reader.poll(1.0)
        for record in records:
            self.fold.take(record.key, record.value, record.offset, record.headers)
        return time.perf_counter() - began


async def measure(count: int) -> dict[str, float]:
    ledger = generate(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key, keys = keys_in(folder)
        times = await appended(folder, ledger[:APPENDS], key, keys)
        one = _timed(lambda: key.headers(LEDGER.name, *ledger[0]))
        signed = key.headers(LEDGER.name, *ledger[0])
        two = _timed(lambda: keys.objection(LEDGER.name, *ledger[0], signed))
        plain, under = folder / "start-plain.db", folder / "start-signed.db"
        async with SqliteLog(plain) as log:
            await write(log, ledger)
        async with SqliteLog(under) as log:
            await write(SigningLog(log, key), ledger)
        unsigned, fold = await start(plain, None)
        async with SqliteLog(under) as log:
            await remember(SigningLog(log, key), fold)
        part = folder / "start-part.db"
        async with SqliteLog(part) as log:
            await write(SigningLog(log, key), ledger[:VERIFIED_MOST])
        with_heads, _ = await start(under, keys)
        again, _ = await start(plain, None)
        each, few = await start(part, keys, use_heads=False)
        sizes = {name: path.stat().st_size for name, path in (("plain", plain), ("signed", under))}
    return {
        "entries": count,
        "sign_us": one,
        "verify_us": two,
        **times,
        "start_plain_s": min(unsigned, again),
        "start_heads_s": with_heads,
        "start_each_us": each / few.accepted * 1e6,
        "bytes_plain": sizes["plain"] / count,
        "bytes_signed": sizes["signed"] / count,
    }


def _timed(call: Callable[[], object], times: int = 2000) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


if __name__ == "__main__":
    spare_objects()  # as every service does
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
