"""``ledgerlb verify``: whether the ledger keeps its promises."""

from __future__ import annotations

from typing import Final

from ledgerlb.cli.console import DEFAULT_LOG, FINDINGS, LogOption, Output, OutputOption, guarded, print_json, say
from ledgerlb.cli.reading import existing_log, read_all
from ledgerlb.cli.tables import Column, print_table
from ledgerlb.core.ledger.audit import Audit, AuditReport, Finding, report_as_json
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.topics import LEDGER

_COLUMNS: Final = (Column("NETWORK"), Column("ENTRIES", drop=1), Column("HEAD"))


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
    """Audit the ledger of the log at ``url``."""
    heads = RememberedHeads()
    found = Audit(heads)
    async with existing_log(url) as log:
        for problem in await read_heads(log, heads):
            found.unreadable_head(problem)
        await read_all(log, [LEDGER], lambda record: found.take(record.key, record.value, record.offset))
    return found.report()


def print_report(report: AuditReport) -> None:
    """Print the findings of an audit for people."""
    verdict = "every promise is kept" if report.clean else f"{report.problems} PROBLEMS"
    say(
        f"{report.accepted} entries of {len(report.heads)} networks: {verdict}"
        f" ({report.rejected} rejected, harmless; {report.undecodable} undecodable; {report.skipped} after a break;"
        f" {report.remembered} remembered heads)"
    )
    if report.heads:
        print_table(_COLUMNS, ((head.network, str(head.seq), head.hash) for head in report.heads))
    for finding in report.findings:
        say(_line(finding))
    if report.problems > len(report.findings):
        say(f"+{report.problems - len(report.findings)} more")
    for note in report.set_aside:
        say(f"note: {_line(note)}")
    for warning in report.warnings:
        say(f"warning: {_line(warning)}")


def _line(finding: Finding) -> str:
    place = f"{finding.network}#{finding.seq}" if finding.seq else finding.network
    address = f"{finding.address}: " if finding.address else ""
    return "  ".join(part for part in (finding.rule, place, f"{address}{finding.message}") if part)
