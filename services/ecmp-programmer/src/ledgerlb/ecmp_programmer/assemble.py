"""Put the ecmp-programmer together: planner, agent, or both, by the setting ``LEDGERLB_ROLES``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.backends.base import DataPath
from ledgerlb.ecmp_programmer.metrics import AgentMetrics
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import PATHS, REPORTS
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.parts import ExtraTask, Parts, Ports
from ledgerlb.runtime.projection import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammerPorts(Ports):
    """``backend`` is what the agent programs; None takes the one that the settings name."""

    backend: DataPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammerParts(Parts):
    """``agent`` is None where the process has no such role."""

    agent: Agent | None = None


def assemble(domain: DomainSettings, settings: ProgrammerSettings, ports: ProgrammerPorts) -> ProgrammerParts:
    """Return the parts of the roles that the settings name."""
    projection = ports.projection or Projection(ports.clock)
    planners = (Planner(domain, projection),) if "planner" in settings.roles else ()
    if "agent" not in settings.roles:
        return ProgrammerParts(
            processors=planners, settings=(ProgrammerSettings,), projections=(projection,), writes=(PATHS,)
        )
    agent = Agent(
        ports.backend or settings.make_backend(),
        settings.name_of_agent(),
        ports.clock,
        projection=projection,
        heartbeat_seconds=settings.heartbeat_interval,
        reconcile_seconds=settings.reconcile_interval,
    )
    return ProgrammerParts(
        processors=(*planners, agent),
        tasks=(_taking_down(agent),) if settings.take_down_on_stop else (),
        settings=(ProgrammerSettings,),
        projections=(projection,),
        collectors=(AgentMetrics(agent),),
        writes=(PATHS, REPORTS) if planners else (REPORTS,),
        # Opening the back end first reports a machine that cannot be programmed once, in one line.
        open=agent.open,
        close=agent.close,
        agent=agent,
    )


def _taking_down(agent: Agent) -> ExtraTask:
    async def take_down(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        del health
        await stop.wait()
        await agent.take_down(log)

    return take_down
