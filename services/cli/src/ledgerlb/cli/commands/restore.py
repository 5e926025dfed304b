"""``ledgerlb restore``: replace an embedded log with a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledgerlb.cli.commands.backup import contents_as_json, contents_text
from ledgerlb.cli.console import DEFAULT_LOG, LogOption, Output, OutputOption, guarded, print_json, say
from ledgerlb.cli.reading import embedded_file
from ledgerlb.eventlog.embedded.backup import restore as put_back


@guarded
async def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to restore.", show_default=False)],
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    force: Annotated[
        bool, typer.Option("--force", help="Restore although the present log has entries that FILE lacks.")
    ] = False,
) -> None:
    """Put the backup FILE in the place of an embedded log that no process has open. Keeps the former log beside it."""
    target = embedded_file(log)
    found, kept = put_back(file, target, force=force)
    if output is Output.json:
        former = None if kept is None else str(kept)
        print_json({"log": str(target), "former": former, **contents_as_json(found)})
        return
    say(f"{target}: {contents_text(found)}")
    if kept is not None:
        say(f"the former log is kept as {kept}")
