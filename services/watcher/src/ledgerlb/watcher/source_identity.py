"""Which cluster or folder a source is: the log is about one, and no other one may write to it.

The watcher compares the source's identity with the log's ``Source`` fact before the first batch. Writers wait for the
same check.
"""

from __future__ import annotations

import asyncio
import getpass
import platform
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from ledgerlb.core.cluster.facts import SourceFact, decode_fact, fact_key
from ledgerlb.core.errors import BadInput, ClusterError, ClusterUnavailable, InvalidSetting
from ledgerlb.kube.writer import ClusterWriter, Object, Write
from ledgerlb.runtime.backoff import Backoff
from ledgerlb.runtime.parts import Clock
from ledgerlb.runtime.stopping import sleep_or_stop

WRITE_SECONDS: Final = 30.0
"""Seconds for which a write waits until the source is known to be the right one."""

_logger = structlog.get_logger(__name__)

Identify = Callable[[str, bool], Awaitable[str]]
"""Return the identity of the source, given the one that the log knows and whether to make a new one (see
``manifests.identity.identity_of``). Raises ClusterError."""


class WrongSource(InvalidSetting):
    """The log is about another cluster or folder."""


async def claim(
    identify: Identify | None, facts: Mapping[str, bytes], clock: Clock, stop: asyncio.Event, *, adopt: bool
) -> SourceFact | None:
    """Return the fact of the source to record, None if the log has it already. ``facts`` are the log's of this kind.

    ``identify`` None: any source is right. ``adopt``: the source may take over a log about another one. Raises
    WrongSource.
    """
    if identify is None:
        return None
    value = facts.get(fact_key("Source", "", "identity"))
    known = ""
    if value is not None:
        fact = decode_fact(fact_key("Source", "", "identity"), value)
        known = fact.identity if isinstance(fact, SourceFact) else ""
    backoff = Backoff()
    while not stop.is_set():
        try:
            found = await identify(known, adopt)
        except (ClusterError, BadInput) as error:
            wait = backoff.next()
            _logger.warning("cannot identify the source; trying again", error=str(error), seconds=wait)
            await sleep_or_stop(stop, wait)
            continue
        return _compared(known, found, clock, adopt=adopt)
    return None


def _compared(known: str, found: str, clock: Clock, *, adopt: bool) -> SourceFact | None:
    if known == found:
        return None
    if known and not adopt:
        shown = found or "a folder without an identity file"
        raise WrongSource(
            "source",
            shown,
            f"is not the source of this log, which is {known}: nothing is written and nothing is released",
            "name the right cluster, folder or log, or mount the volume; to let this source take the log over, "
            "start with --adopt-log (LEDGERLB_ADOPT_LOG=true)",
        )
    now = rfc3339(clock())
    _logger.info("source of the log recorded", identity=found, replaces=known)
    return SourceFact(identity=found, replaces=known, by=whoami(), created=now)


class AdmittedWriter:
    """A ClusterWriter that writes nothing before the source is known to be the log's."""

    def __init__(self, writer: ClusterWriter, admitted: asyncio.Event) -> None:
        self._writer = writer
        self._admitted = admitted

    async def write(self, write: Write) -> Object | None:
        """See ClusterWriter. Waits for the check; raises ClusterUnavailable where it takes too long."""
        if not self._admitted.is_set() and not await sleep_or_stop(self._admitted, WRITE_SECONDS):
            raise ClusterUnavailable("the source of the log is not known to be the right one yet")
        return await self._writer.write(write)

    async def close(self) -> None:
        """See ClusterWriter."""
        await self._writer.close()


def whoami() -> str:
    """Return ``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{platform.node()}"


def rfc3339(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
