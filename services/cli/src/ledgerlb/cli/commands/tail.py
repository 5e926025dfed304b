"""``ledgerlb tail``: the ledger as it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from ledgerlb.cli.console import DEFAULT_LOG, LogOption, Output, OutputOption, guarded, moment_of, print_json, say
from ledgerlb.cli.reading import existing_log, remembered_heads, warn_of_damage
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.entry import digest, entry_as_json
from ledgerlb.core.ledger.fold import LedgerFold, Rejected
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.ledger.records import Holding
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import LEDGER

_SHOWN = ("address", "service", "choice", "reason", "message", "why")


@guarded
async def tail(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Start at this time: 2026-11-17T14:00:00Z, or 2h ago."),
    ] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="Past entries to show.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more entries.")] = True,
) -> None:
    """Follow the ledger: one line per decision."""
    begin = moment_of(since, "--since") if since is not None else None
    await _tail(log, output, begin, last if begin is None else None, follow=follow)


async def _tail(url: str, output: Output, begin: datetime | None, last: int | None, *, follow: bool) -> None:
    """Show past entries (the last ``last``; None: all from ``begin``), then new ones."""
    heads = RememberedHeads()
    fold = LedgerFold(heads)
    kept: deque[dict[str, Any]] = deque(maxlen=last)
    async with existing_log(url) as log:
        await remembered_heads(log, heads)
        await _follow(log, fold, kept, output, begin, follow=follow)


async def _follow(
    log: EventLog,
    fold: LedgerFold,
    kept: deque[dict[str, Any]],
    output: Output,
    begin: datetime | None,
    *,
    follow: bool,
) -> None:
    async with await log.open([LEDGER]) as reader:
        caught_up = False
        while True:
            records = await reader.poll(0.5)
            shown = [line for record in records if (line := _line(fold, record, begin)) is not None]
            if caught_up:
                for line in shown:
                    _print_line(line, output)
                continue
            kept.extend(shown)
            if reader.caught_up:
                caught_up = True
                for line in kept:
                    _print_line(line, output)
                warn_of_damage(fold.check_ends())
                if not follow:
                    return


def _line(fold: LedgerFold, record: Record, begin: datetime | None) -> dict[str, Any] | None:
    """Return the record as JSON data, None where it is older than ``begin``."""
    raw = record.value or b""
    # The state before the entry costs a walk over the network's holdings, so it is looked up only where it is shown.
    before = list(fold.network(record.key).holdings()) if b"HoldingChanged" in raw else []
    try:
        outcome = fold.take(record.key, record.value, record.offset, record.headers)
    except BadInput as error:
        return {"offset": record.offset, "network": record.key, "undecodable": str(error)}
    if begin is not None and outcome.entry.decided_at < begin:
        return None
    line = {"offset": record.offset, "hash": digest(raw), **entry_as_json(outcome.entry)}
    if isinstance(outcome, Rejected):
        line["rejected"] = outcome.why
    for event in line["events"]:
        if event["type"] == "HoldingChanged":
            event["changed"] = _changed(event, before)
    return line


def _changed(event: Mapping[str, Any], before: Iterable[Holding]) -> dict[str, list[Any]]:
    """Return what the event changes of the Service's hold on the address, each as its value before and after."""
    held = next((one for one in before if (one.address, one.service) == (event["address"], event["service"])), None)
    pairs = {
        "uid": (held.uid if held is not None else "", event["uid"]),
        "sharing_key": (held.sharing_key if held is not None else "", event.get("sharing_key", "")),
        "ports": (_ports(held.ports if held is not None else ()), _ports(event.get("ports", ()))),
    }
    return {name: [old, new] for name, (old, new) in pairs.items() if old != new}


def _ports(ports: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{port}/{protocol}" for protocol, port in ports]


def _print_line(line: dict[str, Any], output: Output) -> None:
    if output is Output.json:
        print_json(line)
        return
    if "undecodable" in line:
        say(f"offset {line['offset']}: {line['undecodable']}")
        return
    events = "; ".join(_event_text(event) for event in line["events"])
    mark = f"  REJECTED ({line['rejected']})" if "rejected" in line else ""
    say(f"{line['decided_at']}  {line['network']}#{line['seq']}  {line['hash'][:12]}…  {events}{mark}")


def _event_text(event: dict[str, Any]) -> str:
    parts = [str(event[key]) for key in _SHOWN if event.get(key)]
    if event["type"] in {"NetworkDefined", "PrefixChangeRefused"}:
        parts = [str(prefix["prefix"]) for prefix in event["prefixes"]]
    if event["type"] == "HoldingChanged":
        parts += [_change_text(name, old, new) for name, (old, new) in event["changed"].items()]
    return " ".join([str(event["type"]), *parts])


def _change_text(name: str, old: object, new: object) -> str:
    """Return ``ports 80/TCP → 80/TCP,443/TCP``; nothing is a dash."""
    shown = [",".join(one) if isinstance(one, list) else str(one) for one in (old, new)]
    return f"{name} {shown[0] or '-'} → {shown[1] or '-'}"
