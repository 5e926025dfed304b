"""The observer as a part of a process."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from ledgerlb.eventlog.port import EventLog
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.parts import ExtraTask
from ledgerlb.watcher.observer import Observer

_LOOK: Final = 0.5
"""Seconds between two looks at how far the observer is."""


def observing(observer: Observer) -> ExtraTask:
    """The observer as a part of the process: ready once every kind was listed and all of it is in the log."""

    async def observe(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        part = health.part("observer", contact_bound=math.inf, turn_bound=math.inf)
        part.why = "not every kind of the cluster has been listed yet"
        running = asyncio.create_task(observer.run(log, stop))
        try:
            while not running.done():
                if observer.synced:
                    part.caught_up = True
                    part.contact()
                await asyncio.wait({running}, timeout=_LOOK)
            running.result()
        finally:
            running.cancel()

    return observe
