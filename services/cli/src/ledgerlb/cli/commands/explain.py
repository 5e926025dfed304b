"""``ledgerlb explain [service|network] NAMESPACE/NAME``: why a Service or a network is as it is.

A Service or network that is gone is explained by its ledger entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ledgerlb.cli.commands.history import as_json as tenure_as_json
from ledgerlb.cli.commands.history import service_tenures
from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    print_json,
    say,
    settings_from,
)
from ledgerlb.cli.listing import data_path, next_hops
from ledgerlb.cli.lookup import checked_name, load, unknown, warn_if_stale
from ledgerlb.cli.network_text import network_as_json, network_as_text
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.entry import Cause, Entry
from ledgerlb.core.ledger.history import Tenure
from ledgerlb.core.reasons import REASONS
from ledgerlb.core.text import timestamp
from ledgerlb.runtime.logview import LogView, ServiceLine

_MARKS: Final = {True: "→", False: " "}
_KINDS: Final = ("service", "network")

Decision = tuple[Entry, str, tuple[Cause, ...]]
"""An accepted entry, its hash, and its causes that name the Service."""


@guarded
async def explain(
    target: Annotated[
        list[str],
        typer.Argument(
            metavar="[service|network] NAMESPACE/NAME",
            help="A Service or a network. Without the kind, the Service of this name, else the network.",
        ),
    ],
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
) -> None:
    """Explain a Service or a network: why it is as it is, and the ledger entries that made it so."""
    kind, name = _target(target)
    view = await load(log, settings_from(settings), keep_entries=True)
    now = datetime.now(UTC)
    if kind != "network" and (line := _service(view, name, now)) is not None:
        decided = decisions(view, name)
        _print(as_json(view, line, decided), as_text(view, line, decided), output)
    elif kind != "service" and (network := view.network(name)) is not None:
        _print(network_as_json(view, network), network_as_text(view, network), output)
    else:
        known = [] if kind == "network" else view.service_names()
        known += [] if kind == "service" else [line.name for line in view.networks()]
        raise unknown(kind or "Service or network", name, known, "networks" if kind == "network" else "services")
    if output is Output.text:
        warn_if_stale(view, now)


def _target(words: list[str]) -> tuple[str, str]:
    """Return kind (empty: not given) and name; raises BadInput."""
    kind, name = ("", words[0]) if len(words) == 1 else (words[0].lower(), words[-1])
    if len(words) > len(_KINDS) or (kind and kind not in _KINDS):
        raise BadInput(
            f"argument {' '.join(words)!r}",
            "",
            "is not a Service or a network",
            "write NAMESPACE/NAME, service NAMESPACE/NAME or network NAMESPACE/NAME",
        )
    return kind, checked_name({"network": "network"}.get(kind, "Service"), name)


def _service(view: LogView, name: str, now: datetime) -> ServiceLine | None:
    """Return the Service, also one that is gone and is in the ledger; None where the log never had it."""
    line = view.service(name, now)
    return line if line.fact is not None or line.holdings or decisions(view, name) else None


def _print(data: dict[str, Any], lines: Iterable[str], output: Output) -> None:
    if output is Output.json:
        print_json(data)
        return
    for line in lines:
        say(line)


def decisions(view: LogView, service: str) -> list[Decision]:
    """Return every accepted entry with an event about the Service."""
    return [
        (entry, digest, tuple(cause for cause in entry.cause if cause.service == service))
        for entry, digest in view.accepted or ()
        if any(getattr(event, "service", None) == service for event in entry.events)
    ]


def as_json(view: LogView, line: ServiceLine, decided: list[Decision]) -> dict[str, Any]:
    """Return the explanation of a Service as plain JSON data."""
    selection = line.selection
    return {
        "as_of": view.as_of,
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
                "agents": {
                    report.agent: view.agents.done_by(report) for report in view.agents.reports(holding.address)
                },
            }
            for holding in line.holdings
        ],
        "past": [tenure_as_json(tenure) for tenure in _past(view, line)],
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
    """Return the remedy for the Service's reason; empty where none is needed."""
    known = REASONS.get(line.publication.reason or "")
    return known.remedy if known is not None else ""


