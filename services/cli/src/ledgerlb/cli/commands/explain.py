"""``ledgerlb explain NAMESPACE/NAME``: why a Service has the network and addresses that it has, or none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ledgerlb.cli.commands.services import known_service, load, next_hops
from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    print_json,
    settings_from,
    timestamp,
)
from ledgerlb.cli.view import LogView, ServiceLine
from ledgerlb.core.ledger.entry import Cause, Entry
from ledgerlb.core.reasons import REASONS

_MARKS = {True: "→", False: " "}


@guarded
async def explain(
    name: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="A Service.")],
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
) -> None:
    """Explain a Service: every rung looked at, every candidate network, the verdict, and the entries that followed."""
    view = await load(log, settings_from(settings), keep_entries=True)
    line = known_service(view, name, datetime.now(UTC))
    decided = decisions(view, name)
    if output is Output.json:
        print_json(as_json(view, line, decided))
        return
    for text in as_text(view, line, decided):
        typer.echo(text)


def decisions(view: LogView, service: str) -> list[tuple[Entry, str, tuple[Cause, ...]]]:
    """Every accepted entry with events about the Service: the entry, its hash, and the causes that name the Service."""
    return [
        (entry, digest, tuple(cause for cause in entry.cause if cause.service == service))
        for entry, digest in view.accepted or ()
        if any(getattr(event, "service", None) == service for event in entry.events)
    ]


def as_json(view: LogView, line: ServiceLine, decided: list[tuple[Entry, str, tuple[Cause, ...]]]) -> dict[str, Any]:
    """The explanation as plain JSON data."""
    selection = line.selection
    return {
        "service": line.name,
        **line.as_json(),
        "drift": line.publication.drift,
        "drift_reason": selection.drift_reason if selection is not None else None,
        "remedy": remedy(line),
        "selection": selection.model_dump(mode="json") if selection is not None else None,
        "conditions": [condition.model_dump(mode="json") for condition in line.publication.conditions],
        "holdings": [
            {
                "network": holding.network,
                "address": holding.address,
                "state": holding.state,
                "since": timestamp(holding.since),
                "choice": holding.choice,
                "entry": holding.allocation,
                "agents": {report.agent: report.state for report in view.agents.reports(holding.address)},
            }
            for holding in line.holdings
        ],
        "decisions": [
            {
                "network": entry.network,
                "seq": entry.seq,
                "hash": digest,
                "at": timestamp(entry.decided_at),
                "events": [
                    type(event).__name__ for event in entry.events if getattr(event, "service", None) == line.name
                ],
                "causes": [
                    {
                        "intent": cause.intent,
                        "revision": cause.revision,
                        "rung": cause.rung,
                        "requester": cause.requester,
                        "why": cause.explanation,
                    }
                    for cause in causes
                ],
            }
            for entry, digest, causes in decided
        ],
    }


def remedy(line: ServiceLine) -> str:
    """What the reason's entry in the table of reasons advises."""
    known = REASONS.get(line.publication.reason or "")
    return known.remedy if known is not None else ""


def drifted(line: ServiceLine) -> str:
    """What a fresh choice would do in the place of what the Service keeps; empty where it would do the same."""
    selection = line.selection
    if line.publication.drift:
        return f"a fresh choice would take {line.publication.drift}"
    if selection is not None and selection.drift_reason:
        return f"a fresh choice would find no network ({selection.drift_reason})"
    return ""


def as_text(view: LogView, line: ServiceLine, decided: list[tuple[Entry, str, tuple[Cause, ...]]]) -> list[str]:
    """The explanation for people."""
    shown = line.publication
    lines = [f"{line.name}: {shown.state}"]
    if shown.network:
        lines.append(f"  holds      {', '.join(shown.addresses)} of {shown.network}")
    if shown.wanted and shown.wanted != shown.network:
        lines.append(f"  wants      {shown.wanted}")
    if shown.reason or shown.message:
        lines.append(f"  reason     {': '.join(part for part in (shown.reason, shown.message) if part)}")
    if advice := remedy(line):
        lines.append(f"  remedy     {advice}")
    if instead := drifted(line):
        lines.append(f"  drifted    {instead}; it stays where it is")
    lines += selection_text(line)
    lines += _holdings_text(view, line)
    if decided:
        lines.append("Decided in the ledger:")
    for entry, digest, causes in decided:
        events = ", ".join(
            type(event).__name__ for event in entry.events if getattr(event, "service", None) == line.name
        )
        because = "; ".join(
            f"{cause.intent}@{cause.revision}" + (f", asked by {cause.requester}" if cause.requester else "")
            for cause in causes
        )
        lines.append(
            f"  {timestamp(entry.decided_at)}  {entry.network}#{entry.seq} {digest[:12]}…  {events}  ({because})"
        )
    return lines


def selection_text(line: ServiceLine) -> list[str]:
    """Every rung and candidate network that was looked at; [] where the selector has not spoken."""
    selection = line.selection
    if selection is None:
        return []
    lines = ["How the network is chosen (the first rung that is present decides):"]
    for look in selection.rungs:
        said = f" = {look.value}" if look.value else ""
        outcome = f": {look.outcome}" if look.outcome else ""
        taken = look.present and look.rung == selection.rung
        lines.append(f"  {_MARKS[taken]} {look.rung}{said}{outcome or ('' if look.present else ': absent')}")
    if selection.candidates:
        lines.append("Networks looked at:")
    lines += [f"  {_MARKS[look.taken]} {look.network}: {look.why}" for look in selection.candidates]
    lines += [f"  warning: {warning}" for warning in selection.warnings]
    return lines


def _holdings_text(view: LogView, line: ServiceLine) -> list[str]:
    if not line.holdings:
        return []
    lines = ["Addresses:"]
    for holding in line.holdings:
        reports = ", ".join(f"{report.agent} {report.state}" for report in view.agents.reports(holding.address))
        path_set = line.path_sets.get(holding.address)
        hops = f"; next hops {next_hops([path_set])}" if path_set is not None else ""
        lines.append(
            f"  {holding.address}  {holding.state} since {timestamp(holding.since)}, {holding.choice},"
            f" by {holding.allocation}{hops}" + (f"; {reports}" if reports else "")
        )
        lines += [f"    note: {note}" for note in (path_set.notes if path_set is not None else ())]
    return lines
