"""``ledgerlb confirm-deletions``: let a mass deletion go on that the watcher holds back.

The confirmation is a record of the facts topic, which names the incident, so it cannot confirm a later one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    guarded,
    print_json,
    say,
)
from ledgerlb.core.cluster.facts import ConfirmedFact, WithheldFact, decode_fact, encode_fact, fact_key, key_of
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import EventLog, NewRecord, latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.watcher.source_identity import whoami


@guarded
async def confirm_deletions(log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> int:
    """Confirm that the Services and networks which are missing from the cluster or folder are meant to be deleted."""
    async with connect(log) as opened:
        withheld = await withheld_deletions(opened)
        if withheld is not None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            fact = ConfirmedFact(uid=withheld.uid, created=now, by=whoami())
            await opened.append(FACTS, [NewRecord(key_of(fact), encode_fact(fact))])
    if output is Output.json:
        fields = {"gone", "held", "until", "services", "networks"}
        print_json({} if withheld is None else withheld.model_dump(mode="json", include=fields))
    elif withheld is None:
        say("Nothing is held back.")
    else:
        more = ", ..." if withheld.gone > len(withheld.services) else ""
        networks = f"networks {', '.join(withheld.networks)} and with them " if withheld.networks else ""
        what = f"{networks}{withheld.gone} of {withheld.held} Services"
        lost = "lose what they hold" if networks else "go"
        say(f"Confirmed: {what} {lost}: {', '.join(withheld.services)}{more}")
    return FINDINGS if withheld is None else 0


async def withheld_deletions(log: EventLog) -> WithheldFact | None:
    """Return the mass deletion that is held back, None where there is none. Raises LogUnavailable."""
    key = fact_key("Withheld", "", "deletions")
    record = (await latest(log, FACTS)).get(key)
    fact = decode_fact(key, record.value) if record is not None else None
    return fact if isinstance(fact, WithheldFact) else None
