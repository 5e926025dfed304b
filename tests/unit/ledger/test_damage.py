"""Damage is never a lost race: the network stops deciding on every reader, and the others go on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.intents.model import IntentsSynced
from ledgerlb.core.ipam.repair import Damaged, Operator, propose_repair
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.audit import Audit
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import DamageKind
from ledgerlb.core.ledger.entry import Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.evolve import LONGEST_RESERVATION
from ledgerlb.core.ledger.fold import Accepted, LedgerFold, Rejected
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.paths.pathset import Heartbeat
from ledgerlb.core.settings import LONGEST, Defaults
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER
from tests.support.ledger import NETWORK, START, Office, intent_of, offer, withdrawal_of
from tests.unit.ipam.test_processor import World

OTHER = "n/other"


def lived() -> Office:
    """A small ledger with a life in it: two families, sharing, moves, releases, quarantine, refusals, a new prefix."""
    office = Office(offer("10.0.0.0/29", "2001:db8::/64"), Defaults(quarantine=60, lease=600))
    office.settle(intent_of("a"), intent_of("b", families=(4, 6)))
    office.settle(intent_of("c", sharing_key="k"), intent_of("d", sharing_key="k", ports=(("TCP", 81),)))
    office.settle(intent_of("full"), intent_of("fuller"), intent_of("late", requested=("10.0.0.2",)))
    office.settle(withdrawal_of("a"), withdrawal_of("late"))
    office.advance(61)
    office.settle(intent_of("b", 2, basis="other", families=(4, 6)), withdrawal_of("c"))
    office.offer = offer("10.0.0.0/28", "2001:db8::/64", revision=2)
    office.settle(intent_of("late", 3, requested=("10.0.0.9",)))
    office.advance(601)
    office.settle()
    return office


def entry(office: Office, *events: ev.Event, **changes: Any) -> bytes:
    """An entry that extends the office's chain, with changes."""
    last = decode_entry(NETWORK, office.raw[-1])
    made = Entry(VERSION, NETWORK, last.seq + 1, digest(office.raw[-1]), office.now, "test", (), events)
    return encode_entry(msgspec.structs.replace(made, **changes))


def take(fold: LedgerFold, raw: bytes | None, key: str = NETWORK, offset: int = 99) -> Accepted | Rejected | None:
    try:
        return fold.take(key, raw, offset)
    except LedgerDamaged:
        return None


A = "10.0.0.3"  # held by default/b
FREE = "10.0.0.13"


def given_to(service: str, address: str = FREE, **more: Any) -> ev.AddressAllocated:
    fields: dict[str, Any] = {"family": 4, "uid": "u", "choice": "never-used", **more}
    return ev.AddressAllocated(address=address, service=service, **fields)


CONTRADICTIONS = {
    "an address of a live holder": (given_to("x/y", A),),
    "outside the prefixes": (given_to("x/y", "192.0.2.1"),),
    "no address": (given_to("x/y", "boom"),),
    "another spelling": (given_to("x/y", "10.0.0.013"),),
    "a part over 255": (given_to("x/y", "10.0.256.1"),),
    "the wrong family": (given_to("x/y", FREE, family=6),),
    "IPv6 in capitals": (given_to("x/y", "2001:DB8::9", family=6),),
    "a change by a stranger": (ev.HoldingChanged(A, "x/y", "u"),),
    "a stranger leaves": (ev.HolderLeft(A, "x/y"),),
    "the last holder leaves": (ev.HolderLeft(A, "default/b"),),
    "a stranger releases": (ev.AddressReleasing(A, "x/y"),),
    "released before its release": (ev.AddressReleased(A, "default/b"),),
    "a release cancelled that never began": (ev.ReleaseCancelled(A, "default/b", "u"),),
    "a quarantine that never was": (ev.QuarantineEnded(A),),
    "a lease that never was": (ev.LeaseEnded(FREE),),
    "a refusal cleared that never was": (ev.RefusalCleared("x/y"),),
    "a prefix that is none": (ev.NetworkDefined((ev.Prefix(4, "everything"),)),),
    "a prefix of the wrong family": (ev.NetworkDefined((ev.Prefix(6, "10.0.0.0/24"),)),),
    "a range that is none": (ev.NetworkDefined((ev.Prefix(4, "10.0.0.0/24", ranges=(("a", "b"),)),)),),
    "a refused prefix that is none": (ev.PrefixChangeRefused((ev.Prefix(4, ""),), ()),),
    "given twice in one entry": (given_to("x/y"), given_to("x/z")),
    "a quarantine until next century": (
        ev.AddressReleasing(A, "default/b"),
        ev.AddressReleased(A, "default/b", datetime(8000, 1, 1, tzinfo=UTC)),
    ),
    "a quarantine into the past": (
        ev.AddressReleasing(A, "default/b"),
        ev.AddressReleased(A, "default/b", START - timedelta(days=1)),
    ),
}


