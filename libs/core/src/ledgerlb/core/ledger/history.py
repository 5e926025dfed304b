"""The history of one address: who held it, from when until when, why, and who asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ledgerlb.core.ledger.entry import Cause, Entry
from ledgerlb.core.ledger.events import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AddressReleasing,
    Event,
    HolderLeft,
    HoldingChanged,
    LeaseEnded,
    QuarantineEnded,
    ReleaseCancelled,
)


@dataclass(frozen=True)
class Step:
    """One change of a holding after it began.

    ``what`` is the event's name; ``seq`` and ``hash`` name its entry; ``why`` gives the reason, or the agents that
    confirmed.
    """

    at: datetime
    what: str
    seq: int
    hash: str
    why: str = ""


@dataclass
class Tenure:
    """One Service's time with the address.

    ``state`` is ``held``, ``releasing`` or ``released``; ``until`` is None before it is released. ``seq`` and ``hash``
    name the entry that gave the address; ``requester``, ``rung``, ``cause`` and ``explanation`` come from that entry.
    """

    address: str
    network: str
    service: str
    uid: str
    since: datetime
    until: datetime | None
    state: str
    choice: str
    requester: str
    rung: str
    cause: str
    explanation: str
    decider: str
    seq: int
    hash: str
    steps: list[Step] = field(default_factory=list)

    def covers(self, moment: datetime) -> bool:
        """Whether the Service held the address at that moment."""
        return self.since <= moment and (self.until is None or moment < self.until)


def history(address: str, entries: Iterable[tuple[Entry, str]]) -> list[Tenure]:
    """List every tenure of the address (canonical text), oldest first.

    ``entries`` are the accepted ones with their hashes, in log order.
    """
    tenures: list[Tenure] = []
    for entry, entry_hash in entries:
        for event in entry.events:
            if getattr(event, "address", None) == address:
                _apply(tenures, entry, entry_hash, event)
    return tenures


def _apply(tenures: list[Tenure], entry: Entry, entry_hash: str, event: Event) -> None:
    if isinstance(event, AddressAllocated | AddressAdopted):
        tenures.append(_begin(entry, entry_hash, event))
        return
    tenure = _latest(tenures, entry.network, getattr(event, "service", ""))
    if tenure is None:
        return
    why = ""
    match event:
        case HoldingChanged() | ReleaseCancelled():
            tenure.uid, tenure.state = event.uid, "held"
        case HolderLeft():
            why = event.why
            tenure.until, tenure.state = entry.decided_at, "released"
        case AddressReleasing():
            why = event.why
            tenure.state = "releasing"
        case AddressReleased():
            why = _confirmation(event)
            tenure.until, tenure.state = entry.decided_at, "released"
        case QuarantineEnded() | LeaseEnded():
            pass
        case _:
            return
    tenure.steps.append(Step(at=entry.decided_at, what=type(event).__name__, seq=entry.seq, hash=entry_hash, why=why))


def _begin(entry: Entry, entry_hash: str, event: AddressAllocated | AddressAdopted) -> Tenure:
    cause = _cause(entry, event.service)
    return Tenure(
        address=event.address,
        network=entry.network,
        service=event.service,
        uid=event.uid,
        since=entry.decided_at,
        until=None,
        state="held",
        choice=event.choice if isinstance(event, AddressAllocated) else "adopted",
        requester=cause.requester if cause is not None else "",
        rung=cause.rung if cause is not None else "",
        cause=_cause_text(cause),
        explanation=cause.explanation if cause is not None else "",
        decider=entry.decider,
        seq=entry.seq,
        hash=entry_hash,
    )


def _cause(entry: Entry, service: str) -> Cause | None:
    """The Service's cause in an entry, else its first one."""
    return next((cause for cause in entry.cause if cause.service == service), next(iter(entry.cause), None))


def _cause_text(cause: Cause | None) -> str:
    if cause is None:
        return "unknown"
    return f"{cause.intent}@{cause.revision}" if cause.revision else cause.intent


def _latest(tenures: list[Tenure], network: str, service: str) -> Tenure | None:
    """Find the last tenure in the network: of that Service where one is named, else the one that ended last (of
    sharers, that is not the one that began last).
    """
    there = [tenure for tenure in tenures if tenure.network == network]
    if service:
        return next((tenure for tenure in reversed(there) if tenure.service == service), None)
    ended = [tenure for tenure in there if tenure.until is not None]
    return max(ended, key=lambda tenure: tenure.steps[-1].seq, default=None)


def _confirmation(event: AddressReleased) -> str:
    parts = []
    if event.confirmed:
        parts.append(f"withdrawal confirmed by {', '.join(event.confirmed)}")
    if event.dead:
        parts.append(f"declared dead: {', '.join(event.dead)}")
    return "; ".join(parts)
