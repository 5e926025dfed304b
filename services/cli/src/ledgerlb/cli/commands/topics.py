"""``ledgerlb topics apply|check``: the log's topics, as they are declared and as they are."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerlb.cli.console import DEFAULT_LOG, FINDINGS, LogOption, Output, OutputOption, guarded, print_json
from ledgerlb.cli.reading import existing_log
from ledgerlb.eventlog.connect import connect

app = typer.Typer(no_args_is_help=True, help="Provision the topics of a log, or check them.")


@app.command("apply")
@guarded
async def apply_topics(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    replication: Annotated[int, typer.Option("--replication", min=1, max=9, help="Copies of each new topic.")] = 1,
) -> None:
    """Create missing topics with their declared settings, and mend wrong settings."""
    async with connect(log) as opened:
        changes = await opened.provision(replication=replication)
    if output is Output.json:
        print_json({"changes": changes})
        return
    for line in changes or ["nothing to change"]:
        typer.echo(line)


@app.command("check")
@guarded
async def check_topics(log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> int:
    """Say what is wrong with the topics; exit status 1 where anything is."""
    async with existing_log(log) as opened:
        problems = await opened.check()
    if output is Output.json:
        print_json({"problems": problems})
    else:
        for line in problems or ["all topics are as declared"]:
            typer.echo(line)
    return FINDINGS if problems else 0
