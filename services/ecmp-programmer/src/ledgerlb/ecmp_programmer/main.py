"""The ecmp-programmer: planner, agent, or both, by the setting ``LEDGERLB_ROLES``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings, programmer_settings
from ledgerlb.eventlog.port import EventLog
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.processor import Processor
from ledgerlb.runtime.serve import ExtraTask, run, serve
from ledgerlb.runtime.settings import ProcessSettings, domain_settings, process_settings


def main() -> None:
    """Entry point."""
    raise SystemExit(run(_main()))


async def _main() -> int:
    process = process_settings()
    settings = programmer_settings()
    processors: list[Processor] = []
    extras: list[ExtraTask] = []
    if "planner" in settings.roles:
        processors.append(Planner(domain_settings(process)))
    if "agent" not in settings.roles:
        return await serve("ecmp-programmer", processors, process)
    agent = make_agent(settings)
    processors.append(agent)
    if settings.take_down_on_stop:
        extras.append(_taking_down(agent))
    return await _serve_agent(agent, processors, extras, process)


def make_agent(settings: ProgrammerSettings) -> Agent:
    """The agent that the settings describe."""
    return Agent(
        settings.make_backend(),
        settings.name_of_agent(),
        lambda: datetime.now(UTC),
        heartbeat_seconds=settings.heartbeat_interval,
        reconcile_seconds=settings.reconcile_interval,
    )


async def _serve_agent(
    agent: Agent, processors: list[Processor], extras: list[ExtraTask], process: ProcessSettings
) -> int:
    # A machine that cannot be programmed is told at once and in one line, not over and over.
    await agent.open()
    try:
        return await serve("ecmp-programmer", processors, process, extras)
    finally:
        await agent.close()


def _taking_down(agent: Agent) -> ExtraTask:
    async def take_down(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        del health
        await stop.wait()
        await agent.take_down(log)

    return take_down


if __name__ == "__main__":
    main()
