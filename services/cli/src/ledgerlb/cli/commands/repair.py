"""``ledgerlb repair``: end the damage of networks by one entry each that names what is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    print_json,
    say,
    settings_from,
)
from ledgerlb.cli.reading import existing_log, read_all_from, remembered_heads, trusted_keys
from ledgerlb.core.cluster.services import is_ours
from ledgerlb.core.errors import BadInput, LogUnavailable
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.ipam.repair import Damaged, Operator, Repair, Shown, propose_repair
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.damage import Damage, DamageKind
from ledgerlb.core.ledger.entry import Entry, parse_entry
from ledgerlb.core.ledger.events import SetAsideRecord
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.ledger.setaside import NOTHING_ASIDE, SetAside
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.logview import LogView
from ledgerlb.watcher.source_identity import whoami

_ATTEMPTS: Final = 5
"""Records that come while the command runs are read and named too; after so many rounds it gives up."""
_MAX_UNREAD: Final = 10_000
"""Entries among the records to set aside that are searched for lost holders."""
_MAX_LINES: Final = 20
_TOO_NEW: Final = (
    "a newer version of LedgerLB wrote to it, and that version would go on to count what is set aside here; "
    "upgrade every process instead"
)

_CUT_OFF: Final = (
    "entries are missing at its end, so there is nothing to set aside; restore a backup that has them, or accept the "
    "loss with ledgerlb heads forget"
)


@dataclass(frozen=True)
class Case:
    """A damaged network: ``repair`` None where ``refused`` says why it cannot be repaired."""

    damage: Damage
    aside: SetAside
    head: int
    repair: Repair | None
    refused: str = ""
    applied: bool = False


@guarded
async def repair(  # noqa: PLR0917 - options of the command line, always given by name
    log: LogOption = DEFAULT_LOG,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="NAMESPACE/NAME", help="Repair only this network; may be repeated."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the entries. Without it, only show them.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: the ledger keeps it.")] = "",
    settings: SettingsOption = None,
    output: OutputOption = Output.text,
) -> int:
    """Show what ended the decisions of damaged networks, and with --apply set it aside so that they go on.

    Nothing is rewritten: one entry a network names the records that do not count, and gives Services the addresses back
    that they use.
    """
    async with existing_log(log) as opened:
        bench = _Bench(settings_from(settings), reason)
        if (keys := trusted_keys()) is not None:
            bench.view.trust(keys)
        await remembered_heads(opened, bench.view.heads)
        await bench.read(opened)
        bench.view.ledger.check_ends()
        cases = bench.cases(network)
        if apply:
            cases = await _apply(bench, opened, cases)
    if output is Output.json:
        print_json({"applied": apply, "networks": [_as_json(case) for case in cases]})
    else:
        _print(cases, apply=apply)
    return FINDINGS if any(not case.applied for case in cases) else 0


class _Bench:
    """The whole log folded, and the records of damaged networks that do not count."""

    def __init__(self, settings: DomainSettings, reason: str) -> None:
        self.view = LogView(settings)
        self._settings = settings
        self._reason = reason
        self._positions: dict[str, int] = {}
        self._unread: dict[str, list[Entry]] = {}

    async def read(self, log: EventLog) -> None:
        """Read on to the present end of the log; raises LogUnavailable."""
        self._positions = await read_all_from(log, LogView.READS, self._take, self._positions)

    def _take(self, record: Record) -> None:
        try:
            self.view.take(record)
        finally:
            if record.topic == LEDGER.name:
                self._keep(record)

    def _keep(self, record: Record) -> None:
        if record.key not in self.view.ledger.damage:
            self._unread.pop(record.key, None)
            return
        found = parse_entry(record.key, record.value, record.offset)
        entries = self._unread.setdefault(record.key, [])
        if isinstance(found, Entry) and found.seq > self.view.ledger.network(record.key).seq:
            entries[_MAX_UNREAD - 1 :] = [found]

    def cases(self, only: Iterable[str] | None) -> list[Case]:
        """Return the damaged networks with their repairs; raises BadInput for a name that is not damaged."""
        damage = self.view.ledger.damage
        for name in only or ():
            if name not in damage:
                raise BadInput(f"network {name}", "", "is not damaged", "ledgerlb verify lists what is")
        return [self._case(damage[name]) for name in sorted(only or damage)]

    def _case(self, damage: Damage) -> Case:
        network, ledger = damage.network, self.view.ledger
        aside, state = ledger.aside.get(network, NOTHING_ASIDE), ledger.network(network)
        if not aside.records:
            return Case(damage, aside, state.seq, None, _CUT_OFF)
        if any(kind == DamageKind.TOO_NEW for kind in (damage.kind, *(record.kind for record in aside.named))):
            return Case(damage, aside, state.seq, None, _TOO_NEW)
        cluster = self.view.cluster
        damaged = Damaged(
            state,
            aside,
            self._unread.get(network, ()),
            self._shown(network),
            {service.full_name for service in cluster.services()} if cluster.synced() else None,
            self.view.intents.offers.get(network),
            self._replaced_head(network, state.seq),
        )
        found = propose_repair(damaged, Operator(whoami(), self._reason, datetime.now(UTC)), LEDGER.max_bytes)
        return Case(damage, aside, state.seq, found)

    def _replaced_head(self, network: str, last: int) -> Head | None:
        """Return the remembered head, where it is behind the last good entry."""
        known = self.view.heads.of(network)
        return known if known is not None and known.seq > last else None

    def _shown(self, network: str) -> Iterator[Shown]:
        """Yield what our Services use that want addresses of the network, or give them back: the addresses that their
        status shows, and those that the data path forwards to them (a folder's Services have no status after a start).
        """
        forwarded: dict[str, list[str]] = {}
        for path_set in self.view.path_sets.values():
            if path_set.network == network and not path_set.withdraw:
                for name in path_set.services:
                    forwarded.setdefault(name, []).append(path_set.address)
        for name, intent in self.view.intents.intents_for(network).items():
            fact = self.view.cluster.service(name)
            if fact is None or not is_ours(fact, self._settings):
                continue
            terms = (intent.sharing_key, intent.ports, intent.basis) if isinstance(intent, AddressIntent) else ()
            elsewhere = {one.address for one in self.view.ledger.holdings_of(name) if one.network != network}
            published = fact.ingress if fact.has_finalizer else ()
            for address in dict.fromkeys((*published, *forwarded.get(name, ()))):
                if address not in elsewhere:
                    yield Shown(name, fact.uid, address, *terms)


async def _apply(bench: _Bench, log: EventLog, cases: list[Case]) -> list[Case]:
    """Append the entries and read them back; raises LogUnavailable where other records keep coming in between."""
    done = [case for case in cases if case.repair is None]
    waiting = {case.damage.network: case for case in cases if case.repair is not None}
    for _ in range(_ATTEMPTS):
        if not waiting:
            break
        entries = [(name, case.repair.entry) for name, case in waiting.items() if case.repair is not None]
        await log.append(LEDGER, [NewRecord(name, entry) for name, entry in entries])
        await bench.read(log)
        left = [name for name in waiting if name in bench.view.ledger.damage]
        done += [replace(case, applied=True) for name, case in waiting.items() if name not in left]
        again = bench.cases(left) if left else []
        done += [case for case in again if case.repair is None]
        waiting = {case.damage.network: case for case in again if case.repair is not None}
    if waiting:
        names = ", ".join(waiting)
        raise LogUnavailable(
            f"{names}: other records keep coming; stop what writes them, then run ledgerlb repair again"
        )
    return sorted(done, key=lambda case: case.damage.network)


def _print(cases: list[Case], *, apply: bool) -> None:
    if not cases:
        say("Nothing to repair: no network is damaged.")
        return
    for case in cases:
        for line in _as_text(case):
            say(line)
    if not apply and any(case.repair is not None for case in cases):
        say()
        say("Nothing was written. ledgerlb repair --apply writes one entry for each network.")


def _as_text(case: Case) -> Iterator[str]:
    network, repair = case.damage.network, case.repair
    yield f"network {network}: {case.damage.reason}"
    yield f"  damage     {case.damage.place} {case.damage.message}"
    if repair is None:
        yield f"  refused    {case.refused}"
        return
    verb = "set aside" if case.applied else "sets aside"
    after = f"entry {network}#{case.head}" if case.head else "the beginning"
    yield f"  {verb:<10} {case.aside.records} records after {after}:"
    for record in case.aside.named[:_MAX_LINES]:
        yield f"    {_record_text(network, record)}"
    yield from _more(case.aside.records)
    if repair.replaces is not None:
        yield f"  replaces   the remembered head {network}#{repair.replaces.seq} {repair.replaces.digest[:16]}…"
    yield from _holders("kept", repair.kept)
    yield from _holders("given back", repair.restored)
    for loss in repair.lost[:_MAX_LINES]:
        yield f"  lost       {loss.address}  {loss.service}: {loss.why}"
    yield from _more(len(repair.lost))
    if case.applied:
        yield f"  repaired by entry {network}#{case.head + 1}"


def _holders(label: str, holdings: tuple[Holding, ...]) -> Iterator[str]:
    yield f"  {label:<10} {len(holdings)} addresses"
    for holding in holdings[:_MAX_LINES]:
        yield f"    {holding.address}  {holding.service}"
    yield from _more(len(holdings))


def _more(total: int) -> Iterator[str]:
    if total > _MAX_LINES:
        yield f"    and {total - _MAX_LINES} more"


def _record_text(network: str, record: SetAsideRecord) -> str:
    entry = f"  entry {network}#{record.seq}" if record.seq else ""
    return f"offset {record.offset}  {record.kind}{entry}  {record.digest[:16]}…"


def _as_json(case: Case) -> dict[str, Any]:
    repair = case.repair
    shown: dict[str, Any] = {
        "network": case.damage.network,
        "kind": case.damage.kind,
        "reason": case.damage.reason,
        "message": case.damage.text(),
        "refused": case.refused or None,
        "applied": case.applied,
        "head": case.head,
        "records": case.aside.records,
        "digest": case.aside.digest,
        "set_aside": [
            {"offset": record.offset, "kind": record.kind, "seq": record.seq, "hash": record.digest}
            for record in case.aside.named
        ],
    }
    if repair is not None:
        replaces = repair.replaces
        shown["replaced_head"] = None if replaces is None else {"seq": replaces.seq, "hash": replaces.digest}
        shown["kept"] = [{"address": one.address, "service": one.service} for one in repair.kept]
        shown["given_back"] = [{"address": one.address, "service": one.service} for one in repair.restored]
        shown["lost"] = [{"address": one.address, "service": one.service, "why": one.why} for one in repair.lost]
    return shown
