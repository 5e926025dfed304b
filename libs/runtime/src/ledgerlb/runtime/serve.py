"""Run parts as one process: log, health server, signals, and an exit status.

    def main() -> None:
        process = process_settings()
        parts = assemble(domain_settings(process), Ports())
        raise SystemExit(run(serve("network-selector", [parts], process)))

Concurrency: one event loop. All processors share one task and one reader; each late processor and each extra task has a
task of its own. The first that fails ends the process:
what it knows comes from the log, so a new start is the safest answer to a bug.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from ledgerlb.core.errors import InvalidSetting, LedgerLBError, LogUnavailable
from ledgerlb.core.text import printable
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.backoff import Backoff
from ledgerlb.runtime.heads import HeadKeeper
from ledgerlb.runtime.health import Health, HealthServer
from ledgerlb.runtime.keys import keys_of
from ledgerlb.runtime.logging import configure
from ledgerlb.runtime.loop import run_processors
from ledgerlb.runtime.parts import Parts, opened, utc_now
from ledgerlb.runtime.settings import ProcessSettings, unread_variables
from ledgerlb.runtime.stopping import sleep_or_stop

CHECK_INTERVAL: Final = 3600.0
"""Seconds between two checks of the topics."""
GARBAGE_CHECK: Final = 50_000
"""Objects made, less those gone, between two looks for garbage."""
STUCK_TIMEOUT: Final = 10.0
"""Seconds that something which should end at once gets for it."""

_logger = structlog.get_logger(__name__)


async def serve(
    name: str,
    parts: Sequence[Parts],
    settings: ProcessSettings,
    *,
    log: EventLog | None = None,
    health: Health | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Run everything until SIGTERM, SIGINT or ``stop``; returns the exit status: 0, or 1 where a part failed.

    ``log`` defaults to the one that the settings name; a given one is entered and left here. Raises InvalidSetting for
    a log URL, or an address of the health server, that cannot be used, and what opening a part raises.
    """
    configure(name, settings.log_level, settings.log_format)
    stop = stop if stop is not None else asyncio.Event()
    health = health if health is not None else Health()
    log = log if log is not None else connect(settings.log, settings.log_security)
    async with opened(parts) as whole:
        keys = keys_of(settings, whole.writes)
        log = log if keys.signing is None else keys.signed(log)
        for unread, nearest in unread_variables(os.environ, (type(settings), *whole.settings)):
            _logger.warning("no part of this process reads this variable", variable=unread, nearest=nearest)
        for collector in whole.collectors:
            health.metrics.registry.register(collector)
        keeper = HeadKeeper(whole.projections, utc_now, keys.trusted, writes=LEDGER in whole.writes)
        with _signals(stop):
            async with HealthServer(health, settings.http_host, settings.http_port) as server:
                address = f"http://{settings.http_host}:{server.port}/readyz"
                _logger.info("started", log=settings.log, health=address)
                if not await _connect(log, settings, health, keeper, stop):
                    return 0
                try:
                    running = _started(whole, log, health, stop)
                    keeping = _keep(log, health, keeper, stop)
                    return await _run_parts(running, keeping, stop, settings.stop_timeout)
                finally:
                    await keeper.try_to_save(log)
                    await _leave(log)


def _started(parts: Parts, log: EventLog, health: Health, stop: asyncio.Event) -> dict[str, Awaitable[None]]:
    """Return what runs, by a name for people."""
    names = [one.name for one in parts.processors]
    assert len(set(names)) == len(names), f"two processors of the same name: {names}"
    running: dict[str, Awaitable[None]] = {}
    if parts.processors:
        running[", ".join(one.name for one in parts.processors)] = run_processors(log, parts.processors, health, stop)
    for number, task in enumerate(parts.tasks, 1):
        running[f"{getattr(task, '__name__', 'task')} ({number})"] = task(log, health, stop)
    return running


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run ``main`` and return its exit status; an error of ours is printed in one line without a traceback, and the
    status is then 2.
    """
    try:
        with process_runner() as runner:
            return runner.run(main)
    except LedgerLBError as error:
        print(printable(f"ledgerlb: {error}"), file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return 2
    except KeyboardInterrupt:
        return 130


def process_runner() -> asyncio.Runner:
    """Return a runner for a process that serves: on the fastest event loop, with little looking for garbage."""
    spare_objects()
    return asyncio.Runner(loop_factory=_fastest_loop())


def spare_objects() -> None:
    """Look for garbage less often: what is imported stays, and what is folded is many objects without cycles. Looking
    through them as often as Python does by itself took a tenth of the time, and more the larger the ledger.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_CHECK)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it can be had (it has no wheels for some platforms), else None: asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - see above
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _connect(
    log: EventLog, settings: ProcessSettings, health: Health, keeper: HeadKeeper, stop: asyncio.Event
) -> bool:
    """Connect and make the topics ready, however long it takes. Return False if stopped meanwhile."""
    part = health.part("log", contact_bound=math.inf)
    backoff = Backoff()
    while not stop.is_set():
        part.turned()
        try:
            await log.__aenter__()
            try:
                await _prepare(log, settings, health)
                await keeper.load(log, new_ledger=settings.log_new_ledger)
            except BaseException:
                await _leave(log)
                raise
        except (LogUnavailable, OSError) as error:
            part.why = str(error)
            wait = backoff.next()
            _logger.warning("cannot reach the log; trying again", error=str(error), seconds=round(wait, 2))
            await sleep_or_stop(stop, wait)
        else:
            part.contact()
            part.caught_up = True
            part.turn_bound = math.inf
            return True
    return False


