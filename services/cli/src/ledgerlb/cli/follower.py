"""Folds a running pipeline's log into a view, and reports when everything is at rest."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ledgerlb.cli.service_table import ServiceTable
from ledgerlb.core.errors import BadInput
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import DEAD_LETTERS, REPORTS, Topic
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.logview import LogView, ServiceLine
from ledgerlb.runtime.projection import Projection

QUIET: Final = 0.6
"""Seconds without any change after which nothing more is expected."""
POLL: Final = 0.1
MAX_DEAD_LETTERS: Final = 1000
"""Dead letters kept for the report at the end; the topic has them all."""
LETTERS_POLL: Final = 0.5
"""The longest wait for dead letters: bounds how late a stop is noticed."""


class Follower:
    """A Processor that writes nothing; see module. ``source_ready`` tells whether the cluster's objects are all in the
    log. A task runs ``run``, which reads the dead letters.
    """

    name = "follower"
    reads: tuple[Topic, ...] = LogView.READS
    low_priority = True

    def __init__(
        self, settings: DomainSettings, source_ready: Callable[[], bool], projection: Projection | None = None
    ) -> None:
        projection = projection or Projection()
        self.view = LogView(settings, projection)
        self._table = ServiceTable(self.view, projection)
        self.dead_letters: list[str] = []
        """Problems of the records that went to dead letters since the start, at most ``MAX_DEAD_LETTERS``."""
        self.changed = asyncio.Event()
        self._source_ready = source_ready
        self._caught_up = False
        self._changed_at = time.monotonic()
        self._health: Health | None = None

    async def run(self, log: EventLog, health: Health, stop: asyncio.Event) -> None:
        """Collect dead letters until ``stop``."""
        self._health = health
        start = {DEAD_LETTERS.name: await log.end(DEAD_LETTERS)}
        async with await log.open([DEAD_LETTERS], start) as reader:
            while not stop.is_set():
                for record in await reader.poll(LETTERS_POLL):
                    if len(self.dead_letters) < MAX_DEAD_LETTERS:
                        self.dead_letters.append(_letter(record))
                    self._note_change()
                await asyncio.sleep(0)

    def reset(self) -> None:
        """See Processor."""
        self.view.reset()
        self._table.reset()
        self._caught_up = False

    def take(self, record: Record) -> None:
        """See Processor."""
        try:
            self.view.take(record)
        except BadInput:
            self._table.take(record)
            return  # the service that needs the record writes the dead letter
        self._table.take(record)
        if not (record.topic == REPORTS.name and record.key.startswith("heartbeat/")):
            self._note_change()

    async def settle(self, log: EventLog) -> float | None:
        """See Processor."""
        del log
        self.view.at_end()
        self._caught_up = True
        await asyncio.sleep(0)
        return None

    def _note_change(self) -> None:
        self._changed_at = time.monotonic()
        self.changed.set()

    def lines(self) -> list[ServiceLine]:
        """Return every Service that LedgerLB serves, or that holds an address."""
        return [line for line in self._table.lines(datetime.now(UTC)) if is_shown(line)]

    def changes(self) -> dict[str, ServiceLine | None]:
        """Return the lines that changed since the last call, by name; None for a Service that left ``lines``."""
        changed = self._table.changes(datetime.now(UTC))
        return {name: line if line is not None and is_shown(line) else None for name, line in changed.items()}

    def is_current(self) -> bool:
        """Return whether the log was read to its end, the cluster's objects were listed, and all of them are in the
        log.
        """
        return self._caught_up and self._source_ready()

    def unsettled(self) -> list[str]:
        """Return what is still under way, a line each; [] when every Service has its verdict and nothing moves."""
        if not self._caught_up:
            return ["the log is being read"]
        if not self._source_ready():
            return ["the cluster's objects are being read"]
        waiting = self._health.not_ready() if self._health is not None else ["the services are starting"]
        if (held := self.view.cluster.withheld()) is not None:
            until = f" until {held.until}" if held.until else ""
            waiting.append(
                f"{held.loss}, and this is held back{until}; restore the source, or run ledgerlb confirm-deletions"
            )
        waiting += [f"{line.name}: {why}" for line in self.lines() if (why := self._under_way(line))]
        if not waiting and time.monotonic() - self._changed_at < QUIET:
            return ["something changed a moment ago"]
        return waiting

    def _under_way(self, line: ServiceLine) -> str:
        shown = line.publication
        if shown.state == "Ignored":
            return ""
        if shown.state == "Deleted" or (shown.state == "Moving" and not is_blocked(line)):
            return f"is {shown.state}" + (f" ({shown.message})" if shown.message else "")
        if line.fact is not None and line.fact.ingress != shown.addresses:
            return "its status is being written"
        if shown.state == "Pending":
            return "" if shown.decided and shown.reason else "has no verdict yet"
        for address in shown.addresses:
            if address not in self.view.path_sets:
                return f"{address} has no path set yet"
            if address in line.path_sets and not self._programmed(address):
                return f"{address} is not programmed on every node yet"
        return ""

    def _programmed(self, address: str) -> bool:
        agents = self.view.agents
        return agents.programmed(address, datetime.now(UTC), self.view.settings.agent_timeout)

    def not_ready(self) -> list[str]:
        """Return every served Service that does not have what it wants, a line each with the reason."""
        return [
            f"{line.name} is {line.publication.state}: {line.publication.reason or line.publication.message}"
            for line in self.lines()
            if line.publication.state not in {"Ready", "Ignored"}
        ]

    async def settled(self, within: float) -> list[str]:
        """Wait until everything is at rest; return what was still under way after ``within`` seconds."""
        deadline = time.monotonic() + within
        while waiting := self.unsettled():
            if time.monotonic() > deadline:
                return waiting
            await asyncio.sleep(POLL)
        return []


def is_shown(line: ServiceLine) -> bool:
    """Return whether LedgerLB serves the Service, or it holds an address."""
    return line.publication.state != "Ignored" or bool(line.holdings)


def is_blocked(line: ServiceLine) -> bool:
    """Return whether a Service that moves waits for a person: it has its verdict, and keeps its old address until then.

    A move that goes on has no reason, or addresses that some node does not forward yet.
    """
    shown = line.publication
    return shown.state == "Moving" and shown.decided and bool(shown.reason) and not shown.awaiting


def _letter(record: Record) -> str:
    try:
        letter = json.loads(record.value or b"")
        return f"{letter['topic']} offset {letter['offset']} key {letter['key']!r}: {letter['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{record.key!r}: a dead letter that cannot be read"
