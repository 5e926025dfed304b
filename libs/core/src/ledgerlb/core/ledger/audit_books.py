"""The audit's own books of one network: who holds what, and which promises an event breaks.

They share nothing with the fold that the services use but the reading of prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ledgerlb.core.addresses import family_of
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.entry import GENESIS
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
from ledgerlb.core.ledger.plan import covers
from ledgerlb.core.ledger.setaside import NOTHING_ASIDE, SetAside


@dataclass(frozen=True)
class Finding:
    """One broken promise. ``rule`` is its CamelCase name; ``seq`` is the number of the entry (0: unreadable)."""

    rule: str
    network: str
    seq: int
    address: str
    message: str


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
class Books:
    """See module."""

    head: Head = field(default_factory=Head)
    damage: str = ""
    """What stopped the network, empty where nothing did: entries after that do not count, nor are they reported one by
    one."""
    findings: list[int] = field(default_factory=list)
    """The numbers of the findings about its damage; an entry that sets the damage aside takes them back."""
    aside: SetAside = NOTHING_ASIDE
    repaired: set[int] = field(default_factory=set)
    """The numbers of the entries that ended damage."""
    known: set[str] = field(default_factory=lambda: {GENESIS})
    """The hash of every record under the network's key: the loser of a race builds on one of them."""
    prefixes: tuple[Prefix, ...] = ()
    addresses: dict[str, _Address] = field(default_factory=dict)
    decided_at: datetime | None = None
    """When the last accepted entry was decided."""
    signed: int = 0
    """The last accepted entry with a signature that counts."""
    head_met: bool = False
    """Whether the remembered head is an accepted entry."""


Broken = Iterable[tuple[str, str, str]]
"""(rule, address, message) of each promise that an event breaks."""


def broken_promises(network: Books, event: Event, now: datetime) -> Broken:
    """Enter the event into the books, and yield the promises that it breaks."""
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


def _check_plan(network: Books, event: NetworkDefined) -> Broken:
    network.prefixes = event.prefixes
    families = {prefix.family for prefix in event.prefixes}
    for address, state in network.addresses.items():
        # A network may lose a whole family: its holders move. Within a family, no holder is cut off in silence.
        if state.holders and family_of(address) in families and not _inside(network, address):
            held_by = ", ".join(state.holders)
            if address not in event.stranded and not all(name in event.stranded for name in state.holders):
                yield "OutsidePrefix", address, f"the new prefixes cut off {held_by}, and the entry does not say so"


def _check_allocation(network: Books, event: AddressAllocated | AddressAdopted, now: datetime) -> Broken:
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


def _check_change(network: Books, event: HoldingChanged) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if event.service not in state.holders:
        yield "NotTheHolder", event.address, f"a holding of {event.service} changes, which does not hold it"
    mine = _Holder(event.uid, event.sharing_key, event.ports)
    yield from _clashes(state, event.address, event.service, mine)
    state.holders[event.service] = mine


def _check_left(network: Books, event: HolderLeft) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if state.holders.pop(event.service, None) is None:
        yield "NotTheHolder", event.address, f"{event.service} leaves it without holding it"
    elif not state.holders:
        yield "ReleasedTooEarly", event.address, f"{event.service} was its last holder: it must be released, not left"


def _check_releasing(network: Books, event: AddressReleasing) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if event.service not in state.holders:
        yield "NotTheHolder", event.address, f"its release begins for {event.service}, which does not hold it"
    others = [name for name in state.holders if name != event.service]
    if others:
        yield "ReleasedTooEarly", event.address, f"its release begins while {', '.join(others)} still hold it"
    state.releasing = event.service


def _check_cancelled(network: Books, event: ReleaseCancelled) -> Broken:
    state = network.addresses.setdefault(event.address, _Address())
    if state.releasing != event.service:
        yield "NotTheHolder", event.address, f"a release for {event.service} is cancelled that had not begun"
    state.releasing = ""
    state.holders = {event.service: _Holder(event.uid, event.sharing_key, event.ports)}


def _check_released(network: Books, event: AddressReleased) -> Broken:
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


def _inside(network: Books, text: str) -> bool:
    try:
        return covers(network.prefixes, text)
    except ValueError:
        return False
