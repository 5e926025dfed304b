"""How fast the ledger folds: entries per second, where the time goes, and what a holding costs in memory.

The ledger is generated once (20 networks, a life of four entries per Service: allocated, changed, releasing, released, with every
second Service left holding), then decoded only, hashed only, and folded.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import GENESIS, Cause, Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.addresses import to_text
from ledgerlb.runtime.serve import spare_objects

NETWORKS = 20
START = datetime(2026, 1, 1, tzinfo=UTC)


def generate(count: int) -> list[tuple[str, bytes]]:
    """``count`` chained entries as (key, bytes)."""
    heads = {f"bench/net-{n}": (0, GENESIS) for n in range(NETWORKS)}
    base = int.from_bytes(bytes((10, 0, 0, 2)), "big")
    made: list[tuple[str, bytes]] = []
    for number in range(count):
        network = f"bench/net-{number % NETWORKS}"
        seq, prev = heads[network]
        turn, life = seq // 3, seq % 3
        service, address = f"team-{turn % 40}/svc-{turn}", to_text(base + turn, 4)
        events: list[ev.Event] = [] if seq else [ev.NetworkDefined((ev.Prefix(4, "10.0.0.0/8"),))]
        if life == 0 or turn % 2:
            if life == 0:
                events.append(
                    ev.AddressAllocated(address, 4, service, f"uid-{turn}", "never-used", "", (("TCP", 80),), "0" * 16)
                )
            elif life == 1:
                events.append(ev.AddressReleasing(address, service, "ServiceDeleted"))
            else:
                events.append(
                    ev.AddressReleased(
                        address, service, START + timedelta(minutes=5), START + timedelta(days=1), ("n1", "n2", "n3")
                    )
                )
        else:
            events.append(ev.HoldingChanged(address, service, f"uid-{turn}", "", (("TCP", 80 + life),), "0" * 16))
        cause = Cause(
            "want", 1, service, f"uid-{turn}", "kubectl", "default-selector", "default-external matches this network",
            (("ledgerlb.facts.v1", 0, number),),
        )  # fmt: skip
        raw = encode_entry(Entry(VERSION, network, seq + 1, prev, START, "ipam-0/0.1.0", (cause,), tuple(events)))
        heads[network] = (seq + 1, digest(raw))
        made.append((network, raw))
    return made


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(count: int = 1_000_000) -> dict[str, float]:
    """Entries per second of decoding, hashing and folding; resident bytes per entry and per address record."""
    ledger = generate(count)
    gc.collect()
    began = time.perf_counter()
    for key, raw in ledger:
        decode_entry(key, raw)
    decoded = time.perf_counter() - began
    began = time.perf_counter()
    for _, raw in ledger:
        digest(raw)
    hashed = time.perf_counter() - began
    gc.collect()
    before = resident_bytes()
    fold = LedgerFold()
    began = time.perf_counter()
    for key, raw in ledger:
        fold.take(key, raw)
    folded = time.perf_counter() - began
    grown = resident_bytes() - before
    assert fold.accepted == count
    assert fold.rejected == 0
    assert not fold.damage
    records = sum(len(state.records) for state in fold.networks.values())
    return {
        "entries": count,
        "bytes_per_entry": sum(len(raw) for _, raw in ledger) / count,
        "fold_seconds": folded,
        "entries_per_second": count / folded,
        "decode_share": decoded / folded,
        "hash_share": hashed / folded,
        "addresses": records,
        "resident_mib": grown / 2**20,
        "resident_bytes_per_address": grown / records,
    }


if __name__ == "__main__":
    spare_objects()  # as every service does
    print(json.dumps(measure(int(sys.argv[1]))))
