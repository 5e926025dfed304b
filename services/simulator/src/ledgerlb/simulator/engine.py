"""The simulator: the real processors on a log in memory, in virtual time, stepped one after the other until all rest.

No part runs by itself: an action changes the cluster, the clock or a part, and ``pump`` then lets every part take its
turn in a fixed order, round after round, until a round changes nothing. So a scenario has one outcome on every machine.

Virtual time hops from one wake-up to the next. Agents send their heartbeats at every hop, before any part reads them,
and cause no hops themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from ledgerlb.core.errors import BadInput, LedgerLBError
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer import assemble as programmer
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import EventLog, Reader, Record
from ledgerlb.eventlog.topics import Topic
from ledgerlb.ipam import assemble as ipam
from ledgerlb.kube.kinds import CLUSTER_SCOPED
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.source import Batch, ClusterSource, ProblemLog, seen
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.network_selector import assemble as selector
from ledgerlb.runtime.logview import LogView
from ledgerlb.runtime.metrics import Metrics
from ledgerlb.runtime.parts import Parts, Ports
from ledgerlb.runtime.projection import Projection
from ledgerlb.simulator.backend import SimulatedBackend
from ledgerlb.simulator.clock import VirtualClock
from ledgerlb.simulator.faults import Fault, FaultyLog, FaultyWriter
from ledgerlb.simulator.process import Process, World
from ledgerlb.simulator.scenario import AgentMode, Part, Reference
from ledgerlb.watcher import assemble as watcher
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.work import Limits

FABRIC: Final = "fabric"
MAX_ROUNDS: Final = 2000
MAX_HOPS: Final = 100_000
PATIENCE: Final = 20.0
"""Seconds of real time in which a part's writes, all of them in memory, must be done."""
_ONE_BY_ONE: Final = Limits(concurrency=1, quiet=0.0, patience=0.0, between=0.0)
"""Write one object after the other, Events and the status of pools at once, for the same order in each run."""
_CHECKED_BY_SERVER: Final = frozenset({"Service", "Namespace", "EndpointSlice", "Endpoints", "Pod", "Node"})
"""Kinds of which an API server refuses a broken object; it may accept a broken custom resource."""
_DECIDER: Final = "simulation"
_FAR: Final = 10 * 366 * 86400.0
"""Seconds. Simulated agents need no periodic reconcile, because only they change their record."""


_P = TypeVar("_P", bound=Parts)


class Restless(LedgerLBError):
    """The parts did not come to rest, or time did not advance: two parts undo each other's work. Always a bug."""


