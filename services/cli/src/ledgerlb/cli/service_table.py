"""Every Service's line, kept up to date while a pipeline runs: a record costs only the Services that it concerns.

Computing all lines again after every change took half of the time of ``ledgerlb run`` at 20 new Services a
second, and delayed each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.paths.pathset import Report
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS
from ledgerlb.runtime.logview import LogView, ServiceLine
from ledgerlb.runtime.projection import Projection

_SERVICE = "Service/"


class ServiceTable:
    """See module. ``take`` gets each record after ``view`` has folded it, or has failed to.

    ``projection`` is that of the view: it answers what a record was without decoding it again.
    """

    def __init__(self, view: LogView, projection: Projection) -> None:
        self._view = view
        self._projection = projection
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._lines: dict[str, ServiceLine] = {}
        self._waiting: dict[str, None] = {}
        """Services that time alone may change."""
        self._stale: dict[str, None] = {}
        self._reach = (False, False)
        """Whether agents are known that program addresses, and that record them only."""
        self._unreported: dict[str, None] = {}
        self._programmed_for: dict[str, tuple[str, ...]] = {}
        """Services of the last path set under each key."""
        self._ordered: list[ServiceLine] | None = None

    def take(self, record: Record) -> None:
        """Note which Services a record concerns."""
        try:
            concerned = tuple(self._concerned(record))
        except BadInput:
            # A damaged network changes what is shown of all of its Services; any other such record changes nothing.
            concerned = tuple(self._view.service_names()) if record.topic == LEDGER.name else ()
        self._stale.update(dict.fromkeys(concerned))

    def _concerned(self, record: Record) -> Iterable[str]:
        match record.topic:
            case FACTS.name:
                return (record.key.removeprefix(_SERVICE),) if record.key.startswith(_SERVICE) else ()
            case INTENTS.name:
                service = record.key.partition("|")[2]
                return (service,) if service else ()
            case LEDGER.name:
                return self._of_entry(record)
            case PATHS.name:
                return self._of_path_set(record)
            case REPORTS.name:
                report = self._projection.report(record)
                holdings = self._view.ledger.holding(report.address) if isinstance(report, Report) else ()
                return (holding.service for holding in holdings)
            case _:
                return ()

    def _of_entry(self, record: Record) -> Iterable[str]:
        outcome = self._projection.entry(record)
        if not isinstance(outcome, Accepted):
            return
        for event in outcome.entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                yield service
            address = getattr(event, "address", None)
            if address is not None:
                # The data path may serve another network's holder of the address from now on.
                others = self._view.ledger.holding_elsewhere(address, outcome.entry.network)
                yield from (holding.service for holding in others)

    def _of_path_set(self, record: Record) -> Iterable[str]:
        before = self._programmed_for.pop(record.key, ())
        path_set = self._projection.path_set(record)
        after = tuple(path_set.services) if path_set is not None else ()
        if after:
            self._programmed_for[record.key] = after
        return (*before, *after)

    def _refresh(self, now: datetime) -> None:
        """Compute the lines that a record or time may have changed: time ends the wait for a dead agent."""
        waiting = list(self._waiting)
        live = self._view.agents.live(now, self._view.settings.agent_timeout)
        if (bool(live.programming), bool(live.recording)) != self._reach:
            self._reach = (bool(live.programming), bool(live.recording))
            waiting = list(self._lines)
        for name in (*self._stale, *waiting):
            line = self._view.service(name, now)
            if line == self._lines.get(name):
                continue
            self._unreported[name] = None
            self._ordered = None
            self._put(name, line)
        self._stale.clear()

    def _put(self, name: str, line: ServiceLine) -> None:
        self._waiting.pop(name, None)
        if line.fact is None and not line.holdings:
            self._lines.pop(name, None)
            return
        self._lines[name] = line
        if _waits(line):
            self._waiting[name] = None

    def lines(self, now: datetime) -> list[ServiceLine]:
        """Return every Service that exists or holds an address, by name."""
        self._refresh(now)
        if self._ordered is None:
            self._ordered = [self._lines[name] for name in sorted(self._lines)]
        return list(self._ordered)

    def changes(self, now: datetime) -> dict[str, ServiceLine | None]:
        """Return the lines that changed since the last call, by name; None for a Service that is gone."""
        self._refresh(now)
        changed, self._unreported = self._unreported, {}
        return {name: self._lines.get(name) for name in changed}


def _waits(line: ServiceLine) -> bool:
    """Return whether the death of an agent may change the line."""
    reach = line.publication.reachability
    return bool(line.publication.awaiting) or (reach is not None and reach.status == "Unknown")
