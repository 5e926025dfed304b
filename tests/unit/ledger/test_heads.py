"""A head that was remembered pins the end of its chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlb.core.errors import LedgerDamaged, UndecodableRecord
from ledgerlb.core.ledger.audit import Audit
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import DamageKind
from ledgerlb.core.ledger.entry import digest
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads, decode_head, encode_head
from tests.support.ledger import NETWORK, START, Office, intent_of, offer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def chain() -> list[bytes]:
    office = Office(offer("10.0.0.0/29"))
    office.settle(intent_of("a"))
    office.settle(intent_of("b"))
    return office.raw


def remembering(raw: list[bytes], count: int | None = None) -> RememberedHeads:
    heads = RememberedHeads()
    seq = len(raw) if count is None else count
    heads.remember(NETWORK, Head(seq, digest(raw[seq - 1])))
    return heads


def folded(raw: list[bytes], heads: RememberedHeads) -> LedgerFold:
    fold = LedgerFold(heads)
    for value in raw:
        try:
            fold.take(NETWORK, value)
        except LedgerDamaged:
            continue
    fold.check_ends()
    return fold


def audited(raw: list[bytes], heads: RememberedHeads) -> list[tuple[str, int]]:
    audit = Audit(heads)
    for value in raw:
        audit.take(NETWORK, value)
    return [(finding.rule, finding.seq) for finding in audit.report().findings]


def test_a_ledger_at_or_beyond_its_remembered_head_is_sound() -> None:
    raw = chain()
    for count in range(1, len(raw) + 1):
        assert not folded(raw, remembering(raw, count)).damage
        assert audited(raw, remembering(raw, count)) == []


def test_a_last_entry_that_was_changed_damages_its_network_and_is_not_applied() -> None:
    raw = chain()
    changed = [*raw[:-1], raw[-1].replace(b"uid-default/b", b"uid-default/c")]
    assert not folded(changed, RememberedHeads()).damage, "the chain alone does not show it"
    fold = folded(changed, remembering(raw))
    damage = fold.damage[NETWORK]
    assert (damage.kind, damage.seq, fold.network(NETWORK).seq) == (DamageKind.HEAD_MISMATCH, len(raw), len(raw) - 1)
    assert "heads forget" in damage.remedy
    assert audited(changed, remembering(raw)) == [("HeadMismatch", len(raw))]


@pytest.mark.parametrize("left", [0, 1])
def test_a_chain_that_lost_its_last_entries_is_damaged_at_the_first_that_is_missing(left: int) -> None:
    raw = chain()
    fold = folded(raw[:left], remembering(raw))
    damage = fold.damage[NETWORK]
    assert (damage.kind, damage.seq) == (DamageKind.TRUNCATED, left + 1)
    assert fold.network(NETWORK).damage == damage
    assert audited(raw[:left], remembering(raw)) == [("Truncated", left + 1)]


def test_a_gap_is_reported_once() -> None:
    raw = chain()
    assert audited([*raw[:-2], raw[-1]], remembering(raw)) == [("ChainBroken", len(raw))]


def test_a_head_that_is_much_older_than_the_last_entry_is_a_warning() -> None:
    raw = chain()
    for at, expected in ((START, []), (START - timedelta(hours=1), [("HeadOlder", 1)])):
        heads = RememberedHeads()
        heads.remember(NETWORK, Head(1, digest(raw[0])), at)
        audit = Audit(heads)
        for value in raw:
            audit.take(NETWORK, value)
        report = audit.report()
        assert report.clean
        assert [(warning.rule, warning.seq) for warning in report.warnings] == expected


def test_only_a_higher_head_replaces_a_remembered_one() -> None:
    heads = RememberedHeads()
    heads.remember(NETWORK, Head(2, "b" * 64))
    heads.remember(NETWORK, Head(1, "a" * 64))
    assert heads.of(NETWORK) == Head(2, "b" * 64)
    heads.remember(NETWORK, Head(3, "c" * 64))
    assert heads.of(NETWORK) == Head(3, "c" * 64)


def test_two_memories_that_contradict_each_other_match_no_entry() -> None:
    raw = chain()
    heads = remembering(raw)
    heads.remember(NETWORK, Head(len(raw), "f" * 64))
    assert folded(raw, heads).damage[NETWORK].kind is DamageKind.HEAD_MISMATCH
    heads.forget(NETWORK)
    assert not folded(raw, heads).damage


def test_a_head_of_a_later_version_is_still_a_head() -> None:
    data = json.loads(encode_head(NETWORK, Head(7, "a" * 64), NOW)) | {"v": 2, "root": "b" * 64}
    assert decode_head(NETWORK, json.dumps(data).encode()).head == Head(7, "a" * 64)


@pytest.mark.parametrize(
    "change", [{"seq": 0}, {"seq": 2**60}, {"digest": "A" * 64}, {"digest": ""}, {"network": "n/x"}, {"v": 0},
               {"at": "0001-01-01T00:00:00+14:00"}, {"at": None}],
)  # fmt: skip
def test_a_head_that_lies_is_bad_input(change: dict[str, Any]) -> None:
    data = json.loads(encode_head(NETWORK, Head(7, "a" * 64), NOW)) | change
    with pytest.raises(UndecodableRecord, match="heads forget"):
        decode_head(NETWORK, json.dumps(data).encode())
