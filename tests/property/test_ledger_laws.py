"""Laws of the chain, the fold and the address choice, over arbitrary histories."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgerlb.core.addresses import to_text
from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.ipam.batch import decide
from ledgerlb.core.ipam.repair import Damaged, Operator, Shown, propose_repair
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger.audit import Audit
from ledgerlb.core.ledger.entry import GENESIS, Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.events import AddressAllocated, Prefix
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.intervals import IntervalSet, contains, intersect, normalise, subtract
from ledgerlb.core.ledger.plan import refusal_of
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.settings import Defaults
from tests.support.ledger import NETWORK, START, Office, intent_of, offer, withdrawal_of

PREFIXES = ["10.0.0.0/29", "10.0.0.0/28", "10.0.0.0/30"]
names = st.sampled_from([f"{ns}/s{n}" for ns in ("a", "b") for n in range(4)])
families = st.sampled_from([((4,), (4,)), ((6,), (6,)), ((4, 6), (4, 6)), ((6, 4), ()), ((4, 6), ())])
shown = st.sampled_from([(), (), (), ("10.0.0.4",), ("10.0.0.4", "10.0.0.5", "2001:db8::5"), ("10.0.0.3",)])
requested = st.sampled_from([(), (), (), ("10.0.0.3",), ("2001:db8::3",), ("10.0.0.200",)])
ports = st.sampled_from([(("TCP", 80),), (("TCP", 443),), (("UDP", 53), ("TCP", 80))])
wishes = st.builds(
    lambda *values: ("want", *values),
    names,
    families,
    requested,
    st.sampled_from(["", "", "k"]),
    ports,
    shown,
)
steps = st.one_of(
    wishes,
    wishes,
    st.builds(lambda name: ("withdraw", name), names),
    st.builds(lambda seconds: ("advance", seconds), st.sampled_from([1, 60, 400, 100_000])),
    st.builds(lambda prefix, forced: ("offer", prefix, forced), st.sampled_from(PREFIXES), st.booleans()),
)


def snapshot(state: NetworkState) -> dict:
    return {
        "records": dict(state.records),
        "refusals": dict(state.refusals),
        "unadopted": dict(state.unadopted),
        "plan": state.plan,
        "gone": state.gone,
        "change_refused": state.change_refused,
        "head": state.head,
        "by_service": {k: sorted(state._by_service.of(k)) for k in state._by_service},
        "former": {k: sorted(state._former.of(k)) for k in state._former},
        "shared": {k: sorted(state._shared.of(k)) for k in state._shared},
        "namespaces": dict(state._per_namespace),
        "free": {k: list(v) for k, v in state._free.items()},
        "due": list(state._due),
        "used": {f: s.intervals() for f, s in state._used.items()},
        "releasing": sorted(state._releasing),
        "count": state.allocated(),
        "damage": state.damage,
    }


def check_invariants(state: NetworkState) -> None:
    assert state.damage is None
    for record in state.records.values():
        assert (record.status in {"held", "releasing"}) == bool(record.holders)
        services = [holder.service for holder in record.holders]
        assert len(services) == len(set(services))
        if len(services) > 1:
            assert record.sharing_key
            taken = [pair for holder in record.holders for pair in holder.ports]
            assert len(taken) == len(set(taken)), "two sharers on one port"
            assert len({service.partition("/")[0] for service in services}) == 1


def run(history: list) -> Office:
    office = Office(offer("10.0.0.0/28", "2001:db8::/64"), Defaults(quarantine=300, lease=3600))
    standing: dict = {}
    revision = 1
    for step in history:
        revision += 1
        match step:
            case ("want", name, (fams, required), req, key, pts, adopt):
                req = tuple(a for a in req if (6 if ":" in a else 4) in fams)
                terms = {"families": fams, "required": required, "requested": req, "sharing_key": key, "ports": pts}
                standing[name] = intent_of(name, revision, adopt=adopt, **terms)
            case ("withdraw", name):
                standing[name] = withdrawal_of(name, revision)
            case ("advance", seconds):
                office.advance(seconds)
            case ("offer", prefix, forced):
                office.offer = offer(
                    prefix, "2001:db8::/64", revision=revision, force_prefix=(prefix,) if forced else ()
                )
        before = snapshot(office.state)
        terms = Terms(office.now, office.offer, office.defaults, office.agents)
        decide(office.state, standing.values(), terms)
        assert snapshot(office.state) == before, "a decision changed the state"
        events = office.settle(*standing.values())
        plan = office.state.plan
        for event in events:
            if isinstance(event, AddressAllocated) and event.choice != "shared":
                assert refusal_of(plan, event.address) is None
        check_invariants(office.state)
        for name, intent in standing.items():
            held = [h for h in office.fold.holdings_of(name) if h.state == "held"]
            if intent.type == "withdraw":
                assert held == []
            elif not office.fold.refusals_of(name):
                assert {h.family for h in held} >= set(intent.required)
                if intent.requested and set(intent.families) == set(intent.required):
                    assert set(intent.requested) <= {h.address for h in held}
    return office


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=25))
def test_any_history_keeps_the_invariants_and_refolds_to_the_same_state(history):
    office = run(history)
    again = office.refold()
    assert snapshot(again.network(NETWORK)) == snapshot(office.state)
    assert again.rejected == 0


def is_taken(fold: LedgerFold, raw: bytes) -> bool:
    try:
        return isinstance(fold.take(NETWORK, raw), Accepted)
    except LedgerDamaged:
        return False


def repair_of(office: Office, *shown: Shown, exists: Container[str] = ()) -> bytes:
    network = Damaged(office.state, office.fold.aside[NETWORK], (), shown, exists, office.offer)
    return propose_repair(network, Operator("me", "", office.now), 100_000).entry


spoils = st.sampled_from([b"", b"garbage", b'{"v":1}', "gap", "fork", "late"])


def spoiled(office: Office, how: bytes | str, last: Entry) -> bytes:
    """A record that damages the network; ``late``: an honest entry of a writer that had not seen the damage yet."""
    head = office.state.head
    if isinstance(how, bytes):
        return how
    seq, prev = {"gap": (head.seq + 2, head.digest), "fork": (head.seq + 1, "f" * 64)}.get(
        how, (head.seq + 1, head.digest)
    )
    return encode_entry(replace(last, seq=seq, prev=prev, events=()))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=2, max_size=10), st.lists(spoils, min_size=1, max_size=4), st.data())
def test_after_a_repair_every_reader_has_the_state_of_one_that_was_there_all_the_time(history, damages, data):
    office = run(history)
    if not office.raw:
        return
    log = list(office.raw)
    last = decode_entry(NETWORK, log[-1])
    before = {(one.service, one.address) for one in office.state.holdings()}
    for how in ["gap", *damages]:
        log.append(spoiled(office, how, last))
        assert not is_taken(office.fold, log[-1])
    if data.draw(st.booleans()):  # a record that the repair does not know came first: no reader takes the repair
        early = repair_of(office)
        log += [b"in between", early]
        assert not is_taken(office.fold, log[-2])
        assert not is_taken(office.fold, early)
        assert office.state.damage is not None
    free = next(office.state.never_used(4), None)
    shown = [Shown("a/live", "u", to_text(free, 4))] if free is not None else []
    log.append(repair_of(office, *shown, exists=[service for service, _ in before]))
    assert is_taken(office.fold, log[-1])
    assert office.state.damage is None
    assert {(one.service, one.address) for one in office.state.holdings()} == before | {
        (one.service, one.address) for one in shown
    }
    office.raw = []
    office.settle(intent_of("a/late", 9_000), intent_of("a/live", 9_000))  # and decisions go on
    log += office.raw
    fresh, audit = LedgerFold(), Audit()
    for raw in log:
        is_taken(fresh, raw)
        audit.take(NETWORK, raw)
    assert snapshot(fresh.network(NETWORK)) == snapshot(office.state)
    report = audit.report()
    assert report.clean, report.findings
    assert len(report.set_aside) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=3, max_size=15), st.data())
def test_duplicated_and_replayed_entries_change_nothing(history, data):
    office = run(history)
    noisy: list[bytes] = []
    for raw in office.raw:
        noisy.append(raw)
        noisy += data.draw(st.lists(st.sampled_from(noisy), max_size=2))
    fold = LedgerFold()
    for raw in noisy:
        fold.take(NETWORK, raw)
    assert snapshot(fold.network(NETWORK)) == snapshot(office.state)
    assert fold.rejected == len(noisy) - len(office.raw)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_racing_writers_never_allocate_twice_and_all_readers_agree(data):
    """Writers decide on stale heads, append in any order, some twice: whoever extends the head first wins."""
    wanted = [intent_of(f"s{n}") for n in range(12)]
    log: list[bytes] = []
    writers = [LedgerFold() for _ in range(3)]
    seen = [0, 0, 0]
    network_offer = offer("10.0.0.0/27")
    for _ in range(60):
        at = data.draw(st.integers(0, 2))
        catch_up = data.draw(st.integers(0, len(log) - seen[at])) if len(log) > seen[at] else 0
        for raw in log[seen[at] : seen[at] + catch_up]:
            writers[at].take(NETWORK, raw)
        seen[at] += catch_up
        state = writers[at].network(NETWORK)
        some = data.draw(st.lists(st.sampled_from(wanted), max_size=4, unique_by=lambda w: w.service))
        decision = decide(state, some, Terms(START, network_offer))
        if decision.events:
            raw = encode_entry(
                Entry(
                    VERSION,
                    NETWORK,
                    state.head.seq + 1,
                    state.head.digest,
                    START,
                    f"w{at}",
                    decision.causes,
                    decision.events,
                )
            )
            log += [raw] * data.draw(st.integers(1, 2))
    heads = set()
    for _ in range(2):
        fold = LedgerFold()
        for raw in log:
            fold.take(NETWORK, raw)
        state = fold.network(NETWORK)
        check_invariants(state)
        heads.add(state.head)
        assert len({h.address for h in state.holdings()}) == len({h.service for h in state.holdings()})
    assert len(heads) == 1


@given(st.binary(min_size=1, max_size=3), st.integers(0, 400))
def test_any_altered_byte_breaks_the_chain_behind_it(change, position):
    office = Office(offer("10.0.0.0/28"))
    for n in range(4):
        office.settle(intent_of(f"s{n}"))
    victim = bytearray(office.raw[1])
    at = position % len(victim)
    victim[at : at + len(change)] = change
    if bytes(victim) == office.raw[1]:
        return
    assert digest(bytes(victim)) != digest(office.raw[1])
    fold = LedgerFold()
    accepted = 0
    for raw in [office.raw[0], bytes(victim), *office.raw[2:]]:
        try:
            accepted += isinstance(fold.take(NETWORK, raw), Accepted)
        except Exception:  # noqa: BLE001 - bytes that no longer decode are rejected too
            continue
    assert accepted <= 2
    assert fold.network(NETWORK).head.digest != office.state.head.digest


def test_first_entry_names_genesis_and_each_next_the_hash_of_the_bytes_before():
    office = Office(offer("10.0.0.0/28"))
    office.settle(intent_of("a"))
    office.settle(intent_of("b"))
    assert f'"prev":"{GENESIS}"'.encode() in office.raw[0]
    assert f'"prev":"{digest(office.raw[0])}"'.encode() in office.raw[1]


values = st.integers(0, 60)
interval_lists = st.lists(st.tuples(values, values), max_size=6)


def members(pairs) -> set[int]:
    return {n for low, high in pairs for n in range(low, high + 1)}


@given(interval_lists, interval_lists)
def test_interval_algebra_is_set_algebra(left, right):
    assert members(normalise(left)) == members(left)
    assert members(subtract(left, right)) == members(left) - members(right)
    assert members(intersect(left, right)) == members(left) & members(right)
    assert all(contains(normalise(left), n) == (n in members(left)) for n in range(62))


few = st.integers(0, 9)
"""So few that intervals touch, merge and split in nearly every example."""


@given(st.lists(st.tuples(st.booleans(), few), max_size=60), few, few)
def test_interval_set_is_a_set(changes, low, high):
    mine, reference = IntervalSet(), set()
    for add, value in changes:
        (mine.add if add else mine.discard)(value)
        (reference.add if add else reference.discard)(value)
    assert members(mine.intervals()) == reference
    assert mine.intervals() == normalise(mine.intervals())
    assert mine.first_absent(low, high) == next((n for n in range(low, high + 1) if n not in reference), None)


@given(st.integers(0, 32), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_reserved_addresses_are_never_usable(length, base, probe):
    network = IPv4Network((base, length), strict=False)
    prefix = Prefix(4, str(network))
    state = NetworkState("a/b")
    state.plan = (prefix,)
    lowest = next(state.never_used(4), None)
    if length <= 30:
        assert refusal_of((prefix,), str(network.network_address)) == "RequestedAddressReserved"
        assert refusal_of((prefix,), str(network.broadcast_address)) == "RequestedAddressReserved"
        assert lowest == int(network.network_address) + 2
    else:
        assert lowest == int(network.network_address)
    inside = IPv4Address(probe) in network
    assert (refusal_of((prefix,), str(IPv4Address(probe))) == "RequestedAddressOutsideNetwork") == (not inside)
