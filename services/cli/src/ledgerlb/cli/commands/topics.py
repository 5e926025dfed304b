"""``ledgerlb topics apply|check``: provision the log's topics and who may use them, and check both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    command_group,
    exit_statuses,
    guarded,
    print_json,
    say,
)
from ledgerlb.cli.reading import existing_log, opened_log
from ledgerlb.core.errors import InvalidSetting, LogAccessDenied
from ledgerlb.eventlog.acls import ROLES, principals_of
from ledgerlb.eventlog.heads import forget_heads, highest_heads
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import LEDGER

if TYPE_CHECKING:
    from ledgerlb.eventlog.kafka import KafkaLog

NO_AUTHORIZER: Final = (
    "the brokers have no authorizer: every client that reaches them can forge allocations and delete the ledger; set "
    "authorizer.class.name on each broker, then run ledgerlb topics apply --acls"
)
PrincipalOption = Annotated[
    list[str] | None,
    typer.Option(
        "--principal",
        envvar="LEDGERLB_LOG_PRINCIPALS",
        metavar="ROLE=PRINCIPAL",
        help=f"Kafka's principal of a role ({', '.join(ROLES)}), such as ipam=User:CN=ipam; repeat it for more. By "
        "default User:ledgerlb-ROLE, and no administrator.",
    ),
]

topics = command_group("Provision the topics of a log, or check them.")


@topics.command("apply", short_help="Create missing topics, correct wrong settings", epilog=exit_statuses())
@guarded
async def apply_topics(  # noqa: PLR0917 - options of the command line, always given by name
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    replication: Annotated[int, typer.Option("--replication", min=1, max=9, help="Copies of each new topic.")] = 1,
    new_ledger: Annotated[
        bool, typer.Option("--new-ledger", help="Begin a new ledger although the other topics show that one is lost.")
    ] = False,
    acls: Annotated[
        bool, typer.Option("--acls", help="Also allow each service's principal what it needs (Kafka's ACLs).")
    ] = False,
    principal: PrincipalOption = None,
) -> None:
    """Create missing topics with their declared settings, and correct wrong settings. With --acls, also add the access
    rules that the services need; rules that are there stay.
    """
    principals = principals_of(principal or ())
    async with opened_log(log) as opened:
        granting = _kafka(opened, log) if acls else None
        if not new_ledger:
            await require_ledger(opened)
        changes = await opened.provision(replication=replication)
        if new_ledger and await opened.end(LEDGER) == 0:
            await forget_heads(opened, [head.network for head in await highest_heads(opened)])
        if granting is not None:
            changes += await granting.grant(principals)
    if output is Output.json:
        print_json({"changes": changes})
        return
    for line in changes or ["nothing to change"]:
        say(line)


@topics.command(
    "check",
    short_help="Compare the topics with their declaration, and access rules with what the services need",
    epilog=exit_statuses(
        "a topic is missing, its settings endanger the log, or a principal may do too little or too much"
    ),
)
@guarded
async def check_topics(
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    acls: Annotated[
        bool | None,
        typer.Option("--acls/--no-acls", help="Check access rules too; by default where brokers have an authorizer."),
    ] = None,
    principal: PrincipalOption = None,
) -> int:
    """Report every topic that is missing or whose settings differ from its declaration, every service that lacks an
    access rule, and every principal that could do too much.
    """
    principals = principals_of(principal or ())
    notes: list[str] = []
    async with existing_log(log) as opened:
        problems = await opened.check()
        if acls is not False and (acls or log.startswith("kafka:")):
            found, notes = await _access(_kafka(opened, log), principals, required=bool(acls))
            problems += found
    if output is Output.json:
        print_json({"problems": problems, "notes": notes})
    else:
        for note in notes:
            say(f"warning: {note}", err=True)
        for line in problems or ["all topics are as declared"]:
            say(line)
    return FINDINGS if problems else 0


async def _access(
    log: KafkaLog, principals: Mapping[str, Sequence[str]], *, required: bool
) -> tuple[list[str], list[str]]:
    """Return the problems of the access rules, and what could not be checked; what is ``required`` is a problem then.

    An open broker is a choice for a trusted network (``LEDGERLB_LOG_INSECURE``), so by itself it is only a warning.
    """
    try:
        problems = await log.check_access(principals)
    except LogAccessDenied as error:
        if required:
            raise
        return [], [f"the access rules were not checked: {error}"]
    if problems is None:
        return ([NO_AUTHORIZER], []) if required else ([], [NO_AUTHORIZER])
    return problems, []


def _kafka(opened: EventLog, url: str) -> KafkaLog:
    """Return the log as one on Kafka; raises InvalidSetting for another."""
    from ledgerlb.eventlog.kafka import KafkaLog  # noqa: PLC0415 - the client takes 0.2 s to import: only where used

    if not isinstance(opened, KafkaLog):
        raise InvalidSetting(
            "option --acls",
            "",
            f"{url!r} is not a log on Kafka",
            "leave it out: whoever may write the file owns the log",
        )
    return opened
