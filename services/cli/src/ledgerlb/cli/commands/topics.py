"""``ledgerlb topics apply|check``: provision the log's topics, and compare them with their declaration."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    exit_statuses,
    guarded,
    print_json,
    say,
)
from ledgerlb.cli.reading import existing_log, opened_log
from ledgerlb.eventlog.heads import forget_heads, highest_heads
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.topics import LEDGER

topics = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Provision the topics of a log, or check them.",
)


@topics.command("apply", short_help="Create missing topics, correct wrong settings", epilog=exit_statuses())
@guarded
async def apply_topics(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    replication: Annotated[int, typer.Option("--replication", min=1, max=9, help="Copies of each new topic.")] = 1,
    new_ledger: Annotated[
        bool, typer.Option("--new-ledger", help="Begin a new ledger although the other topics show that one is lost.")
    ] = False,
) -> None:
    """Create missing topics with their declared settings, and correct wrong settings."""
    async with opened_log(log) as opened:
        if not new_ledger:
            await require_ledger(opened)
        changes = await opened.provision(replication=replication)
        if new_ledger and await opened.end(LEDGER) == 0:
            await forget_heads(opened, [head.network for head in await highest_heads(opened)])
    if output is Output.json:
        print_json({"changes": changes})
        return
    for line in changes or ["nothing to change"]:
        say(line)


@topics.command(
    "check",
    short_help="Compare the topics with their declaration",
    epilog=exit_statuses("a topic is missing, or its settings endanger the log"),
)
@guarded
async def check_topics(log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> int:
    """Report every topic that is missing or whose settings differ from its declaration."""
    async with existing_log(log) as opened:
        problems = await opened.check()
    if output is Output.json:
        print_json({"problems": problems})
    else:
        for line in problems or ["all topics are as declared"]:
            say(line)
    return FINDINGS if problems else 0