def drifted(line: ServiceLine) -> str:
    """Return what a fresh choice would do, where that is not what the Service has; else an empty text."""
    selection = line.selection
    if line.publication.drift:
        return f"a fresh choice would take {line.publication.drift}"
    if selection is not None and selection.drift_reason:
        return f"a fresh choice would find no network ({selection.drift_reason})"
    return ""


def as_text(view: LogView, line: ServiceLine, decided: list[Decision]) -> list[str]:
    """Return the explanation of a Service for people."""
    shown = line.publication
    lines = [f"{line.name}: {shown.state}" + (" (the Service no longer exists)" if line.fact is None else "")]
    if shown.network:
        lines.append(f"  holds      {', '.join(shown.addresses)} of {shown.network}")
    if shown.wanted and shown.wanted != shown.network:
        lines.append(f"  wants      {shown.wanted}")
    if line.fact is not None and (shown.reason or shown.message):
        lines.append(f"  reason     {': '.join(part for part in (shown.reason, shown.message) if part)}")
    if advice := remedy(line):
        lines.append(f"  remedy     {advice}")
    if (reach := shown.reachability) is not None:
        lines.append(f"  data path  {data_path(shown)} ({reach.reason}): {reach.message}")
    if instead := drifted(line):
        lines.append(f"  drifted    {instead}; it keeps its network")
    lines += selection_text(line)
    lines += _holdings_text(view, line)
    lines += _past_text(view, line)
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
    """Return every rung and candidate network that the selector checked; [] where it has no verdict yet."""
    selection = line.selection
    if selection is None:
        return []
    lines = ["How the network is chosen (the first rung that is present decides):"]
    for look in selection.rungs:
        value = f" = {look.value}" if look.value else ""
        outcome = f": {look.outcome}" if look.outcome else ""
        taken = look.present and look.rung == selection.rung
        lines.append(f"  {_MARKS[taken]} {look.rung}{value}{outcome or ('' if look.present else ': absent')}")
    if selection.candidates:
        lines.append("Networks considered:")
    lines += [f"  {_MARKS[look.taken]} {look.network}: {look.why}" for look in selection.candidates]
    lines += [f"  warning: {warning}" for warning in selection.warnings]
    return lines


def _holdings_text(view: LogView, line: ServiceLine) -> list[str]:
    if not line.holdings:
        return []
    lines = ["Addresses:"]
    for holding in line.holdings:
        answers = view.agents.reports(holding.address)
        reports = ", ".join(f"{report.agent} {view.agents.done_by(report)}" for report in answers)
        path_set = line.path_sets.get(holding.address)
        hops = f"; next hops {'; '.join(next_hops([path_set]))}" if path_set is not None else ""
        lines.append(
            f"  {holding.address}  {holding.state} since {timestamp(holding.since)}, {holding.choice},"
            f" by {holding.allocation}{hops}" + (f"; {reports}" if reports else "")
        )
        lines += [f"    note: {note}" for note in (path_set.notes if path_set is not None else ())]
    return lines


def _past(view: LogView, line: ServiceLine) -> list[Tenure]:
    """Return the Service's time with addresses that it has no longer, oldest first."""
    return [tenure for tenure in service_tenures(line.name, view.accepted or ()) if tenure.until is not None]


def _past_text(view: LogView, line: ServiceLine) -> list[str]:
    past = [
        f"  {tenure.address}  {timestamp(tenure.since)} … {timestamp(tenure.until)} of {tenure.network}"
        for tenure in _past(view, line)
        if tenure.until is not None
    ]
    return ["Held before:", *past] if past else []
