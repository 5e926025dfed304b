"""Entries of every version that was ever written, folded by today's code.

``tests/golden/ledger-v<n>.jsonl`` holds ledgers as version n wrote them, a record a line; ``.expected.json`` beside it
says what that version itself made of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger import upcast
from ledgerlb.core.ledger.damage import Damage, DamageKind
from ledgerlb.core.ledger.entry import decode_entry, parse_entry
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.upcast import STEPS, VERSION

GOLDEN = Path(__file__).parents[2] / "golden"
OLDER = range(1, VERSION)
EVENTS_OF_1 = {kind.__struct_config__.tag for kind in (
    ev.NetworkDefined, ev.PrefixChangeRefused, ev.NetworkGone, ev.AddressAllocated, ev.AddressAdopted, ev.AdoptionRefused,
    ev.HoldingChanged, ev.HolderLeft, ev.AddressReleasing, ev.AddressReleased, ev.ReleaseCancelled, ev.QuarantineEnded,
    ev.LeaseEnded, ev.AllocationRefused, ev.RefusalCleared,
)}  # fmt: skip


def golden(version: int) -> dict[str, list[tuple[str, bytes]]]:
    logs: dict[str, list[tuple[str, bytes]]] = {}
    for line in (GOLDEN / f"ledger-v{version}.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        logs.setdefault(record["log"], []).append((record["key"], record["value"].encode()))
    return logs


def summary(records: list[tuple[str, bytes]]) -> dict[str, Any]:
    fold = LedgerFold()
    for offset, (key, value) in enumerate(records):
        fold.take(key, value, offset)
    holdings = sorted([held.network, held.address, held.service, held.state] for held in fold.holdings())
    heads = {name: [state.head.seq, state.head.digest] for name, state in sorted(fold.networks.items())}
    return {"heads": heads, "holdings": holdings}


@pytest.mark.parametrize("version", OLDER)
def test_an_older_ledger_folds_to_the_state_and_the_hashes_that_it_had_then(version: int) -> None:
    expected = json.loads((GOLDEN / f"ledger-v{version}.expected.json").read_text("utf-8"))
    assert {log: summary(records) for log, records in golden(version).items()} == expected


def test_the_golden_ledgers_of_version_1_have_each_of_its_events() -> None:
    entries = [decode_entry(key, value) for records in golden(1).values() for key, value in records]
    assert {type(event).__struct_config__.tag for entry in entries for event in entry.events} == EVENTS_OF_1
    assert {entry.v for entry in entries} == {1}


def test_each_older_version_has_a_step_and_a_golden_file() -> None:
    assert set(STEPS) == set(OLDER)
    assert all((GOLDEN / f"ledger-v{version}.jsonl").is_file() for version in OLDER)


def test_raw_data_is_brought_up_to_date_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    key, value = next(iter(golden(1).values()))[0]
    renamed = value.replace(b'"decider"', b'"decided_by"')
    assert isinstance(parse_entry(key, renamed), Damage)

    def rename(raw: dict[str, Any]) -> dict[str, Any]:
        return {("decider" if name == "decided_by" else name): field for name, field in raw.items()}

    monkeypatch.setattr(upcast, "STEPS", {**STEPS, 1: rename})
    assert decode_entry(key, renamed) == decode_entry(key, value)


@pytest.mark.parametrize(
    ("version", "kind"),
    [(0, DamageKind.UNDECODABLE), (-1, DamageKind.UNDECODABLE), (VERSION + 1, DamageKind.TOO_NEW)],
)
def test_a_version_that_was_never_written_is_damage(version: int, kind: DamageKind) -> None:
    key, value = next(iter(golden(1).values()))[0]
    found = parse_entry(key, value.replace(b'"v":1', b'"v":%d' % version))
    assert isinstance(found, Damage)
    assert found.kind is kind
