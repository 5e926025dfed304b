"""The audit of a ledger: its bytes read again, its chains recomputed, its promises checked.

The audit keeps books of its own (``audit_books``), apart from the fold that the services use, so that a mistake in one
does not hide in the other. It checks that

- every record is an entry of a known version under its network's key;
- each entry names the hash of the one before it, and no entry is missing or was changed;
- each chain has its remembered head, with the same bytes;
- a trusted key signed each entry, where trusted keys are given;
- an address has one holder, unless all of its holders are of one namespace, under one sharing key, with disjoint ports;
- an address is inside the network's prefixes when it is given out, and stays there until a forced change strands it;
- an address is released only after its release has begun, and no other Service gets it before;
- a quarantine is kept, or the entry says that it was cut short;
- the fold that the services use accepts the events too.

It warns where a remembered head is much older than the last entry. It warns where an entry was decided earlier than the
one before it: a clock was wrong, and quarantines and leases that were counted by it last longer than was configured, or
less long.

A changed byte in the last entry of a chain may still decode to an honest decision, and a chain whose last entries were
cut off is a chain. Only a head that was remembered elsewhere shows such a change: see ``heads``.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec

from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.ledger.audit_books import Books, Broken, Finding, broken_promises
from ledgerlb.core.ledger.chain import Head, damage_of, extends
from ledgerlb.core.ledger.damage import NO_OFFSET, Damage, DamageKind
from ledgerlb.core.ledger.entry import Entry, digest, parse_entry
from ledgerlb.core.ledger.events import DamageSetAside, SetAsideRecord
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.setaside import (
    AFTER_DAMAGE,
    NOTHING_ASIDE,
    counted_damage,
    repair_of,
    repairs_what_counted,
)
from ledgerlb.core.signatures import Headers
from ledgerlb.core.text import timestamp

__all__ = ["Audit", "AuditReport", "Finding", "NetworkHead", "report_as_json"]

MAX_FINDINGS: Final = 1000
"""Findings beyond this number are counted and not kept, so that a broken log cannot fill the memory."""

TIME_WENT_BACK: Final = "TimeWentBack"
"""The rule of a warning."""
SET_ASIDE: Final = "SetAside"
"""The rule of a note: damage that an operator ended."""
HEAD_OLDER: Final = "HeadOlder"
"""The rule of a warning."""
HEAD_AGE: Final = 60.0
"""Seconds between a remembered head and the last entry that need no warning: heads are kept a few seconds late."""
_CHAIN_BROKEN: Final = "ChainBroken"
_SHOWN_TWICE: Final = "ShownTwice"
_HEAD_UNREADABLE: Final = "HeadUnreadable"
_READERS_DISAGREE: Final = "ReadersDisagree"


@dataclass(frozen=True)
class NetworkHead:
    """The last entry of a network's chain. ``proven``: the last entry that a trusted signature covers, and with it all
    entries before; 0 where there is none, or no trusted keys were given.
    """

    network: str
    seq: int
    hash: str
    proven: int = 0


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit. ``remembered`` counts the heads that the ledger was compared with.

    ``rejected`` entries lost a race for the head of their chain: that is normal, and every reader skips them.
    ``undecodable`` counts records that are not entries; ``skipped`` entries come after a break of their chain.
    ``findings`` are kept up to a bound, ``problems`` counts all. ``warnings`` break no promise and have the same bound,
    and so does ``set_aside``: damage that an operator ended.
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
    set_aside: tuple[Finding, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every promise is kept."""
        return self.problems == 0


