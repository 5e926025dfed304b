"""The audit of a ledger: its bytes read again, its chains recomputed, its promises checked.

The audit keeps books of its own, apart from the fold that the services use, so that a mistake in one does not hide in
the other. It checks that

- every record is an entry of a known version under its network's key;
- each entry names the hash of the one before it, and no entry is missing or was changed;
- each chain has its remembered head, with the same bytes;
- an address has one holder, unless all of its holders are of one namespace, under one sharing key, with disjoint ports;
- an address is inside the network's prefixes when it is given out, and stays there until a forced change strands it;
- an address is released only after its release has begun, and no other Service gets it before;
- a quarantine is kept, or the entry says that it was cut short;
- the fold that the services use accepts the events too.

It warns where an entry was decided earlier than the one before it: a clock was wrong, and quarantines and leases that
were counted by it last longer than was configured, or less long.

A changed byte in the last entry of a chain may still decode to an honest decision, and a chain whose last entries were
cut off is a chain. Only a head that was remembered elsewhere shows such a change: see ``heads``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from ledgerlb.core.addresses import family_of
from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.ledger.chain import Head, damage_of, extends
from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.entry import GENESIS, Entry, digest, parse_entry
from ledgerlb.core.ledger.events import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AddressReleasing,
    Event,
    HolderLeft,
    HoldingChanged,
    NetworkDefined,
    Ports,
    Prefix,
    QuarantineEnded,
    ReleaseCancelled,
)
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.plan import covers
from ledgerlb.core.text import timestamp

MAX_FINDINGS: Final = 1000
"""Findings beyond this number are counted and not kept, so that a broken log cannot fill the memory."""

TIME_WENT_BACK: Final = "TimeWentBack"
"""The rule of a warning."""
_CHAIN_BROKEN: Final = "ChainBroken"
_HEAD_UNREADABLE: Final = "HeadUnreadable"


@dataclass(frozen=True)
class Finding:
    """One broken promise. ``rule`` is its CamelCase name; ``seq`` is the number of the entry (0: unreadable)."""

    rule: str
    network: str
    seq: int
    address: str
    message: str


@dataclass(frozen=True)
class NetworkHead:
    """The last entry of a network's chain."""

    network: str
    seq: int
    hash: str


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit. ``remembered`` counts the heads that the ledger was compared with.

    ``rejected`` entries lost a race for the head of their chain: that is normal, and every reader skips them.
    ``undecodable`` counts records that are not entries; ``skipped`` entries come after a break of their chain.
    ``findings`` are kept up to a bound, ``problems`` counts all. ``warnings`` break no promise and have the same bound.
    """

    records: int
    accepted: int
    rejected: int
    undecodable: int
    skipped: int
    problems: int
    findings: tuple[Finding, ...]
    heads: tuple[NetworkHead, ...]
    warnings: tuple[Finding, ...] = ()
    remembered: int = 0

    @property
    def clean(self) -> bool:
        """Whether every promise is kept."""
        return self.problems == 0


@dataclass
class _Holder:
    uid: str
    sharing_key: str
    ports: Ports


@dataclass
class _Address:
    """The books of one address: its holders by Service, and the Service that is releasing it.

    The quarantine does not bind ``former``.
    """

    holders: dict[str, _Holder] = field(default_factory=dict)
    releasing: str = ""
    quarantine_until: datetime | None = None
    former: str = ""


@dataclass
class _Network:
    head: Head = field(default_factory=Head)
    broken: bool = False
    """Whether the chain broke: entries after that are counted, and not reported one by one."""
    known: set[str] = field(default_factory=lambda: {GENESIS})
    """The hash of every record under the network's key: the loser of a race builds on one of them."""
    prefixes: tuple[Prefix, ...] = ()
    addresses: dict[str, _Address] = field(default_factory=dict)
    decided_at: datetime | None = None
    """When the last accepted entry was decided."""


