"""``ledgerlb history ADDRESS``: who held it, from when until when, why, and who asked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from netaddr import AddrFormatError, IPAddress

from ledgerlb.cli.console import DEFAULT_LOG, LogOption, Output, OutputOption, guarded, moment_of, print_json, timestamp
from ledgerlb.cli.reading import existing_log, read_all
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.history import Tenure
from ledgerlb.core.ledger.history import history as history_of
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import LEDGER


@guarded
async def history(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An external address.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Only who held it then: 2026-11-17T14:00:00Z, or 2h ago.")
    ] = None,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
) -> None:
    """Show who held an address, why, and who asked for it."""
    wanted = canonical(address)
    moment = moment_of(at, "--at") if at is not None else None
    tenures = await tenures_of(log, wanted, moment)
    if output is Output.json:
        print_json({"address": wanted, "at": moment, "holdings": [as_json(tenure) for tenure in tenures]})
        return
    if not tenures:
        typer.echo(f"{wanted}: nobody held it" + (f" at {timestamp(moment)}" if moment else " so far"))
        return
    for tenure in tenures:
        for line in as_text(tenure):
            typer.echo(line)


async def tenures_of(url: str, address: str, moment: datetime | None = None) -> list[Tenure]:
    """Read the ledger and return the address's tenures (at that moment only, where one is given)."""
    fold = LedgerFold()
    entries: list[tuple[Entry, str]] = []

    def take(record: Record) -> None:
        outcome = fold.take(record.key, record.value)
        if isinstance(outcome, Accepted) and _concerns(outcome.entry, address):
            entries.append((outcome.entry, outcome.digest))

    async with existing_log(url) as log:
        await read_all(log, [LEDGER], take)
    return [tenure for tenure in history_of(address, entries) if moment is None or tenure.covers(moment)]


def canonical(text: str) -> str:
    """The address as the ledger writes it; raises BadInput."""
    try:
        return str(IPAddress(text.strip()))
    except (AddrFormatError, ValueError) as error:
        raise BadInput(f"address {text!r}", "", "is no IP address", "write 192.0.2.7 or 2001:db8::7") from error


def _concerns(entry: Entry, address: str) -> bool:
    return any(getattr(event, "address", None) == address for event in entry.events)


def as_json(tenure: Tenure) -> dict[str, Any]:
    """The tenure as plain JSON data."""
    return {
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
    """The tenure for people, a few lines."""
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
