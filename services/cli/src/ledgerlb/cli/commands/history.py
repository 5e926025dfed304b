"""``ledgerlb history ADDRESS|NAMESPACE/NAME``: who held an address, or what a Service held, and why.

The ledger is kept for ever, so both answer for what is long gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    guarded,
    moment_of,
    print_json,
    say,
)
from ledgerlb.cli.reading import existing_log, read_all, remembered_heads, warn_of_damage
from ledgerlb.core.addresses import parse
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.history import Tenure
from ledgerlb.core.ledger.history import history as history_of
from ledgerlb.core.text import timestamp
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import LEDGER, REPORTS


@guarded
async def history(
    name: Annotated[str, typer.Argument(metavar="ADDRESS|NAMESPACE/NAME", help="An external address, or a Service.")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Show this moment only: 2026-11-17T14:00:00Z, or 2h ago."),
    ] = None,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
) -> None:
    """Show who held an address, or which addresses a Service held: when, why, and who asked for it."""
    moment = moment_of(at, "--at") if at is not None else None
    of_service = "/" in name
    wanted = name if of_service else canonical(name)
    tenures = await (tenures_of_service if of_service else tenures_of)(log, wanted, moment)
    now_held = [tenure for tenure in tenures if tenure.until is None]
    agents = await _agents_of(log) if now_held else {}
    if output is Output.json:
        subject = {"service" if of_service else "address": wanted}
        holdings = [{**as_json(tenure), "agents": _agents_for(tenure, agents)} for tenure in tenures]
        print_json({**subject, "at": moment, "holdings": holdings})
        return
    if not tenures:
        nothing = "it held no address" if of_service else "no Service held it"
        say(f"{wanted}: {nothing}" + (f" at {timestamp(moment)}" if moment else " so far"))
        return
    for tenure in tenures:
        for line in as_text(tenure):
            say(line)
        if done := _agents_for(tenure, agents):
            say(f"  data path  {', '.join(f'{agent} {what}' for agent, what in done.items())}")


async def _agents_of(url: str) -> dict[str, dict[str, str]]:
    """Return what each agent reported last, by address and agent: ``recorded`` where its back end programs nothing.

    The reports are read as plain JSON: their full check would load as much as all other commands together.
    """
    reports: dict[str, dict[str, str]] = {}

    def take(record: Record) -> None:
        address, _, agent = record.key.rpartition("/")
        with suppress(ValueError):  # the services that need the record write the dead letter
            report = json.loads(record.value or b"{}")
            state = report.get("state") if isinstance(report, dict) else None
            if state is None:
                reports.get(address, {}).pop(agent, None)
            elif isinstance(state, str):
                recorded = state == "programmed" and report.get("backend") == "record"
                reports.setdefault(address, {})[agent] = "recorded" if recorded else state

    async with existing_log(url) as log:
        await read_all(log, [REPORTS], take)
    return {address: dict(sorted(found.items())) for address, found in reports.items()}


def _agents_for(tenure: Tenure, agents: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return what each agent reports of an address that is still held."""
    return dict(agents.get(tenure.address, {})) if tenure.until is None else {}


async def tenures_of(url: str, address: str, moment: datetime | None = None) -> list[Tenure]:
    """Read the ledger and return the address's tenures (at that moment only, where one is given)."""
    entries = await _entries(url, lambda entry: _names(entry, "address", address))
    return [tenure for tenure in history_of(address, entries) if moment is None or tenure.covers(moment)]


async def tenures_of_service(url: str, service: str, moment: datetime | None = None) -> list[Tenure]:
    """Read the ledger and return the Service's tenures of any address (at that moment only, where one is given)."""
    entries = await _entries(url, lambda entry: any(hasattr(event, "address") for event in entry.events))
    tenures = service_tenures(service, entries)
    return [tenure for tenure in tenures if moment is None or tenure.covers(moment)]


def service_tenures(service: str, entries: Sequence[tuple[Entry, str]]) -> list[Tenure]:
    """Return every tenure of the Service in accepted entries with their hashes, oldest first."""
    addresses: dict[str, None] = {}
    for entry, _ in entries:
        for event in entry.events:
            if getattr(event, "service", None) == service and hasattr(event, "address"):
                addresses[event.address] = None
    found = [tenure for address in addresses for tenure in history_of(address, entries) if tenure.service == service]
    return sorted(found, key=lambda tenure: tenure.since)


async def _entries(url: str, concerns: Callable[[Entry], bool]) -> list[tuple[Entry, str]]:
    """Read the ledger and return the accepted entries that ``concerns`` picks, with their hashes."""
    heads = RememberedHeads()
    fold = LedgerFold(heads)
    entries: list[tuple[Entry, str]] = []

    def take(record: Record) -> None:
        outcome = fold.take(record.key, record.value, record.offset, record.headers)
        if isinstance(outcome, Accepted) and concerns(outcome.entry):
            entries.append((outcome.entry, outcome.digest))

    async with existing_log(url) as log:
        await remembered_heads(log, heads)
        await read_all(log, [LEDGER], take)
    fold.check_ends()
    warn_of_damage(fold.damage)
    return entries


def canonical(text: str) -> str:
    """Return the address as the ledger writes it; raises BadInput."""
    found = parse(text.strip())
    if found is None:
        remedy = "write 192.0.2.7, 2001:db8::7 or a Service such as shop/web"
        raise BadInput(f"address {text!r}", "", "is not an IP address", remedy)
    return found.text


def _names(entry: Entry, field: str, value: str) -> bool:
    return any(getattr(event, field, None) == value for event in entry.events)


def as_json(tenure: Tenure) -> dict[str, Any]:
    """Return the tenure as plain JSON data."""
    return {
        "address": tenure.address,
        "service": tenure.service,
        "uid": tenure.uid,
        "network": tenure.network,
        "from": timestamp(tenure.since),
        "until": timestamp(tenure.until) if tenure.until else None,
        "state": tenure.state,
        "requester": tenure.requester,
        "rung": tenure.rung,
        "cause": tenure.cause,
        "explanation": tenure.explanation,
        "choice": tenure.choice,
        "decider": tenure.decider,
        "seq": tenure.seq,
        "hash": tenure.hash,
        "steps": [
            {"at": timestamp(step.at), "what": step.what, "why": step.why, "seq": step.seq, "hash": step.hash}
            for step in tenure.steps
        ],
    }


def as_text(tenure: Tenure) -> list[str]:
    """Return the tenure for people, in a few lines."""
    until = timestamp(tenure.until) if tenure.until else "now" if tenure.state == "held" else "now (being released)"
    lines = [
        f"{tenure.address}  {timestamp(tenure.since)} … {until}  {tenure.service}",
        f"  network    {tenure.network}",
        f"  uid        {tenure.uid or 'unknown'}",
        f"  asked by   {tenure.requester or 'unknown'}",
        f"  chosen by  {tenure.rung or 'unknown'}; address {tenure.choice}",
        f"  cause      {tenure.cause}" + (f": {tenure.explanation}" if tenure.explanation else ""),
        f"  entry      {tenure.network}#{tenure.seq}  {tenure.hash[:16]}…  by {tenure.decider}",
    ]
    for step in tenure.steps:
        why = f": {step.why}" if step.why else ""
        lines.append(f"  {timestamp(step.at)}  {step.what}{why}  (#{step.seq} {step.hash[:16]}…)")
    return lines
