"""``ledgerlb keys init|rotate|since|show``: the keys that sign the ledger, path sets and reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from ledgerlb.cli.commands.verify import audit
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
from ledgerlb.cli.reading import SIGNING_KEY, TRUSTED_KEYS, existing_log, read_all
from ledgerlb.cli.tables import Column, print_table
from ledgerlb.core.errors import BadInput, InvalidSetting
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.text import timestamp
from ledgerlb.eventlog.keys import (
    ROLES,
    Role,
    SigningKey,
    Since,
    TrustedFile,
    TrustedKey,
    TrustedKeys,
    make_key,
    read_trusted,
    write_private,
    write_trusted,
)
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import LEDGER

keys = command_group("Make, rotate and show the keys that sign the ledger, path sets and reports.")

_COLUMNS: Final = (Column("ID"), Column("SIGNS"), Column("CREATED", drop=1), Column("PUBLIC KEY"))

KeyOption = Annotated[
    Path,
    typer.Option("--key", envvar=SIGNING_KEY, metavar="FILE", help="The signing key (secret).", show_default=False),
]
TrustedOption = Annotated[
    Path,
    typer.Option(
        "--trusted", envvar=TRUSTED_KEYS, metavar="FILE", help="The trusted keys (public).", show_default=False
    ),
]


@keys.command("init", short_help="Make a signing key, and trust it", epilog=exit_statuses())
@guarded
async def init(
    key: KeyOption,
    trusted: TrustedOption,
    signs: Annotated[
        str, typer.Option("--signs", metavar="WHAT,…", help="What the key may sign: ledger, paths, reports.")
    ] = ",".join(ROLES),
    output: OutputOption = Output.text,
) -> None:
    """Make a signing key that only you can read, and add its public half to the trusted keys."""
    if key.exists():
        raise InvalidSetting(
            "option --key", str(key), "exists already", "name another file, or use ledgerlb keys rotate"
        )
    _add_key(key, trusted, _roles(signs), output)


@keys.command("rotate", short_help="Replace a signing key", epilog=exit_statuses())
@guarded
async def rotate(key: KeyOption, trusted: TrustedOption, output: OutputOption = Output.text) -> None:
    """Replace a signing key by a new one for the same records. The former one stays trusted for what it signed."""
    former = SigningKey(key).id
    known = {one.id: one for one in read_trusted(trusted).keys}
    if former not in known:
        problem = f"has the key {former}, which {trusted} does not trust"
        raise InvalidSetting("option --key", str(key), problem, "name the file that trusts it")
    _add_key(key, trusted, known[former].signs, output)


@keys.command(
    "since", short_help="Accept what is not signed so far", epilog=exit_statuses("the ledger breaks a promise")
)
@guarded
async def since(trusted: TrustedOption, log: LogOption = DEFAULT_LOG, output: OutputOption = Output.text) -> int:
    """Note in the trusted keys from which entry on each network must be signed: from the one after its last entry that
    none of them signed. What is before stays as it is now, by its hash.
    """
    report = await audit(log)
    if not report.clean:
        say(f"the ledger has {report.problems} problems; ledgerlb verify names them", err=True)
        return FINDINGS
    content = read_trusted(trusted)
    found = await _last_unsigned(log, TrustedKeys(trusted))
    write_trusted(trusted, TrustedFile(keys=content.keys, since=found))
    if output is Output.json:
        print_json({"since": _since_as_json(found)})
        return 0
    _say_since(found)
    if not found:
        say("every entry is signed")
    return 0


@keys.command("show", short_help="Show the trusted keys", epilog=exit_statuses())
@guarded
async def show(trusted: TrustedOption, output: OutputOption = Output.text) -> None:
    """Show the public keys that are trusted, and from which entry on each network must be signed."""
    content = read_trusted(trusted)
    if output is Output.json:
        print_json({"keys": [_as_json(one) for one in content.keys], "since": _since_as_json(content.since)})
        return
    print_table(_COLUMNS, ((one.id, ",".join(one.signs), timestamp(one.created), one.public) for one in content.keys))
    _say_since(dict(sorted(content.since.items())))


def _say_since(starts: Mapping[str, Since]) -> None:
    for network, one in starts.items():
        say(f"{network}: entries must be signed from {one.seq} on")


def _since_as_json(starts: Mapping[str, Since]) -> dict[str, object]:
    return {network: {"seq": one.seq, "prev": one.prev} for network, one in starts.items()}


def _roles(text: str) -> tuple[Role, ...]:
    named = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in named if part not in ROLES]
    if unknown or not named:
        problem = f"has {', '.join(unknown)}" if unknown else "is empty"
        raise BadInput("option --signs", text, problem, f"write some of {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in named)


def _add_key(key: Path, trusted: Path, signs: tuple[Role, ...], output: Output) -> None:
    """Make a key pair. The public key is trusted before the private one is there to sign."""
    content = read_trusted(trusted) if trusted.exists() else TrustedFile()
    pem, public = make_key(signs)
    write_trusted(trusted, TrustedFile(keys=(*content.keys, public), since=content.since))
    write_private(key, pem)
    if output is Output.json:
        print_json({"key": str(key), "trusted": str(trusted), **_as_json(public)})
        return
    say(f"{key}: signing key {public.id} for {', '.join(public.signs)}; keep it secret")
    say(f"{trusted}: trusts it; give this file to every process")


def _as_json(key: TrustedKey) -> dict[str, object]:
    return {"id": key.id, "public": key.public, "signs": list(key.signs), "created": timestamp(key.created)}


async def _last_unsigned(url: str, trusted: TrustedKeys) -> dict[str, Since]:
    """Return, by network, the entry after the last one that no trusted key signed."""
    signatures = trusted.of(LEDGER.name)
    fold = LedgerFold()
    found: dict[str, Since] = {}

    def take(record: Record) -> None:
        outcome = fold.take(record.key, record.value, record.offset)
        if isinstance(outcome, Accepted) and signatures.objection(record.key, record.value, record.headers):
            found[record.key] = Since(outcome.entry.seq + 1, outcome.digest)

    async with existing_log(url) as log:
        await read_all(log, [LEDGER], take)
    return dict(sorted(found.items()))
