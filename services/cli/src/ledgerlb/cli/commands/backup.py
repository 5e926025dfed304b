"""``ledgerlb backup``: a consistent copy of an embedded log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledgerlb.cli.console import DEFAULT_LOG, LogOption, Output, OutputOption, guarded, print_json, say
from ledgerlb.cli.reading import embedded_file
from ledgerlb.eventlog.embedded.backup import Contents
from ledgerlb.eventlog.embedded.backup import backup as copy_log


@guarded
async def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
) -> None:
    """Copy an embedded log to FILE as of one moment. Processes may go on appending meanwhile."""
    found = copy_log(embedded_file(log), file, replace=force)
    if output is Output.json:
        print_json({"file": str(file), **contents_as_json(found)})
    else:
        say(f"{file}: {contents_text(found)}")


def contents_as_json(found: Contents) -> dict[str, object]:
    """What a log file holds, as JSON data."""
    return {"records": found.records, "ledger_end": found.ledger_end}


def contents_text(found: Contents) -> str:
    """What a log file holds, as a line for people."""
    return f"{sum(found.records.values())} records, {found.ledger_end} ledger entries"
