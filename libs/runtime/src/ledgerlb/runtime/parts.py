"""What a service consists of, whichever process runs it.

Each service exports one ``assemble`` that turns settings and ports into ``Parts``. Its own process, ``ledgerlb run``
and the simulator call the same function and differ only in the ports that they pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client.registry import Collector
from pydantic import BaseModel

from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import Topic
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.processor import Processor
from ledgerlb.runtime.projection import Projection

Clock = Callable[[], datetime]
"""Returns the present moment (aware UTC)."""

ExtraTask = Callable[[EventLog, Health, asyncio.Event], Awaitable[None]]
"""Something else that runs beside the processors: gets the log, the health registry and the stop; returns when stopped
(or when it is done) and raises to end the process."""


def utc_now() -> datetime:
    """Return the present moment of the real clock."""
    return datetime.now(UTC)


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a service needs from outside. Services that need more extend this class.

    Parts that share a reader share a ``projection``; by default a service has one for itself.
    """

    clock: Clock = utc_now
    projection: Projection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """See module. ``settings`` names the models whose variables the parts read.

    ``open`` gets the parts ready before anything is read, and raises where they cannot work; ``close`` finishes what
    they are writing and lets go of what they hold. ``projections`` are the folds of the processors that read the
    ledger. ``writes`` names the topics of records that are signed where a key is set; who writes the ledger keeps the
    heads of its chains.
    """

    processors: tuple[Processor, ...] = ()
    tasks: tuple[ExtraTask, ...] = ()
    collectors: tuple[Collector, ...] = ()
    settings: tuple[type[BaseModel], ...] = ()
    projections: tuple[Projection, ...] = ()
    writes: tuple[Topic, ...] = ()
    open: Callable[[], Awaitable[None]] = _nothing
    close: Callable[[], Awaitable[None]] = _nothing


@contextlib.asynccontextmanager
async def opened(parts: Sequence[Parts]) -> AsyncIterator[Parts]:
    """Open the parts in order, yield them as one, and close them in reverse order. Raises what an ``open`` raises."""
    async with contextlib.AsyncExitStack() as stack:
        for part in parts:
            await part.open()
            stack.push_async_callback(part.close)
        yield Parts(
            processors=tuple(one for part in parts for one in part.processors),
            tasks=tuple(one for part in parts for one in part.tasks),
            collectors=tuple(one for part in parts for one in part.collectors),
            settings=tuple(dict.fromkeys(one for part in parts for one in part.settings)),
            projections=tuple(dict.fromkeys(one for part in parts for one in part.projections)),
            writes=tuple(dict.fromkeys(one for part in parts for one in part.writes)),
        )
