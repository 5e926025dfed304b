"""The audit of a ledger: its bytes read again, its chains recomputed, its promises checked.

The audit keeps its own books, apart from the fold that the services use, so that a mistake in one does not hide in the
other. The fold only says which entries count. What is checked of those:

- each names the hash of the one before it, and nothing that a later entry builds on has been changed or taken away;
- an address has one holder, unless all of its holders are of one namespace, under one sharing key, with disjoint ports;
- an address lies inside the network's prefixes at the time when it is given out, and stays there until a forced change
  strands it;
- an address is released only after its release has begun, and nobody else gets it before;
- quarantine is kept, or the entry says that it was cut short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from ledgerlb.core.addresses import family_of
from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.entry import GENESIS, Entry, digest
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
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.plan import covers

MAX_FINDINGS: Final = 1000
"""More than this are counted, not kept: a broken chain must not fill the memory."""

NO_SEQ: Final = 0


@dataclass(frozen=True)
class Finding:
    """One broken promise. ``rule`` is a CamelCase word; ``seq`` is the entry (0 where none can be named)."""

    rule: str
    network: str
    seq: int
    address: str
    message: str


@dataclass(frozen=True)
class Head:
    """Where a network's chain ends."""

    network: str
    seq: int
    hash: str


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    ``rejected`` entries lost a race for the head of their chain: they are harmless, and every reader skips them.
    ``undecodable`` records are no entries at all. ``findings`` are kept up to a bound, ``problems`` counts all.
    """

    records: int
    accepted: int
    rejected: int
    undecodable: int
    problems: int
    findings: tuple[Finding, ...]
    heads: tuple[Head, ...]

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
    """What the books say about one address: holders by Service, and the Service it is being released from.

    ``former`` is whom the quarantine does not bind.
    """

    holders: dict[str, _Holder] = field(default_factory=dict)
    releasing: str = ""
    quarantine_until: datetime | None = None
    former: str = ""


@dataclass
class _Network:
    seq: int = 0
    head: str = GENESIS
    known: set[str] = field(default_factory=lambda: {GENESIS})
    """The hash of every record seen here: a rejected entry that builds on one of them merely lost a race."""
    prefixes: tuple[Prefix, ...] = ()
    contradictions: int = 0
    addresses: dict[str, _Address] = field(default_factory=dict)


class Audit:
    """Take every record of the ledger topic in order, then ask for the report."""

    def __init__(self) -> None:
        self._fold = LedgerFold()
        self._networks: dict[str, _Network] = {}
        self._findings: list[Finding] = []
        self._problems = self._records = self._accepted = self._rejected = self._undecodable = 0

    def take(self, key: str, value: bytes | None) -> None:
        """Check one record."""
        self._records += 1
        network = self._networks.setdefault(key, _Network())
        raw = value or b""
        try:
            outcome = self._fold.take(key, raw)
        except UndecodableRecord:
            self._undecodable += 1
            network.known.add(digest(raw))
            return
        if isinstance(outcome, Accepted):
            self._check_accepted(key, network, outcome.entry, raw)
        else:
            self._check_rejected(key, network, outcome.entry)
        network.known.add(digest(raw))

    def report(self) -> AuditReport:
        """Say what was found so far."""
        heads = (Head(name, state.seq, state.head) for name, state in sorted(self._networks.items()) if state.seq)
        return AuditReport(
            records=self._records,
            accepted=self._accepted,
            rejected=self._rejected,
            undecodable=self._undecodable,
            problems=self._problems,
            findings=tuple(self._findings),
            heads=tuple(heads),
        )

    def _find(self, rule: str, network: str, seq: int, address: str, message: str) -> None:
        self._problems += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(rule, network, seq, address, message))

    def _check_accepted(self, key: str, network: _Network, entry: Entry, raw: bytes) -> None:
        self._accepted += 1
        if entry.seq != network.seq + 1 or entry.prev != network.head:
            self._find(
                "ChainBroken",
                key,
                entry.seq,
                "",
                f"counts as entry {entry.seq} but does not extend entry {network.seq}",
            )
        network.seq, network.head = entry.seq, digest(raw)
        before = self._problems
        for event in entry.events:
            for rule, address, message in _check_event(network, event, entry.decided_at):
                self._find(rule, key, entry.seq, address, message)
        contradictions = self._fold.networks[key].contradictions
        if contradictions > network.contradictions and self._problems == before:
            self._find("Contradiction", key, entry.seq, "", "an event of this entry contradicts what stood before it")
        network.contradictions = contradictions

    def _check_rejected(self, key: str, network: _Network, entry: Entry) -> None:
        self._rejected += 1
        if entry.prev not in network.known:
            self._find(
                "ChainBroken",
                key,
                entry.seq,
                "",
                f"builds on an entry {entry.prev[:12]}… that is not in the log: one was changed or taken away",
            )


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
        # A network may lose a whole family: its holders move. Within a family, nobody is cut off in silence.
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
        yield "GivenWhileReleasing", event.address, f"given to {event.service} before {state.releasing} had let go"
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
    """Whoever else holds the address must share it: same namespace, same key, other ports."""
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