def state_of(fold: LedgerFold) -> Any:
    state = fold.network(NETWORK)
    return state.head, dict(state.records), dict(state.refusals), state.plan, list(state.holdings())


@pytest.mark.parametrize("events", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_an_entry_that_contradicts_the_state_changes_nothing_and_stops_the_network(events):
    office = lived()
    before = state_of(office.fold)
    raw = entry(office, given_to("first/one"), *events)
    with pytest.raises(LedgerDamaged, match=r"#\d+ at offset 7"):
        office.fold.take(NETWORK, raw, 7)
    assert state_of(office.fold) == before, "half an entry was folded"
    assert office.fold.holdings_of("first/one") == ()
    damage = office.fold.network(NETWORK).damage
    assert damage is not None
    assert (damage.kind, damage.offset, damage.reason) == (DamageKind.CONTRADICTION, 7, "LedgerDamaged")
    honest = entry(office, given_to("x/y"))
    assert isinstance(take(office.fold, honest), Rejected), "an entry after damage counted"
    assert not audit([*office.raw, raw]).clean


def raw_changed(**changes: Any) -> Any:
    def change(office: Office) -> bytes:
        return json.dumps({**json.loads(entry(office, given_to("x/y"))), **changes}).encode()

    return change


DAMAGES = {
    "NULL": (lambda _: None, DamageKind.EMPTY),
    "no bytes": (lambda _: b"", DamageKind.EMPTY),
    "garbage": (lambda _: b"\xff\x00", DamageKind.UNDECODABLE),
    "another kind of JSON": (lambda _: b"[]", DamageKind.UNDECODABLE),
    "deeply nested": (lambda _: b"[" * 100_000, DamageKind.UNDECODABLE),
    "cut": (lambda office: entry(office)[:-2], DamageKind.UNDECODABLE),
    "a newer version": (raw_changed(v=VERSION + 1), DamageKind.TOO_NEW),
    "a newer version with unknown events": (
        raw_changed(v=VERSION + 1, events=[{"type": "Sealed"}]),
        DamageKind.TOO_NEW,
    ),
    "a newer version of another shape": (lambda _: b'{"v": %d}' % (VERSION + 1), DamageKind.TOO_NEW),
    "version 0": (raw_changed(v=0), DamageKind.UNDECODABLE),
    "an unknown field": (raw_changed(sealed=True), DamageKind.UNDECODABLE),
    "an unknown event": (raw_changed(events=[{"type": "Sealed"}]), DamageKind.UNDECODABLE),
    "year 1 with an offset": (raw_changed(decided_at="0001-01-01T00:00:00+14:00"), DamageKind.UNDECODABLE),
    "year 9999": (raw_changed(decided_at="9999-12-31T23:59:59Z"), DamageKind.UNDECODABLE),
    "a time that is NaN": (
        lambda office: entry(office).replace(b'"v":%d' % VERSION, b'"v":NaN'),
        DamageKind.UNDECODABLE,
    ),
    "a huge seq": (raw_changed(seq=10**400), DamageKind.UNDECODABLE),
    "seq 0": (raw_changed(seq=0), DamageKind.UNDECODABLE),
    "another network": (lambda office: entry(office, network=OTHER), DamageKind.MISPLACED),
    "a gap": (lambda office: entry(office, seq=office.state.seq + 2), DamageKind.GAP),
    "another past": (lambda office: entry(office, prev="f" * 64), DamageKind.FORK),
}


@pytest.mark.parametrize(("make", "kind"), DAMAGES.values(), ids=DAMAGES)
def test_every_kind_of_damage_stops_its_network_and_fails_the_audit(make, kind):
    office = lived()
    before = state_of(office.fold)
    raw = make(office)
    assert take(office.fold, raw, offset=5) is None
    assert state_of(office.fold) == before
    damage = office.fold.damage[NETWORK]
    assert (damage.kind, damage.offset) == (kind, 5)
    assert damage.reason == ("LedgerTooNew" if kind is DamageKind.TOO_NEW else "LedgerDamaged")
    take(office.fold, b"{}", offset=6)
    assert office.fold.damage[NETWORK] is damage, "the first damage is the one to look at"
    assert isinstance(take(office.fold, entry(office, given_to("x/y"))), Rejected)
    report = audit([*office.raw, raw])
    assert not report.clean
    assert report.findings[0].network == NETWORK


def test_a_reservation_may_be_as_long_as_settings_admit():
    assert LONGEST_RESERVATION.total_seconds() == LONGEST


def test_damage_of_one_network_leaves_the_others_alone():
    office = lived()
    assert take(office.fold, b"garbage") is None
    first = Entry(1, OTHER, 1, "0" * 64, START, "test", (), (ev.NetworkDefined((ev.Prefix(4, "10.9.0.0/24"),)),))
    assert isinstance(take(office.fold, encode_entry(first), OTHER), Accepted)
    assert office.fold.network(OTHER).damage is None


def test_a_misplaced_entry_stops_the_network_that_misses_it_too():
    office = lived()
    take(office.fold, entry(office, given_to("x/y")), key=OTHER)
    assert set(office.fold.damage) == {NETWORK, OTHER}
    old = lived()
    take(old.fold, old.raw[0], key=OTHER)
    assert set(old.fold.damage) == {OTHER}, "nothing is missing where the chain went on"


def test_losers_of_races_and_duplicates_are_no_damage():
    office = lived()
    for raw in office.raw:
        assert isinstance(take(office.fold, raw), Rejected)
    last = decode_entry(NETWORK, office.raw[-1])
    rival = encode_entry(msgspec.structs.replace(last, decider="rival", events=(given_to("x/y", A),)))
    assert isinstance(take(office.fold, rival), Rejected)
    assert not office.fold.damage
    assert audit([*office.raw, rival, *office.raw]).clean


def audit(raws: list[bytes | None], key: str = NETWORK):
    found = Audit()
    for offset, raw in enumerate(raws):
        found.take(key, raw, offset)
    return found.report()


# -- every byte --------------------------------------------------------------------------------------------------------


def verdict(raws: list[bytes], at: int, flipped: bytes) -> str:
    """``fold`` or ``audit`` where one of them finds the changed entry, else ``same`` or ``hidden``."""
    changed = [*raws[:at], flipped, *raws[at + 1 :]]
    fold = LedgerFold()
    for raw in changed:
        take(fold, raw)
    if fold.damage:
        return "fold"
    if not audit(changed).clean:
        return "audit"
    return "same" if decode_entry(NETWORK, flipped) == decode_entry(NETWORK, raws[at]) else "hidden"


def flips(raw: bytes, masks: tuple[int, ...]):
    for position, byte in enumerate(raw):
        for mask in masks:
            yield raw[:position] + bytes((byte ^ mask,)) + raw[position + 1 :]


def test_every_changed_byte_that_a_later_entry_builds_on_is_found():
    raws = lived().raw
    found: dict[str, int] = {}
    for at in range(len(raws) - 1):
        for flipped in flips(raws[at], (0x01,)):
            result = verdict(raws, at, flipped)
            found[result] = found.get(result, 0) + 1
    assert set(found) == {"fold"}, found
    assert found["fold"] == sum(map(len, raws[:-1]))


def test_a_changed_byte_of_the_last_entry_is_found_or_leaves_an_honest_decision():
    """No later entry covers the last one. A change that still decodes to a possible decision shows only against a
    remembered or signed head; the share of such changes is bounded here, so that a weaker check is noticed.
    """
    office = lived()
    found: dict[str, int] = {}
    for at in range(len(office.raw)):
        raws = office.raw[: at + 1]
        for flipped in flips(raws[at], (0x01, 0x20)):
            result = verdict(raws, at, flipped)
            found[result] = found.get(result, 0) + 1
    total = sum(found.values())
    assert total == 2 * sum(map(len, office.raw))
    assert found["hidden"] <= 0.17 * total, found


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_bytes_end_a_reader(data):
    office = lived()
    at = data.draw(st.integers(0, len(office.raw) - 1))
    raw = bytearray(office.raw[at])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position : position + data.draw(st.integers(0, 12))] = data.draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"null", b"NaN", b"-1", b"1e999", b"9" * 400, b'"\\ud800"', b"[]", b"{}", b"true"]),
            )
        )
    fold = LedgerFold()
    for one in (*office.raw[:at], bytes(raw), *office.raw[at + 1 :]):
        take(fold, one)
    state = fold.network(NETWORK)
    for holding in fold.holdings():
        assert holding.address
        assert state.covers(holding.family, state.records[holding.address].value) in {True, False}
    audit([*office.raw[:at], bytes(raw), *office.raw[at + 1 :]])