class Audit:
    """Give it every record of the ledger topic in order, then ask for the report. ``remembered`` are the heads that the
    ledger must have.
    """

    def __init__(self, remembered: RememberedHeads | None = None) -> None:
        self._remembered = remembered if remembered is not None else RememberedHeads()
        self._fold = LedgerFold(self._remembered)
        self._networks: dict[str, Books] = {}
        self._findings: dict[int, Finding] = {}
        self._numbers = count()
        self._warnings: list[Finding] = []
        self._set_aside: list[Finding] = []
        self._problems = self._records = self._accepted = self._rejected = self._undecodable = self._skipped = 0

    def take(self, key: str, value: bytes | None, offset: int = NO_OFFSET, headers: Headers = ()) -> None:
        """Check one record."""
        self._records += 1
        raw = value or b""
        found = parse_entry(key, value, offset)
        books = self._books(key)
        objection = self._objection(key, value, offset, headers)
        before = self._problems
        if isinstance(found, Damage):
            self._undecodable += 1
            self._damaged(found, raw)
        elif found.seq <= books.head.seq and repairs_what_counted(found, books.repaired):
            self._damaged(counted_damage(found, offset), raw)
        elif found.seq <= books.head.seq:
            self._check_rejected(books, found)
        elif books.damage and repair_of(books.head, found, books.aside) is None:
            self._skipped += 1
            self._put_aside(books, AFTER_DAMAGE, found.seq, raw, offset)
        elif not extends(books.head, found):
            self._skipped += 1
            self._damaged(damage_of(books.head, found, offset), raw)
        elif (mismatch := self._remembered.mismatch(key, Head(found.seq, digest(raw)), offset)) is not None:
            self._damaged(mismatch, raw)
        elif (unproven := self._unproven(books, found, raw, headers, offset)) is not None:
            self._damaged(unproven, raw)
        elif objection is not None:
            self._check_contradiction(books, found, raw, objection)
        else:
            self._check_accepted(books, found, digest(raw))
            self._check_signature(books, found, raw, headers)
        stopped = objection is not None or key in self._fold.damage
        if stopped != bool(books.damage) and self._problems == before:
            self._find(Finding(_READERS_DISAGREE, key, 0, "", f"{objection or 'the fold goes on'}; this is a bug"))
        books.known.add(digest(raw))

    def unreadable_head(self, problem: str) -> None:
        """Report a remembered head that cannot be read: it may have shown a change of the ledger."""
        self._find(Finding(_HEAD_UNREADABLE, "", 0, "", problem))

    def take_status(self, broken: Iterable[tuple[str, str]]) -> None:
        """Add what statuses show against the ledger, as (address, message) pairs."""
        for address, message in broken:
            self._find(Finding(_SHOWN_TWICE, "", 0, address, message))

    @property
    def ledger(self) -> LedgerFold:
        """The ledger as the services fold it."""
        return self._fold

    def report(self) -> AuditReport:
        """Summarise what was found. Call it once, at the end of the ledger."""
        for name in self._remembered.networks():
            books = self._networks.get(name, Books())
            cut_off = self._remembered.cut_off(name, books.head)
            if cut_off is not None and not books.damage:
                self._find(_finding_of(cut_off))
            self._check_age(name, books)
        heads = (
            NetworkHead(name, books.head.seq, books.head.digest, self._proven(name, books))
            for name, books in sorted(self._networks.items())
            if books.head.seq
        )
        return AuditReport(
            records=self._records,
            accepted=self._accepted,
            rejected=self._rejected,
            undecodable=self._undecodable,
            skipped=self._skipped,
            problems=self._problems,
            findings=tuple(self._findings.values()),
            heads=tuple(heads),
            warnings=tuple(self._warnings),
            remembered=len(self._remembered.networks()),
            set_aside=tuple(self._set_aside),
        )

    def _books(self, network: str) -> Books:
        return self._networks.setdefault(network, Books())

    def _objection(self, key: str, value: bytes | None, offset: int, headers: Headers) -> str | None:
        """Return why the fold that the services use stops at the record, None where it does not."""
        try:
            self._fold.take(key, value, offset, headers)
        except LedgerDamaged as error:
            return str(error)
        return None

    def _unproven(self, books: Books, entry: Entry, raw: bytes, headers: Headers, offset: int) -> Damage | None:
        ask = self._remembered.unsigned if books.damage else self._remembered.unproven
        return ask(entry.network, entry.seq, raw, headers, offset)

    def _check_signature(self, books: Books, entry: Entry, raw: bytes, headers: Headers) -> None:
        """Report an accepted entry with a wrong signature, or none, also where readers rely on a head after it."""
        if self._remembered.signatures is None:
            return
        unsigned = self._remembered.unsigned(entry.network, entry.seq, raw, headers)
        if unsigned is not None:
            self._find(_finding_of(unsigned))
        elif entry.seq >= self._remembered.signed_from.get(entry.network, 1):
            books.signed = entry.seq

    def _check_age(self, name: str, books: Books) -> None:
        """Warn of a remembered head that is much older than the last entry: an older one may have been put back."""
        head, noted = self._remembered.of(name), self._remembered.noted.get(name)
        if head is None or noted is None or books.decided_at is None or head.seq >= books.head.seq:
            return
        if (books.decided_at - noted).total_seconds() > HEAD_AGE and len(self._warnings) < MAX_FINDINGS:
            text = (
                f"is the remembered head of {timestamp(noted)}, but the ledger goes on to entry {books.head.seq} of "
                f"{timestamp(books.decided_at)}: heads were not kept since, or an older one was put back"
            )
            self._warnings.append(Finding(HEAD_OLDER, name, head.seq, "", text))

    def _proven(self, name: str, books: Books) -> int:
        """Return how far signatures reach: to the last signed entry, or to the signed head if that is higher."""
        head = self._remembered.of(name)
        if self._remembered.signatures is None or head is None or not books.head_met:
            return books.signed
        return max(books.signed, head.seq)

    def _find(self, finding: Finding) -> int:
        """Count a finding, keep it within the bound, and return its number."""
        self._problems += 1
        number = next(self._numbers)
        if len(self._findings) < MAX_FINDINGS:
            self._findings[number] = finding
        return number

    def _damaged(self, damage: Damage, raw: bytes) -> None:
        """Stop the network at the record, and the one that a misplaced entry is missing from."""
        self._stop(damage, raw, [_finding_of(damage)])
        if damage.named and damage.seq > self._books(damage.named).head.seq:
            missing = damage.in_named()
            self._stop(missing, raw, [_finding_of(missing)])

    def _stop(self, damage: Damage, raw: bytes, findings: list[Finding]) -> None:
        books = self._books(damage.network)
        books.damage = books.damage or f"{damage.place} {damage.message}"
        books.findings += map(self._find, findings)
        self._put_aside(books, damage.kind, damage.seq, raw, damage.offset)

    def _put_aside(self, books: Books, kind: str, seq: int, raw: bytes, offset: int) -> None:
        books.aside = books.aside.plus(SetAsideRecord(offset, kind, digest(raw), seq))

    def _check_contradiction(self, books: Books, entry: Entry, raw: bytes, objection: str) -> None:
        """Name the promises that an entry breaks which no reader applies; the books stay as they are."""
        broken = list(_broken_by(deepcopy(books), entry))
        findings = [Finding(rule, entry.network, entry.seq, address, message) for rule, address, message in broken]
        findings = findings or [Finding(DamageKind.CONTRADICTION.value, entry.network, entry.seq, "", objection)]
        self._stop(Damage(DamageKind.CONTRADICTION, entry.network, entry.seq, objection), raw, findings)

    def _check_accepted(self, books: Books, entry: Entry, entry_digest: str) -> None:
        self._accepted += 1
        if books.damage:
            self._take_back(books, entry)
        books.head = Head(entry.seq, entry_digest)
        books.head_met = books.head_met or self._remembered.of(entry.network) == books.head
        self._check_time(books, entry)
        for rule, address, message in _broken_by(books, entry):
            self._find(Finding(rule, entry.network, entry.seq, address, message))

    def _take_back(self, books: Books, entry: Entry) -> None:
        """Turn what was found about a network's damage into a note: an operator has set it aside."""
        event = entry.events[0]
        assert isinstance(event, DamageSetAside)
        self._problems -= len(books.findings)
        for number in books.findings:
            self._findings.pop(number, None)
        if len(self._set_aside) < MAX_FINDINGS:
            more = f" and {event.records - 1} records after it" if event.records > 1 else ""
            why = f" ({event.reason})" if event.reason else ""
            text = f"{event.by} set aside at {timestamp(entry.decided_at)}{why}: {books.damage}{more}"
            self._set_aside.append(Finding(SET_ASIDE, entry.network, entry.seq, "", text))
        books.damage, books.findings, books.aside = "", [], NOTHING_ASIDE
        books.repaired.add(entry.seq)

    def _check_time(self, books: Books, entry: Entry) -> None:
        before, books.decided_at = books.decided_at, entry.decided_at
        if before is not None and entry.decided_at < before and len(self._warnings) < MAX_FINDINGS:
            text = f"was decided at {timestamp(entry.decided_at)}, before entry {entry.seq - 1} ({timestamp(before)})"
            remedy = f"check the clocks of {entry.decider or 'the decider'} and of the decider before it"
            self._warnings.append(Finding(TIME_WENT_BACK, entry.network, entry.seq, "", f"{text}; {remedy}"))

    def _check_rejected(self, books: Books, entry: Entry) -> None:
        self._rejected += 1
        if entry.prev not in books.known:
            message = f"builds on an entry {entry.prev[:12]}… that is not in the log: one was changed or taken away"
            self._find(Finding(_CHAIN_BROKEN, entry.network, entry.seq, "", message))


def _finding_of(damage: Damage) -> Finding:
    rule = _CHAIN_BROKEN if damage.kind in {DamageKind.GAP, DamageKind.FORK} else damage.kind.value
    return Finding(rule, damage.network, damage.seq, "", f"{damage.place} {damage.message}")


def _broken_by(books: Books, entry: Entry) -> Broken:
    """Enter the events of an entry into the books; yield what they break."""
    for event in entry.events:
        yield from broken_promises(books, event, entry.decided_at)


def report_as_json(report: AuditReport) -> dict[str, object]:
    """Turn the report into plain JSON data."""
    data: dict[str, object] = msgspec.to_builtins(report)
    return {"clean": report.clean, **data}
