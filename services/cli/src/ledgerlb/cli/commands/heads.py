"""``ledgerlb heads show|forget``: the heads that LedgerLB remembers of each chain of the ledger."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    command_group,
    exit_statuses,
    guarded,
    print_json,
    say,
)
from ledgerlb.cli.reading import opened_existing
from ledgerlb.cli.tables import Column, print_table
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.heads import HeadRecord
from ledgerlb.core.text import timestamp
from ledgerlb.eventlog.heads import forget_heads, highest_heads

heads = command_group("Show the remembered heads of the ledger, or forget them.")

_COLUMNS: Final = (Column("NETWORK"), Column("ENTRIES"), Column("REMEMBERED", drop=1), Column("HEAD"))


@heads.command("show", short_help="Show the remembered head of each network", epilog=exit_statuses())
@guarded
async def show_heads(log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> None:
    """Show the highest head that was remembered of each network: the ledger must have it."""
    async with opened_existing(log) as opened:
        found = await highest_heads(opened)
    if output is Output.json:
        print_json({"heads": [_as_json(head) for head in found]})
    elif found:
        print_table(_COLUMNS, ((head.network, str(head.seq), timestamp(head.at), head.digest) for head in found))
    else:
        say("no heads are remembered")


@heads.command("forget", short_help="Accept a log that was replaced on purpose", epilog=exit_statuses())
@guarded
async def forget(
    networks: Annotated[
        list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Networks (NAMESPACE/NAME); default: all.")
    ] = None,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    yes: Annotated[bool, typer.Option("--yes", help="Forget; without it, only show what would be forgotten.")] = False,
) -> None:
    """Forget remembered heads, so that a ledger that ends before them, or differs from them, is accepted again. Stop
    IPAM (or ledgerlb run) first, and start all services again afterwards.
    """
    async with opened_existing(log) as opened:
        known = await highest_heads(opened)
        chosen = _chosen(known, networks or [])
        if yes:
            await forget_heads(opened, [head.network for head in chosen])
    if output is Output.json:
        print_json({"forgotten": yes, "heads": [_as_json(head) for head in chosen]})
        return
    verb = "forgot" if yes else "would forget (give --yes)"
    for head in chosen:
        say(f"{verb}: {head.network}#{head.seq} {head.digest}, remembered at {timestamp(head.at)}")
    if not chosen:
        say("no heads are remembered")


def _chosen(known: list[HeadRecord], networks: list[str]) -> list[HeadRecord]:
    by_name = {head.network: head for head in known}
    for network in networks:
        if network not in by_name:
            remedy = "ledgerlb heads show lists those that have one"
            raise BadInput(f"network {network}", "", "has no remembered head", remedy)
    return [by_name[network] for network in networks] if networks else known


def _as_json(head: HeadRecord) -> dict[str, object]:
    return {"network": head.network, "seq": head.seq, "hash": head.digest, "at": timestamp(head.at)}