# -- IPAM --------------------------------------------------------------------------------------------------------------


async def test_ipam_appends_nothing_to_a_damaged_network_and_serves_the_others():
    world = World()
    ipam = world.replica()
    elsewhere = offer("10.9.0.0/24").model_copy(update={"network": OTHER})
    await world.say(offer("10.0.0.0/24"), elsewhere, IntentsSynced(), intent_of("a"))
    await world.run(ipam)
    assert ipam.ipam.problems() == []
    await world.log.append(LEDGER, [NewRecord(NETWORK, b"\x00")])
    with pytest.raises(LedgerDamaged):
        await ipam.turn()
    end = await world.log.end(LEDGER)
    world.now += timedelta(days=2)
    await world.report(Heartbeat(agent="n1", at=world.now, started=world.now))
    await world.say(intent_of("late"), withdrawal_of("a"), offer("10.0.0.0/28", revision=2))
    await world.run(ipam)
    assert await world.log.end(LEDGER) == end
    assert [holding.state for holding in ipam.ipam.fold.holdings_of("default/a")] == ["held"]
    await world.say(intent_of("b").model_copy(update={"network": OTHER}))
    await world.run(ipam)
    assert [holding.address for holding in ipam.ipam.fold.holdings_of("default/b")] == ["10.9.0.2"]
    [problem] = ipam.ipam.problems()
    assert f"network {NETWORK}: LedgerDamaged" in problem
    assert "ledgerlb verify" in problem


