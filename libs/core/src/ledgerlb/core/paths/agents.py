"""Which agents live, and what each last reported: a fold of the reports topic."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from ledgerlb.core.index import Index
from ledgerlb.core.paths.pathset import RECORD, Heartbeat, Report, ReportRecord


class LiveAgents(NamedTuple):
    """Agents that are alive, sorted: those whose back end programs something, and those that only record.

    ``recording`` are known rather than alive: they program nothing either way. It is empty where a dead agent with a
    real back end is known, because the addresses may still be programmed there.
    """

    programming: tuple[str, ...] = ()
    recording: tuple[str, ...] = ()


class AgentTable:
    """The last heartbeat of each agent and its last report for each address. Times are aware UTC; ``timeout`` in
    seconds.

    A heartbeat from the future counts from when it was read. Otherwise an agent whose clock ran ahead would count as
    alive until that time comes, and releases would wait for it.
    """

    def __init__(self) -> None:
        self._heartbeats: dict[str, Heartbeat] = {}
        self._reports: Index[str, str, Report] = Index()
        self._live: tuple[datetime, float, LiveAgents] | None = None

    def take(self, key: str, record: ReportRecord | None, read_at: datetime) -> None:
        """Fold one record of the reports topic (None: a tombstone), which was read at ``read_at``."""
        self._live = None
        if record is None:
            head, _, agent = key.rpartition("/")
            if head == "heartbeat":
                self._heartbeats.pop(agent, None)
            else:
                self._reports.discard(head, agent)
        elif isinstance(record, Heartbeat):
            if record.at > read_at:
                record = record.model_copy(update={"at": read_at})
            self._heartbeats[record.agent] = record
        else:
            self._reports.put(record.address, record.agent, record)

    def agents(self) -> tuple[Heartbeat, ...]:
        """Return the last heartbeat of every agent ever heard of, by name."""
        return tuple(self._heartbeats[name] for name in sorted(self._heartbeats))

    def alive(self, now: datetime, timeout: float) -> tuple[str, ...]:
        """Return the agents that may still forward: heard within ``timeout``, without a goodbye. Sorted."""
        limit = now - timedelta(seconds=timeout)
        return tuple(beat.agent for beat in self.agents() if not beat.stopped and beat.at >= limit)

    def live(self, now: datetime, timeout: float) -> LiveAgents:
        """Return the live agents by what they do. The answer for one moment is worked out once."""
        if self._live is None or self._live[:2] != (now, timeout):
            alive = set(self.alive(now, timeout))
            here = [beat for beat in self.agents() if not beat.stopped]
            programming = [beat.agent for beat in here if beat.backend != RECORD]
            recording = [beat.agent for beat in here if beat.backend == RECORD] if not programming else []
            live = LiveAgents(tuple(agent for agent in programming if agent in alive), tuple(recording))
            self._live = (now, timeout, live)
        return self._live[2]

    def next_death(self, now: datetime, timeout: float) -> float | None:
        """Return in how many seconds the first agent with a real back end will have died unless it is heard; None where
        none lives.
        """
        programming = self.live(now, timeout).programming
        deaths = [(self._heartbeats[agent].at - now).total_seconds() + timeout for agent in programming]
        return max(0.0, min(deaths)) if deaths else None

    def heard_since(self, since: datetime) -> tuple[str, ...]:
        """Return the agents heard at or after ``since`` without a goodbye, including those that died. Sorted."""
        return tuple(beat.agent for beat in self.agents() if not beat.stopped and beat.at >= since)

    def reports(self, address: str) -> tuple[Report, ...]:
        """Return the last report of each agent for the address, by agent name."""
        found = self._reports.of(address)
        return tuple(found[name] for name in sorted(found))

    def done_by(self, report: Report) -> str:
        """Return what the agent did, in a word: ``programmed``, ``recorded`` (its back end programs nothing),
        ``withdrawn`` or ``failed``. An older report does not name the back end: then the agent's heartbeat does.
        """
        beat = self._heartbeats.get(report.agent)
        backend = report.backend or (beat.backend if beat is not None else "")
        return "recorded" if report.state == "programmed" and backend == RECORD else report.state

    def programmed(self, address: str, now: datetime, timeout: float, *, allocations: Collection[str] = ()) -> bool:
        """Return whether every live agent forwards the address; true where no agent lives.

        With ``allocations`` (``network#seq`` each), only forwarding for the holder of one of them counts. A report
        without any allocation comes from an older agent, and counts too.
        """
        done = {
            report.agent
            for report in self.reports(address)
            if report.state == "programmed"
            and (not allocations or not report.allocations or any(one in report.allocations for one in allocations))
        }
        return all(agent in done for agent in self.alive(now, timeout))

    def withdrawn(self, address: str, release: str) -> tuple[str, ...]:
        """Return the agents that do not forward for the released holding (``release`` is ``network#seq``), sorted.

        An agent confirms by reporting the withdrawal. An agent that forwards the address for another network does not
        forward it for this one: a path set serves one network at a time.
        """
        network = release.rpartition("#")[0]
        return tuple(
            report.agent
            for report in self.reports(address)
            if (report.state == "withdrawn" and report.release == release) or _serves_another(report, network)
        )


def _serves_another(report: Report, network: str) -> bool:
    return (
        report.state == "programmed"
        and bool(report.allocations)
        and all(allocation.rpartition("#")[0] != network for allocation in report.allocations)
    )