class Audit:
    """Give it every record of the ledger topic in order, then ask for the report. ``remembered`` are the heads that the
    ledger must have.
    """

    def __init__(self, remembered: RememberedHeads | None = None) -> None:
        self._remembered = remembered if remembered is not None else RememberedHeads()
        self._fold = LedgerFold(self._remembered)
        self._networks: dict[str, _Network] = {}
        self._findings: list[Finding] = []
        self._warnings: list[Finding] = []
        self._problems = self._records = self._accepted = self._rejected = self._undecodable = self._skipped = 0

    def take(self, key: str, value: bytes | None, offset: int = NO_OFFSET) -> None:
        """Check one record."""
        self._records += 1
        before = self._problems
        raw = value or b""
        found = parse_entry(key, value, offset)
        network = self._networks.setdefault(key, _Network())
        if isinstance(found, Damage):
            self._undecodable += 1
            self._damaged(found)
        elif extends(network.head, found):
            self._check_accepted(network, found, digest(raw))
        elif found.seq <= network.head.seq:
            self._check_rejected(network, found)
        elif network.broken:
            self._skipped += 1
        else:
            self._skipped += 1
            network.broken = True
            self._damaged(damage_of(network.head, found, offset))
        self._compare_with_fold(key, value, offset, found=self._problems > before)
        network.known.add(digest(raw))

    def unreadable_head(self, problem: str) -> None:
        """Report a remembered head that cannot be read: it may have shown a change of the ledger."""
        self._find(_HEAD_UNREADABLE, "", 0, "", problem)

    def report(self) -> AuditReport:
        """Summarise what was found. Call it once, at the end of the ledger."""
        for name in self._remembered.networks():
            network = self._networks.get(name, _Network())
            cut_off = self._remembered.cut_off(name, network.head)
            if cut_off is not None and not network.broken:
                self._damaged(cut_off)
        heads = (
            NetworkHead(name, state.head.seq, state.head.digest)
            for name, state in sorted(self._networks.items())
            if state.head.seq
        )
        return AuditReport(
            records=self._records,
            accepted=self._accepted,
            rejected=self._rejected,
            undecodable=self._undecodable,
            skipped=self._skipped,
            problems=self._problems,
            findings=tuple(self._findings),
            heads=tuple(heads),
            warnings=tuple(self._warnings),
            remembered=len(self._remembered.networks()),
        )

    def _find(self, rule: str, network: str, seq: int, address: str, message: str) -> None:
        self._problems += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(rule, network, seq, address, message))

    def _damaged(self, damage: Damage) -> None:
        rule = _CHAIN_BROKEN if damage.kind in {DamageKind.GAP, DamageKind.FORK} else damage.kind.value
        self._find(rule, damage.network, damage.seq, "", f"{damage.place} {damage.message}")

    def _check_accepted(self, network: _Network, entry: Entry, entry_digest: str) -> None:
        self._accepted += 1
        network.head = Head(entry.seq, entry_digest)
        if (mismatch := self._remembered.mismatch(entry.network, network.head)) is not None:
            self._damaged(mismatch)
        self._check_time(network, entry)
        for event in entry.events:
            for rule, address, message in _check_event(network, event, entry.decided_at):
                self._find(rule, entry.network, entry.seq, address, message)

    def _check_time(self, network: _Network, entry: Entry) -> None:
        before, network.decided_at = network.decided_at, entry.decided_at
        if before is not None and entry.decided_at < before and len(self._warnings) < MAX_FINDINGS:
            text = f"was decided at {timestamp(entry.decided_at)}, before entry {entry.seq - 1} ({timestamp(before)})"
            remedy = f"check the clocks of {entry.decider or 'the decider'} and of the decider before it"
            self._warnings.append(Finding(TIME_WENT_BACK, entry.network, entry.seq, "", f"{text}; {remedy}"))

    def _check_rejected(self, network: _Network, entry: Entry) -> None:
        self._rejected += 1
        if entry.prev not in network.known:
            message = f"builds on an entry {entry.prev[:12]}… that is not in the log: one was changed or taken away"
            self._find(_CHAIN_BROKEN, entry.network, entry.seq, "", message)

    def _compare_with_fold(self, key: str, value: bytes | None, offset: int, *, found: bool) -> None:
        """Report what only the fold objects to; ``found``: the audit itself objects to this record already."""
        try:
            self._fold.take(key, value, offset)
        except LedgerDamaged as error:
            if not found:
                self._find(DamageKind.CONTRADICTION.value, key, self._fold.damage[key].seq, "", str(error))


Broken = Iterable[tuple[str, str, str]]
"""(rule, address, message) of each promise that an event breaks."""


def _check_event(network: _Network, event: Event, now: datetime) -> Broken:
    match event:
        case NetworkDefined():
            yield from _check_plan(network, event)
        case AddressAllocated() | AddressAdopted():
            yield from _check_allocation(network, event, now)
        case HoldingChanged():
            yield from _check_change(network, event)
        case HolderLeft():
            yield from _check_left(network, event)
        case AddressReleasing():
            yield from _check_releasing(network, event)
        case ReleaseCancelled():
            yield from _check_cancelled(network, event)
        case AddressReleased():
            yield from _check_released(network, event)
        case QuarantineEnded():
            network.addresses.setdefault(event.address, _Address()).quarantine_until = None
        case _:
            return


