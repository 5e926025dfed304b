"""``ledgerlb verify``: whether the ledger keeps its promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ledgerlb.cli.console import DEFAULT_LOG, FINDINGS, LogOption, Output, OutputOption, guarded, print_json, say
from ledgerlb.cli.reading import existing_log, read_all, trusted_keys
from ledgerlb.cli.tables import Column, print_table
from ledgerlb.core.cluster.facts import ServiceFact, decode_fact
from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.ledger.audit import Audit, AuditReport, Finding, NetworkHead, report_as_json
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.publication.doubles import shown_twice
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, LEDGER

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys

_NETWORK: Final = Column("NETWORK")
_ENTRIES: Final = Column("ENTRIES", drop=1)
_SIGNED: Final = Column("SIGNED", drop=1)
_HEAD: Final = Column("HEAD")


@guarded
async def verify(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            envvar="LEDGERLB_TRUSTED_KEYS_FILE",
            metavar="FILE",
            help="Trusted keys: every entry and remembered head must be signed by one of them.",
        ),
    ] = None,
) -> int:
    """Read the ledger's bytes again, recompute its chains, and check that every promise is kept."""
    trusted = trusted_keys(keys)
    report = await audit(log, trusted)
    if output is Output.json:
        print_json(report_as_json(report))
    else:
        print_report(report, signed=trusted is not None)
    return 0 if report.clean else FINDINGS


async def audit(url: str, keys: TrustedKeys | None = None) -> AuditReport:
    """Audit the ledger of the log at ``url``; with ``keys``, also its signatures."""
    heads = RememberedHeads()
    found = Audit(heads)
    async with existing_log(url) as log:
        for problem in await read_heads(log, heads, keys):
            found.unreadable_head(problem)
        statuses = _Statuses()

        def take(record: Record) -> None:
            if record.topic == LEDGER.name:
                found.take(record.key, record.value, record.offset, record.headers)
            else:
                statuses.take(record)

        await read_all(log, [FACTS, LEDGER], take)
    found.take_status((one.address, one.text()) for one in shown_twice(statuses.services.values(), found.ledger))
    return found.report()


class _Statuses:
    """The Services whose status shows something, as the facts have them."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceFact] = {}

    def take(self, record: Record) -> None:
        if not record.key.startswith("Service/"):
            return
        self.services.pop(record.key, None)
        try:
            fact = decode_fact(record.key, record.value)
        except UndecodableRecord:
            return  # no fact of a status: the processes put the record to dead letters
        if isinstance(fact, ServiceFact) and fact.ingress:
            self.services[record.key] = fact


def print_report(report: AuditReport, *, signed: bool = False) -> None:
    """Print the findings of an audit for people. ``signed``: signatures were checked."""
    verdict = "every promise is kept" if report.clean else f"{report.problems} PROBLEMS"
    say(
        f"{report.accepted} entries of {len(report.heads)} networks: {verdict}"
        f" ({report.rejected} rejected, harmless; {report.undecodable} undecodable; {report.skipped} after a break;"
        f" {report.remembered} remembered heads)"
    )
    if report.heads:
        columns = (_NETWORK, _ENTRIES, *((_SIGNED,) if signed else ()), _HEAD)
        print_table(columns, (_row(head, signed=signed) for head in report.heads))
    for finding in report.findings:
        say(_line(finding))
    if report.problems > len(report.findings):
        say(f"+{report.problems - len(report.findings)} more")
    for note in report.set_aside:
        say(f"note: {_line(note)}")
    for warning in report.warnings:
        say(f"warning: {_line(warning)}")


def _row(head: NetworkHead, *, signed: bool) -> tuple[str, ...]:
    proof = (f"to {head.proven}" if head.proven else "-",) if signed else ()
    return (head.network, str(head.seq), *proof, head.hash)


def _line(finding: Finding) -> str:
    place = f"{finding.network}#{finding.seq}" if finding.seq else finding.network
    address = f"{finding.address}: " if finding.address else ""
    return "  ".join(part for part in (finding.rule, place, f"{address}{finding.message}") if part)