async def test_ipam_decides_again_once_the_damage_is_set_aside_and_not_before():
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), intent_of("a"))
    await world.run(ipam)
    await world.log.append(LEDGER, [NewRecord(NETWORK, b"\x00")])
    with pytest.raises(LedgerDamaged):
        await ipam.turn()
    await world.say(intent_of("late"), withdrawal_of("a"))
    await world.run(ipam)
    fold = ipam.ipam.fold
    network = Damaged(fold.network(NETWORK), fold.aside[NETWORK], (), (), None, None)
    repair = propose_repair(network, Operator("me", "", world.now), 100_000)
    await world.log.append(LEDGER, [NewRecord(NETWORK, repair.entry)])
    await world.run(ipam)
    assert ipam.ipam.problems() == []
    assert fold.holdings_of("default/a") == ()
    assert [holding.address for holding in fold.holdings_of("default/late")] == ["10.0.0.3"]


def test_nothing_is_set_aside_where_nothing_is_damaged():
    office = lived()
    assert take(office.fold, entry(office, ev.DamageSetAside(1, "0" * 64, (), "me"))) is None
    assert office.fold.damage[NETWORK].kind is DamageKind.CONTRADICTION


def repair_of(fold: LedgerFold, remembered: Head | None = None) -> bytes:
    network = Damaged(fold.network(NETWORK), fold.aside[NETWORK], (), (), None, None, remembered)
    return propose_repair(network, Operator("me", "", START), 100_000).entry


def test_a_process_that_counted_what_is_set_aside_stops_until_it_reads_the_log_again():
    """A disk changed an entry after a process had read it: that process and a fresh reader must not go apart."""
    office = lived()
    fresh = LedgerFold()
    log = [office.raw[0], b"flipped", *office.raw[2:]]
    for raw in log:
        take(fresh, raw)
    repair = repair_of(fresh)
    assert isinstance(take(fresh, repair), Accepted)
    assert isinstance(take(fresh, repair), Rejected), "the same repair twice loses a race"
    assert fresh.network(NETWORK).damage is None
    assert take(office.fold, repair) is None
    assert "has counted" in office.fold.damage[NETWORK].message


def test_a_repair_replaces_the_head_that_it_names_and_no_other():
    office = lived()
    log = [office.raw[0], b"flipped", *office.raw[2:]]
    for named, ends in ((office.state.head, True), (None, False), (Head(office.state.seq, "e" * 64), False)):
        heads = RememberedHeads()
        heads.remember(NETWORK, office.state.head)
        fold = LedgerFold(heads)
        for raw in log:
            take(fold, raw)
        assert isinstance(take(fold, repair_of(fold, named)), Accepted)
        assert (NETWORK not in fold.check_ends()) is ends
        assert (heads.of(NETWORK) is None) is ends


def test_an_entry_that_is_not_the_remembered_one_can_be_set_aside():
    office = lived()
    heads = RememberedHeads()
    heads.remember(NETWORK, Head(office.state.seq, "e" * 64))
    fold, audit = LedgerFold(heads), Audit(heads)
    for raw in office.raw:
        take(fold, raw)
        audit.take(NETWORK, raw)
    assert fold.damage[NETWORK].kind is DamageKind.HEAD_MISMATCH
    repair = repair_of(fold, heads.of(NETWORK))
    assert isinstance(take(fold, repair), Accepted)
    heads.remember(NETWORK, Head(office.state.seq, "e" * 64))
    audit.take(NETWORK, repair)
    report = audit.report()
    assert report.clean, report.findings
    assert len(report.set_aside) == 1
