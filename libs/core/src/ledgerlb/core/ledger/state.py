"""The state of one network's chain: what every accepted entry so far adds up to.

The records by address are the truth. Every index beside them (by Service, by key, free lists, timers) is derived in
``put``, the only method that changes a record. Between ``begin`` and ``commit`` or ``rollback`` every change goes to a
journal: the fold applies an entry whole or not at all, and a decision sees the effect of its own earlier events
(``speculate``) without changing the state.

Readers use the attributes and lookups; only the fold and ``evolve`` call the methods that change the state.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal

from ledgerlb.core.addresses import Family
from ledgerlb.core.index import SmallGroups
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import Damage
from ledgerlb.core.ledger.events import Prefix
from ledgerlb.core.ledger.intervals import Interval, IntervalSet, contains
from ledgerlb.core.ledger.plan import common, size_of, span_of, usable_of
from ledgerlb.core.ledger.records import AddressRecord, Holder, Holding, Refusal

_Order = tuple[int, int, str]
"""(released_seq, value, address): how free addresses are ordered, longest free first, then the lowest."""
FreeStatus = Literal["quarantined", "leased", "idle"]
FREE_STATUSES: Final[tuple[FreeStatus, ...]] = ("idle", "leased", "quarantined")
_HOLDING = ("held", "releasing")


class NetworkState:
    """See module."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.head = Head()
        self.decided_at: datetime | None = None
        """When the head was decided."""
        self.plan: tuple[Prefix, ...] = ()
        self.gone = False
        self.since: Mapping[Family, int] = {}
        """The entry since which the network has had each family of its plan without a break."""
        self.change_refused: ev.PrefixChangeRefused | None = None
        self.damage: Damage | None = None
        """Why nothing may be decided any more: see ``damage``. The state is that of the last good entry."""
        self.revisions: dict[str, int] = {}
        self.offer_revision = 0
        """The highest revision of an offer that an entry of this network followed."""
        self.refusals: dict[str, Refusal] = {}
        self.unadopted: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By Service: its uid, and the addresses of its status that were not adopted."""
        self.records: dict[str, AddressRecord] = {}
        self._journal: list[tuple[str, str, object]] | None = None
        self._spans: dict[Family, tuple[Interval, ...]] = {}
        self._spans_of: tuple[Prefix, ...] = ()
        self._assignable: dict[Family, tuple[Interval, ...]] = {}
        self._assignable_by: tuple[object, object] | None = None
        self._open: dict[Family, int] = {}
        """How many of the assignable intervals, from the lowest on, were found to be used up."""
        self._by_service: SmallGroups[str, str] = SmallGroups()
        self._former: SmallGroups[str, str] = SmallGroups()
        self._shared: SmallGroups[tuple[str, str], str] = SmallGroups()
        self._per_namespace: Counter[str] = Counter()
        self._used: dict[Family, IntervalSet] = {4: IntervalSet(), 6: IntervalSet()}
        self._free: dict[tuple[Family, FreeStatus], list[_Order]] = {
            (family, status): [] for family in (4, 6) for status in ("quarantined", "leased", "idle")
        }
        self._due: list[tuple[datetime, str]] = []
        self._releasing: dict[str, None] = {}
        self._holding_count = 0

    # -- what readers ask ------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """How long the chain is."""
        return self.head.seq

    def size(self) -> int:
        """How many addresses the network can give out, over both families."""
        return size_of(self.plan)

    def allocated(self) -> int:
        """How many addresses are held or releasing."""
        return self._holding_count

    def quarantined(self) -> int:
        """How many addresses are in quarantine."""
        return len(self._free[4, "quarantined"]) + len(self._free[6, "quarantined"])

    def leased(self) -> int:
        """How many free addresses are softly reserved for their former holder."""
        return len(self._free[4, "leased"]) + len(self._free[6, "leased"])

    def families(self) -> tuple[Family, ...]:
        """The families of the address plan, in its order."""
        return tuple(dict.fromkeys(prefix.family for prefix in self.plan))

    def assignable(self, family: Family) -> tuple[Interval, ...]:
        """What newcomers may get: the plan, or what it has in common with a change that was refused."""
        plan, refused = self.plan, self.change_refused
        if self._assignable_by is None or self._assignable_by[0] is not plan or self._assignable_by[1] is not refused:
            self._assignable = {
                one: usable_of(plan, one) if refused is None else common(plan, refused.prefixes, one) for one in (4, 6)
            }
            self._assignable_by = (plan, refused)
            self._open.clear()
        return self._assignable[family]

    def is_full(self, family: Family, *, strict: bool = False) -> bool:
        """Return whether the network has no address of the family left for a newcomer. Unless the quarantine is
        ``strict``, an address in quarantine is left.
        """
        assignable = self.assignable(family)
        return next(self.never_used(family), None) is None and not any(
            contains(assignable, record.value)
            for status in FREE_STATUSES[: 2 if strict else 3]
            for record in self.free(family, status)
        )

    def covers(self, family: Family, value: int) -> bool:
        """Return whether the plan's prefixes and ranges contain the address, reserved or not."""
        if self._spans_of is not self.plan:
            self._spans = {one: span_of(self.plan, one) for one in (4, 6)}
            self._spans_of = self.plan
        return contains(self._spans[family], value) if self._spans else False

    def predates_network(self, record: AddressRecord) -> bool:
        """Return whether the network, or its prefix of the family, went and came back without the address since it
        was given out. Such holders move; those that an edit of the prefix cut off keep their address.
        """
        since = self.since.get(record.family, 0)
        old = any(holder.seq < since for holder in record.holders)
        return old and not self.covers(record.family, record.value)

    def held_by(self, service: str) -> tuple[AddressRecord, ...]:
        """The records that the Service holds or is leaving, in the order in which it got them."""
        found = [self.records[address] for address in self._by_service.of(service)]
        # The index alone does not tell: whatever happens to a record puts it last there.
        return tuple(sorted(found, key=lambda record: _given_at(record, service)))

    def formerly_of(self, service: str) -> tuple[AddressRecord, ...]:
        """Unheld addresses within the Service's lease window, the latest released first."""
        found = [self.records[address] for address in self._former.of(service)]
        return tuple(sorted(found, key=lambda record: (-record.released_seq, record.address)))

    def shared_under(self, namespace: str, key: str) -> tuple[AddressRecord, ...]:
        """Held addresses of the namespace under the sharing key, by address."""
        found = [self.records[address] for address in self._shared.of((namespace, key))]
        return tuple(sorted(found, key=lambda record: (record.family, record.value)))

    def namespace_count(self, namespace: str) -> int:
        """How many addresses the namespace holds (shared ones once)."""
        return self._per_namespace[namespace]

    def never_used(self, family: Family) -> Iterator[int]:
        """Assignable addresses that no record exists for, the lowest first, each found when it is asked for."""
        used, intervals = self._used[family], self.assignable(family)
        full = True
        for at in range(self._open.get(family, 0), len(intervals)):
            low, high = intervals[at]
            found = used.first_absent(low, high)
            full = full and found is None
            if full:
                self._open[family] = at + 1
            while found is not None:
                yield found
                found = used.first_absent(found + 1, high) if found < high else None

    def free(self, family: Family, status: FreeStatus) -> Iterator[AddressRecord]:
        """Free addresses of a status, longest free first."""
        for _, _, address in self._free[family, status]:
            yield self.records[address]

    def releasing(self) -> tuple[AddressRecord, ...]:
        """Addresses whose withdrawal is awaited, by address."""
        found = [self.records[address] for address in self._releasing]
        return tuple(sorted(found, key=lambda record: (record.family, record.value)))

    def due(self, now: datetime) -> tuple[AddressRecord, ...]:
        """Records whose quarantine or lease has run out at ``now``, earliest first."""
        addresses = dict.fromkeys(address for until, address in self._due if until <= now)
        return tuple(self.records[address] for address in addresses)

    def next_due(self) -> datetime | None:
        """When the next quarantine or lease runs out."""
        return self._due[0][0] if self._due else None

    def holdings(self) -> Iterator[Holding]:
        """Every Service's hold on every address, in the order in which addresses were first used."""
        for record in self.records.values():
            for holder in record.holders:
                yield self._holding(record, holder)

    def holdings_of(self, service: str) -> tuple[Holding, ...]:
        """The Service's holdings here, in the order in which it got them."""
        return tuple(
            self._holding(record, holder)
            for record in self.held_by(service)
            for holder in record.holders
            if holder.service == service
        )

    def holdings_at(self, address: str) -> tuple[Holding, ...]:
        """Everyone on the address."""
        record = self.records.get(address)
        return tuple(self._holding(record, holder) for holder in record.holders) if record else ()

    def _holding(self, record: AddressRecord, holder: Holder) -> Holding:
        return Holding(
            network=self.network,
            address=record.address,
            family=record.family,
            service=holder.service,
            uid=holder.uid,
            state="held" if record.status == "held" else "releasing",
            since=holder.since,
            seq=holder.seq,
            release_seq=record.release_seq,
            release_at=record.release_at,
            sharing_key=record.sharing_key,
            ports=holder.ports,
            basis=holder.basis,
            choice=holder.choice,
            address_since=record.since or holder.since,
            stranded=not self.covers(record.family, record.value),
        )

    # -- changing it -----------------------------------------------------------------------------------------------

    def advance(self, head: Head, decided_at: datetime) -> None:
        """Move the head of the chain to an entry, after its events were evolved."""
        self.head = head
        self.decided_at = decided_at

    def begin(self) -> None:
        """Record every change from here on, so that it can be undone."""
        assert self._journal is None, "transactions do not nest"
        self._journal = []

    def commit(self) -> None:
        """Keep what changed since ``begin``."""
        self._journal = None

    def rollback(self) -> None:
        """Undo everything that changed since ``begin``."""
        journal, self._journal = self._journal, None
        for kind, key, old in reversed(journal or ()):
            self._restore(kind, key, old)

    @contextmanager
    def speculate(self) -> Iterator[None]:
        """Undo, on leaving, everything that changed inside."""
        self.begin()
        try:
            yield
        finally:
            self.rollback()

    def _restore(self, kind: str, key: str, old: object) -> None:
        match kind:
            case "record":
                assert old is None or isinstance(old, AddressRecord)
                self.put(key, old)
            case "refusal":
                assert old is None or isinstance(old, Refusal)
                self.refuse(key, old)
            case "unadopted":
                self._put_unadopted(key, old)
            case _:
                setattr(self, kind, old)

    def assign(self, name: Literal["plan", "gone", "since", "change_refused"], value: object) -> None:
        """Replace one of the plain attributes."""
        if self._journal is not None:
            self._journal.append((name, "", getattr(self, name)))
        setattr(self, name, value)

    def refuse(self, service: str, refusal: Refusal | None) -> None:
        """Replace (None: clear) the Service's last refusal."""
        if self._journal is not None:
            self._journal.append(("refusal", service, self.refusals.get(service)))
        if refusal is None:
            self.refusals.pop(service, None)
        else:
            self.refusals[service] = refusal

    def was_refused(self, service: str, uid: str, address: str) -> bool:
        """Return whether the adoption of the address by this very Service was refused."""
        refused = self.unadopted.get(service)
        return refused is not None and refused[0] == uid and address in refused[1]

    def refuse_adoption(self, service: str, uid: str, address: str) -> None:
        """Remember that this very Service does not adopt the address; an earlier Service of its name is forgotten."""
        old = self.unadopted.get(service)
        if self._journal is not None:
            self._journal.append(("unadopted", service, old))
        kept = old[1] if old is not None and old[0] == uid else ()
        self._put_unadopted(service, (uid, tuple(dict.fromkeys((*kept, address)))))

    def _put_unadopted(self, service: str, new: Any) -> None:
        if new is None:
            self.unadopted.pop(service, None)
        else:
            self.unadopted[service] = new

    def put(self, address: str, new: AddressRecord | None) -> None:
        """Replace the record of an address and every index entry that follows from it."""
        old = self.records.get(address)
        if self._journal is not None:
            self._journal.append(("record", address, old))
        if old is not None and new is not None and _same_indexes(old, new):
            self.records[address] = new
            return
        if old is not None:
            self._unindex(old)
        if new is None:
            if old is not None:
                del self.records[address]
                self._used[old.family].discard(old.value)
                self._open.pop(old.family, None)
            return
        self.records[address] = new
        if old is None:
            self._used[new.family].add(new.value)
        self._index(new)

    def _index(self, record: AddressRecord) -> None:
        address = record.address
        if record.status in _HOLDING:
            self._holding_count += 1
            for holder in record.holders:
                self._by_service.add(holder.service, address)
            namespace = _namespace_of(record)
            self._per_namespace[namespace] += 1
            if record.status == "releasing":
                self._releasing[address] = None
            elif record.sharing_key:
                self._shared.add((namespace, record.sharing_key), address)
            return
        insort(self._free[record.family, record.status], _order(record))  # type: ignore[index]
        if record.quarantine_until is not None:
            insort(self._due, (record.quarantine_until, address))
        if record.lease_until is not None:
            insort(self._due, (record.lease_until, address))
            self._former.add(record.former, address)

    def _unindex(self, record: AddressRecord) -> None:
        address = record.address
        if record.status in _HOLDING:
            self._holding_count -= 1
            for holder in record.holders:
                self._by_service.discard(holder.service, address)
            namespace = _namespace_of(record)
            self._per_namespace[namespace] -= 1
            if not self._per_namespace[namespace]:
                del self._per_namespace[namespace]
            if record.status == "releasing":
                del self._releasing[address]
            elif record.sharing_key:
                self._shared.discard((namespace, record.sharing_key), address)
            return
        _remove_sorted(self._free[record.family, record.status], _order(record))  # type: ignore[index]
        if record.quarantine_until is not None:
            _remove_sorted(self._due, (record.quarantine_until, address))
        if record.lease_until is not None:
            _remove_sorted(self._due, (record.lease_until, address))
            self._former.discard(record.former, address)


def _same_indexes(old: AddressRecord, new: AddressRecord) -> bool:
    """Return whether a change leaves every index as it is: one that only touches ports, uid or basis of holders."""
    return (
        old.status == new.status == "held"
        and old.sharing_key == new.sharing_key
        and [holder.service for holder in old.holders] == [holder.service for holder in new.holders]
    )


def _order(record: AddressRecord) -> _Order:
    return record.released_seq, record.value, record.address


def _given_at(record: AddressRecord, service: str) -> int:
    return next(holder.seq for holder in record.holders if holder.service == service)


def _namespace_of(record: AddressRecord) -> str:
    return record.holders[0].service.partition("/")[0] if record.holders else ""


def _remove_sorted(items: list[Any], item: object) -> None:
    at = bisect_left(items, item)
    if at < len(items) and items[at] == item:
        del items[at]