async def _prepare(log: EventLog, settings: ProcessSettings, health: Health) -> None:
    if not settings.log_new_ledger:
        await require_ledger(log)
    if settings.log_provision:
        for line in await log.provision(replication=settings.log_replication):
            _logger.info("topic provisioned", what=line)
    await _check(log, health)


async def _check(log: EventLog, health: Health) -> None:
    """Report wrong topics without stopping: the log is still readable, and an operator decides about settings."""
    problems = await log.check()
    health.metrics.log_problems.set(len(problems))
    for problem in problems:
        _logger.error("topic misconfigured", problem=problem)


async def _look_after(log: EventLog, health: Health, stop: asyncio.Event) -> None:
    """Every hour, check the topics and let the log drop the records that it need not keep."""
    while not stop.is_set():
        await sleep_or_stop(stop, CHECK_INTERVAL)
        if stop.is_set():
            return
        try:
            await _check(log, health)
            _logger.info("log maintained", removed=await log.maintain())
        except (LogUnavailable, OSError) as error:
            _logger.warning("cannot check the topics", error=str(error))


async def _keep(log: EventLog, health: Health, keeper: HeadKeeper, stop: asyncio.Event) -> None:
    await asyncio.gather(_look_after(log, health, stop), keeper.run(log, stop))


async def _run_parts(
    parts: Mapping[str, Awaitable[None]], keeper: Coroutine[Any, Any, None], stop: asyncio.Event, seconds: float
) -> int:
    """Run everything until the stop, or until a part fails; then give the rest ``seconds`` to end."""
    tasks: dict[asyncio.Future[Any], str] = {asyncio.ensure_future(part): name for name, part in parts.items()}
    keeping = asyncio.create_task(keeper)
    stopping = asyncio.create_task(stop.wait())
    failed = False
    pending: set[asyncio.Future[Any]] = set(tasks)
    while pending and not stop.is_set():
        done, _ = await asyncio.wait({*pending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        done.discard(stopping)
        pending -= done
        if _any_failed(done, tasks):
            failed = True
            stop.set()
    stop.set()
    if pending:
        done, pending = await asyncio.wait(pending, timeout=seconds)
        failed = _any_failed(done, tasks) or failed
    for task in pending:
        _logger.error("did not stop in time", part=tasks[task], seconds=seconds)
        task.cancel()
    failed = failed or bool(pending)
    await asyncio.wait({*pending, keeping, stopping}, timeout=STUCK_TIMEOUT)
    _logger.info("stopped", failed=failed)
    for task in tasks:
        if task.done() and not task.cancelled() and isinstance(refused := task.exception(), InvalidSetting):
            raise refused
    return 1 if failed else 0


def _any_failed(done: Iterable[asyncio.Future[Any]], names: Mapping[asyncio.Future[Any], str]) -> bool:
    """Report every part that failed, and return whether one did."""
    failures = [name for task, name in names.items() if task in done and _failed(task, name)]
    return bool(failures)


def _failed(task: asyncio.Future[Any], name: str) -> bool:
    if task.cancelled():
        _logger.error("part was cancelled; the process ends", part=name)
        return True
    error = task.exception()
    if error is not None:
        bug = error if not isinstance(error, InvalidSetting) else None
        _logger.error("part failed; the process ends", part=name, error=repr(error), exc_info=bug)
    return error is not None


async def _leave(log: EventLog) -> None:
    try:
        async with asyncio.timeout(STUCK_TIMEOUT):
            await log.__aexit__(None, None, None)
    except (TimeoutError, LedgerLBError, OSError) as error:
        _logger.warning("the log did not close properly", error=repr(error))


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stop`` (only where the event loop runs in the main thread).

    A SIGINT that was ignored at the start stays ignored: a shell starts a job in the background that way, so that
    Ctrl-C ends the job in the foreground only.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signals = (signal.SIGTERM,) if ignored else (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