def _check_plan(network: _Network, event: NetworkDefined) -> Broken:
    network.prefixes = event.prefixes
    families = {prefix.family for prefix in event.prefixes}
    for address, state in network.addresses.items():
        # A network may lose a whole family: its holders move. Within a family, no holder is cut off in silence.
        if state.holders and family_of(address) in families and not _inside(network, address):
            held_by = ", ".join(state.holders)
            if address not in event.stranded and not all(name in event.stranded for name in state.holders):
                yield "OutsidePrefix", address, f"the new prefixes cut off {held_by}, and the entry does not say so"


def _check_allocation(network: _Network, event: AddressAllocated | AddressAdopted, now: datetime) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if not _inside(network, event.address):
        plan = ", ".join(prefix.prefix for prefix in network.prefixes) or "no prefix at all"
        yield "OutsidePrefix", event.address, f"given to {event.service} while the network had {plan}"
    if state.releasing:
        yield "GivenWhileReleasing", event.address, f"given to {event.service} before {state.releasing} had released it"
    mine = _Holder(event.uid, event.sharing_key, event.ports)
    yield from _clashes(state, event.address, event.service, mine)
    cut = isinstance(event, AddressAllocated) and event.choice == "quarantine-cut"
    if state.quarantine_until and now < state.quarantine_until and event.service != state.former and not cut:
        yield (
            "QuarantineIgnored",
            event.address,
            f"given to {event.service} before {state.quarantine_until.isoformat()}",
        )
    state.quarantine_until = None
    state.holders[event.service] = mine


def _check_change(network: _Network, event: HoldingChanged) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if event.service not in state.holders:
        yield "NotTheHolder", event.address, f"a holding of {event.service} changes, which does not hold it"
    mine = _Holder(event.uid, event.sharing_key, event.ports)
    yield from _clashes(state, event.address, event.service, mine)
    state.holders[event.service] = mine


def _check_left(network: _Network, event: HolderLeft) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if state.holders.pop(event.service, None) is None:
        yield "NotTheHolder", event.address, f"{event.service} leaves it without holding it"
    elif not state.holders:
        yield "ReleasedTooEarly", event.address, f"{event.service} was its last holder: it must be released, not left"


def _check_releasing(network: _Network, event: AddressReleasing) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if event.service not in state.holders:
        yield "NotTheHolder", event.address, f"its release begins for {event.service}, which does not hold it"
    others = [name for name in state.holders if name != event.service]
    if others:
        yield "ReleasedTooEarly", event.address, f"its release begins while {', '.join(others)} still hold it"
    state.releasing = event.service


def _check_cancelled(network: _Network, event: ReleaseCancelled) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if state.releasing != event.service:
        yield "NotTheHolder", event.address, f"a release for {event.service} is cancelled that had not begun"
    state.releasing = ""
    state.holders = {event.service: _Holder(event.uid, event.sharing_key, event.ports)}


def _check_released(network: _Network, event: AddressReleased) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if state.releasing != event.service:
        yield "ReleasedTooEarly", event.address, f"released from {event.service} before its withdrawal had begun"
    state.holders.clear()
    state.releasing = ""
    state.former = event.service
    state.quarantine_until = event.quarantine_until


def _clashes(state: _Address, address: str, service: str, mine: _Holder) -> Broken:
    """Other holders of the address must share it: same namespace, same key, other ports."""
    for name, other in state.holders.items():
        if name == service:
            continue
        if not mine.sharing_key or mine.sharing_key != other.sharing_key or _namespace(name) != _namespace(service):
            yield "TwoHolders", address, f"held by {name} and by {service}, which do not share it"
        elif clash := sorted(set(mine.ports) & set(other.ports)):
            text = ", ".join(f"{protocol} {port}" for protocol, port in clash)
            yield "TwoHolders", address, f"held by {name} and by {service} for the same {text}"


def _namespace(service: str) -> str:
    return service.partition("/")[0]


def _inside(network: _Network, text: str) -> bool:
    try:
        return covers(network.prefixes, text)
    except ValueError:
        return False


def report_as_json(report: AuditReport) -> dict[str, object]:
    """Turn the report into plain JSON data."""
    data: dict[str, object] = msgspec.to_builtins(report)
    return {"clean": report.clean, **data}