class Engine:
    """See module. ``remember`` bounds what ``redeliver`` may ask for; ``fault`` kills parts after appends."""

    def __init__(self, settings: DomainSettings, *, remember: int = 0, fault: Fault | None = None) -> None:
        self.clock = VirtualClock()
        self.view = LogView(settings, Projection(self.clock))
        self.view.accepted = []
        self.writes: list[Mapping[str, Any]] = []
        """Objects as they were written, in order, since the caller last cleared the list."""
        self.problems: list[str] = []
        """Problems of objects and records, each once."""
        self._settings = settings
        self._fault = fault
        self._log = MemoryLog(clock=self.clock)
        self._cluster = MemoryCluster(self.clock)
        self._writer: ClusterWriter = MemoryWriter(self._cluster, self.writes.append)
        self._problem_log = _Problems(self.problems)
        self._world = World(self.clock, Metrics(), self._problem_log.say, remember)
        self._changed: deque[tuple[str, str, str]] = deque(maxlen=remember)
        self._subscription = self._cluster.subscribe()
        self._known = False
        self._silent = False
        self._mode: AgentMode = "normal"
        self._observing = False
        """Whether the observer has read what the log says."""
        self._reader: Reader | None = None
        self._selector = self._process("network-selector", self._assemble_selector)
        self._ipam = self._process("ipam", self._assemble_ipam)
        self._planner = self._process("planner", lambda: self._programmer(roles=("planner",)))
        self._watcher = Process(self._assemble_watcher, self._log_of("watcher"), self._world, _finish_writes)
        self._agents: dict[str, Process[programmer.ProgrammerParts]] = {}

    def _process(self, name: str, make: Callable[[], _P]) -> Process[_P]:
        return Process(make, self._log_of(name), self._world)

    def _assemble_selector(self) -> Parts:
        return selector.assemble(self._settings, Ports(clock=self.clock))

    def _assemble_ipam(self) -> Parts:
        return ipam.assemble(self._settings, ipam.IpamPorts(clock=self.clock, decider=_DECIDER))

    def _assemble_watcher(self) -> watcher.WatcherParts:
        self._observing = False
        self._source = ClusterSource(self._cluster, self._problem_log)
        writer = self._writer if self._fault is None else FaultyWriter(self._writer, "watcher", self._fault)
        ports = watcher.WatcherPorts(
            clock=self.clock, source=self._source, writer=writer, limits=_ONE_BY_ONE, problems=self._problem_log
        )
        return watcher.assemble(self._settings, WatcherSettings.model_construct(), ports)

    def _programmer(self, **settings: Any) -> programmer.ProgrammerParts:
        """Assemble a planner or an agent. The environment has no say, and the bounds of real settings do not hold."""
        backend = None if self._mode == "normal" else SimulatedBackend(fails=self._mode == "failing")
        ports = programmer.ProgrammerPorts(clock=self.clock, backend=backend)
        return programmer.assemble(self._settings, ProgrammerSettings.model_construct(**settings), ports)

    def _log_of(self, name: str) -> EventLog:
        return self._log if self._fault is None else FaultyLog(self._log, name, self._fault)

    def records(self, topic: Topic) -> list[Record]:
        """Return every record of a topic so far."""
        return list(self._log.store.topics.get(topic.name, ()))

    # Actions

    async def apply(self, objects: Iterable[tuple[Mapping[str, Any], str]]) -> None:
        """Apply objects, each with its place (``file:line``); after the first call every kind counts as listed.

        Raises BadInput, with that place, for an object that an API server would refuse.
        """
        for obj, place in objects:
            try:
                if obj.get("kind") in _CHECKED_BY_SERVER:
                    fact_of(obj, every_pod=True)
                self._cluster.apply(obj)
            except BadInput as error:
                subject = f"{place}: {error.subject}" if place else error.subject
                raise BadInput(subject, error.field, error.problem, error.remedy) from error
        self._known = True
        await self.pump()

    async def delete(self, references: Iterable[Reference]) -> list[Reference]:
        """Delete objects; returns those that do not exist."""
        missing = []
        for reference in references:
            namespace = "" if reference.kind in CLUSTER_SCOPED else reference.namespace or "default"
            if not self._cluster.delete(reference.kind, namespace, reference.name):
                missing.append(reference)
        await self.pump()
        return missing

    async def advance(self, seconds: float) -> None:
        """Let time pass, honouring every wake-up on the way, in order of time."""
        end = self.clock() + timedelta(seconds=seconds)
        for _ in range(MAX_HOPS):
            moments = [at for process in self._deciders() if (at := process.due()) is not None and at <= end]
            self.clock.move_to(max(self.clock(), min(moments, default=end)))
            await self.pump()
            if not moments:
                return
        raise Restless(f"more than {MAX_HOPS} wake-ups in {seconds:g} s of virtual time")

    async def restart(self, parts: Iterable[Part]) -> None:
        """Drop the memory of parts: they begin again from the log."""
        for part in parts:
            for process in self._processes_of(part):
                await process.restart()
        await self.pump()

    async def redeliver(self, count: int) -> None:
        """Deliver the last ``count`` inputs of every part a second time."""
        if count and self._observing:
            for kind, namespace, name in list(self._changed)[-count:]:
                obj = self._cluster.get(kind, namespace, name)
                if obj is not None:
                    self._watcher.parts.observer.take(Batch(kind, tuple(seen(kind, [obj], self._problem_log)[0])))
        agents = () if self._silent else self._agents.values()
        for process in (*self._deciders(), *agents):
            await process.deliver_again(count)
        await self.pump()

    async def agents(self, mode: AgentMode) -> None:
        """Make the agents silent (no report, no heartbeat), or let them catch up on everything that they missed.

        With ``programming`` and ``failing`` they run with a back end that counts as a real one.
        """
        self._silent = mode == "silent"
        if mode not in {"silent", self._mode}:
            self._mode = mode
            for process in self._agents.values():
                await process.restart()
        await self.pump()

    def _processes_of(self, part: Part) -> list[Process[Any]]:
        match part:
            case "watcher":
                return [self._watcher]
            case "selector":
                return [self._selector]
            case "ipam":
                return [self._ipam]
            case "programmer":
                return [self._planner, *self._agents.values()]

    # Running

    def _deciders(self) -> list[Process[Any]]:
        return [self._selector, self._ipam, self._planner, self._watcher]

    async def pump(self) -> None:
        """Let every part take its turn until nothing changes any more; raises Restless after too many rounds."""
        for _ in range(MAX_ROUNDS):
            moved = await self._observe()
            await self._look()
            await self._follow_nodes()
            if not self._silent:
                for agent in list(self._agents.values()):
                    moved |= await agent.step()
            for process in self._deciders():
                moved |= await process.step()
            if not moved:
                await self._look()
                return
        raise Restless(f"the parts did not come to rest within {MAX_ROUNDS} rounds")

    async def _observe(self) -> bool:
        """Append the cluster's changes to the log."""
        self._changed.extend(key for key, _ in self._subscription.drain())
        if not self._known:
            return False
        parts = self._watcher.parts
        if not self._observing:
            await parts.observer.start(self._log)
            self._observing = True
        self._source.pump(parts.observer.take)
        return bool(await parts.observer.flush(self._log))

    async def _look(self) -> None:
        """Fold the log into the view."""
        if self._reader is None:
            self._reader = await self._log.open(LogView.READS)
        while records := await self._reader.poll(0.0):
            for record in records:
                try:
                    self.view.take(record)
                except BadInput as problem:
                    self._problem_log(problem)

    async def _follow_nodes(self) -> None:
        """Keep one agent per Node, or one named ``fabric`` where there is no Node."""
        if not self._known:
            return
        wanted = [node.name for node in self.view.cluster.nodes()] or [FABRIC]
        for name in [name for name in self._agents if name not in wanted]:
            process = self._agents.pop(name)
            if name == FABRIC and process.parts.agent is not None:
                # The agent ``fabric`` hands over to the agents of Nodes and leaves. A Node's agent dies with its Node.
                await process.parts.agent.take_down(self._log)
            await process.close()
        for name in wanted:
            if name not in self._agents:
                self._agents[name] = self._process(f"agent/{name}", self._agent_maker(name))

    def _agent_maker(self, name: str) -> Callable[[], programmer.ProgrammerParts]:
        beat = max(0.001, min(self._settings.agent_timeout / 3, 60.0))
        return lambda: self._programmer(
            roles=("agent",), agent_name=name, heartbeat_interval=beat, reconcile_interval=_FAR
        )


async def _finish_writes(parts: watcher.WatcherParts) -> bool:
    """Wait until the watcher has written everything; return whether a fault killed it after a write."""
    writing: tuple[Publisher | ObjectProcessor, ...] = (parts.publisher, *parts.objects)
    for part in writing:
        if not await part.idle(PATIENCE):
            raise Restless(f"the writes of {part.name} were not done within {PATIENCE:g} s")
    return isinstance(parts.writer, FaultyWriter) and parts.writer.dead


class _Problems(ProblemLog):
    """Keeps the problems of objects and records, each message once."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def __call__(self, problem: BadInput) -> None:
        """Keep the message."""
        self.say(str(problem))

    def say(self, message: str) -> None:
        """Keep the message unless it was kept before."""
        if message not in self._messages:
            self._messages.append(message)
