"""Reading a log to its end, for the commands that answer once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ledgerlb.cli.console import say
from ledgerlb.core.errors import BadInput, InvalidSetting
from ledgerlb.core.ledger.damage import Damage
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.eventlog.connect import connect, sqlite_path
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import EventLog, Record, read_to_end
from ledgerlb.eventlog.topics import Topic

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys

SIGNING_KEY: Final = "LEDGERLB_SIGNING_KEY_FILE"
TRUSTED_KEYS: Final = "LEDGERLB_TRUSTED_KEYS_FILE"
MAX_WARNINGS: Final = 10
"""Damaged networks that a command names."""


@asynccontextmanager
async def opened_log(url: str) -> AsyncIterator[EventLog]:
    """Connect to a log; raises InvalidSetting, LogUnavailable."""
    security = None
    if url.startswith("kafka:"):
        from ledgerlb.runtime.logging import hush  # noqa: PLC0415 - loads structlog, which only Kafka's client needs
        from ledgerlb.runtime.settings import process_settings  # noqa: PLC0415 - loads pydantic

        hush()
        security = process_settings().log_security
    log = connect(url, security)
    if path := os.environ.get(SIGNING_KEY):
        from ledgerlb.eventlog.keys import SigningKey  # noqa: PLC0415 - loads cryptography
        from ledgerlb.eventlog.signing import SigningLog  # noqa: PLC0415

        log = SigningLog(log, SigningKey(Path(path)))
    async with log as opened:
        yield opened


def trusted_keys(path: Path | None = None) -> TrustedKeys | None:
    """Return the keys in the file, by default the one that the environment names. Raises InvalidSetting."""
    path = path or (Path(os.environ[TRUSTED_KEYS]) if os.environ.get(TRUSTED_KEYS) else None)
    if path is None:
        return None
    from ledgerlb.eventlog.keys import TrustedKeys  # noqa: PLC0415 - loads cryptography

    return TrustedKeys(path)


@asynccontextmanager
async def existing_log(url: str) -> AsyncIterator[EventLog]:
    """Connect to a log that exists and has its ledger. Raises InvalidSetting, LogUnavailable, and TopicMisconfigured
    where the log has lost its ledger.
    """
    async with opened_existing(url) as log:
        await require_ledger(log)
        yield log


@asynccontextmanager
async def opened_existing(url: str) -> AsyncIterator[EventLog]:
    """Connect to a log that exists: a question must not create a file. Raises InvalidSetting, LogUnavailable."""
    if url.startswith("sqlite:"):
        path = sqlite_path(url)
        if not path.is_file():
            raise InvalidSetting(
                "option --log", "", f"there is no file {path}", "start ledgerlb run first, or name its log with --log"
            )
    async with opened_log(url) as log:
        yield log


def embedded_file(url: str) -> Path:
    """Return the file of an embedded log; raises InvalidSetting for any other log."""
    if not url.startswith("sqlite:"):
        raise InvalidSetting(
            "option --log", "", f"{url!r} is not an embedded log", "use the tools of Kafka for its topics"
        )
    return sqlite_path(url)


async def remembered_heads(log: EventLog, heads: RememberedHeads) -> None:
    """Add the heads that the log keeps to ``heads``, and demand the signatures that the environment demands.

    Prints a line on standard error for each head that cannot be used.
    """
    for line in (await read_heads(log, heads, trusted_keys()))[:MAX_WARNINGS]:
        say(f"warning: {line}", err=True)


def warn_of_damage(damaged: Mapping[str, Damage]) -> None:
    """Print on standard error which networks have a damaged ledger: what is shown of them may be out of date."""
    for name, damage in list(damaged.items())[:MAX_WARNINGS]:
        say(f"warning: network {name} is shown as of its last good entry: {damage.text()}", err=True)
    if len(damaged) > MAX_WARNINGS:
        say(f"warning: {len(damaged) - MAX_WARNINGS} more networks have a damaged ledger", err=True)


async def read_all(log: EventLog, topics: Sequence[Topic], take: Callable[[Record], None]) -> int:
    """Hand ``take`` every record up to the present end, and return how many it could not use (BadInput).

    Raises LogUnavailable when no record arrives for a while (``ledgerlb.eventlog.port.SILENCE``).
    """
    unusable = 0

    def count_unusable(record: Record) -> None:
        nonlocal unusable
        try:
            take(record)
        except BadInput:
            unusable += 1

    await read_to_end(log, topics, count_unusable)
    return unusable


async def read_all_from(
    log: EventLog, topics: Sequence[Topic], take: Callable[[Record], None], start: Mapping[str, int]
) -> dict[str, int]:
    """Hand ``take`` every record from the positions ``start`` (by topic; missing: the beginning) to the present end.
    Return the positions after them. Records that ``take`` cannot use (BadInput) are passed over. Raises LogUnavailable.
    """

    def pass_over(record: Record) -> None:
        with suppress(BadInput):
            take(record)

    return await read_to_end(log, topics, pass_over, start)
