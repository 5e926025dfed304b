"""``ledgerlb tail`` and ``ledgerlb verify``: the ledger as it grows, and whether it keeps its promises."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Annotated, Any

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    guarded,
    moment_of,
    print_json,
    print_table,
)
from ledgerlb.cli.reading import existing_log, read_all
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.audit import Audit, AuditReport, report_as_json
from ledgerlb.core.ledger.entry import digest, entry_as_json
from ledgerlb.core.ledger.fold import LedgerFold, Rejected
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import LEDGER

_SHOWN = ("address", "service", "choice", "reason", "message", "why")


@guarded
async def tail(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on: 2026-11-17T14:00:00Z, or 2h ago.")
    ] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="How many of the entries so far are shown.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more.")] = True,
) -> None:
    """Follow the ledger: one line per decision."""
    begin = moment_of(since, "--since") if since is not None else None
    await _tail(log, output, begin, last if begin is None else None, follow=follow)


async def _tail(url: str, output: Output, begin: datetime | None, last: int | None, *, follow: bool) -> None:
    """Show what there is (the last so many, None: all from ``begin``), then what comes."""
    fold = LedgerFold()
    kept: deque[dict[str, Any]] = deque(maxlen=last)
    async with existing_log(url) as log, await log.open([LEDGER]) as reader:
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
                if not follow:
                    return


def _line(fold: LedgerFold, record: Record, begin: datetime | None) -> dict[str, Any] | None:
    """The record as JSON data, None where it is older than ``begin``."""
    raw = record.value or b""
    try:
        outcome = fold.take(record.key, raw)
    except BadInput as error:
        return {"offset": record.offset, "network": record.key, "undecodable": str(error)}
    if begin is not None and outcome.entry.decided_at < begin:
        return None
    line = {"offset": record.offset, "hash": digest(raw), **entry_as_json(outcome.entry)}
    if isinstance(outcome, Rejected):
        line["rejected"] = outcome.why
    return line


def _print_line(line: dict[str, Any], output: Output) -> None:
    if output is Output.json:
        print_json(line)
        return
    if "undecodable" in line:
        typer.echo(f"offset {line['offset']}: {line['undecodable']}")
        return
    events = "; ".join(_event_text(event) for event in line["events"])
    mark = f"  REJECTED ({line['rejected']})" if "rejected" in line else ""
    typer.echo(f"{line['decided_at']}  {line['network']}#{line['seq']}  {line['hash'][:12]}…  {events}{mark}")


def _event_text(event: dict[str, Any]) -> str:
    parts = [str(event[key]) for key in _SHOWN if event.get(key)]
    if event["type"] in {"NetworkDefined", "PrefixChangeRefused"}:
        parts = [str(prefix["prefix"]) for prefix in event["prefixes"]]
    return " ".join([str(event["type"]), *parts])


@guarded
async def verify(log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> int:
    """Read the ledger's bytes again, recompute its chains, and check that every promise is kept."""
    report = await audit(log)
    if output is Output.json:
        print_json(report_as_json(report))
    else:
        print_report(report)
    return 0 if report.clean else FINDINGS


async def audit(url: str) -> AuditReport:
    """Audit the ledger of the log that ``url`` names."""
    found = Audit()
    async with existing_log(url) as log:
        await read_all(log, [LEDGER], lambda record: found.take(record.key, record.value))
    return found.report()


def print_report(report: AuditReport) -> None:
    """Say what an audit found, for people."""
    verdict = "every promise is kept" if report.clean else f"{report.problems} PROBLEMS"
    typer.echo(
        f"{report.accepted} entries of {len(report.heads)} networks: {verdict}"
        f" ({report.rejected} rejected, harmless; {report.undecodable} undecodable)"
    )
    if report.heads:
        print_table(("NETWORK", "ENTRIES", "HEAD"), ((head.network, str(head.seq), head.hash) for head in report.heads))
    for finding in report.findings:
        place = f"{finding.network}#{finding.seq}" if finding.seq else finding.network
        address = f"{finding.address}: " if finding.address else ""
        typer.echo(f"{finding.rule}  {place}  {address}{finding.message}")
    if report.problems > len(report.findings):
        typer.echo(f"… and {report.problems - len(report.findings)} more")
