"""``ledgerlb run``: all services in one process."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded_in,
    kubeconfig_option,
    manifests_option,
    say,
    settings_from,
)
from ledgerlb.cli.follower import Follower
from ledgerlb.cli.listing import live_lines, print_standing
from ledgerlb.cli.pipeline import BackendName, open_pipeline
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog.port import EventLog
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.logview import ServiceLine
from ledgerlb.runtime.parts import ExtraTask
from ledgerlb.runtime.serve import process_runner
from ledgerlb.runtime.settings import process_settings
from ledgerlb.runtime.stopping import run_or_stop, sleep_or_stop

REFRESH: Final = 0.25
"""Seconds between two pictures of the live table."""

RECORDED_ONLY: Final = "RECORDED ONLY: nothing is programmed (--backend)"

_logger = structlog.get_logger(__name__)


@guarded_in(process_runner)
async def run(  # noqa: PLR0917 - options of the command line, always given by name
    manifests: Annotated[Path | None, manifests_option("A folder of manifests instead of a cluster.")] = None,
    kubeconfig: Annotated[Path | None, kubeconfig_option("The kubeconfig. Default: the pod's own, kubectl's.")] = None,
    log: LogOption = DEFAULT_LOG,
    settings: SettingsOption = None,
    backend: Annotated[
        BackendName, typer.Option("--backend", envvar="LEDGERLB_BACKEND", help="What is programmed.")
    ] = BackendName.record,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="End once every Service has its verdict and nothing moves.")
    ] = False,
    require_ready: Annotated[
        bool,
        typer.Option("--require-ready", help="With --until-settled: exit status 1 unless every Service is Ready."),
    ] = False,
    within: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long --until-settled may take.")
    ] = 60.0,
    http_port: Annotated[
        int,
        typer.Option(
            "--http-port",
            envvar="LEDGERLB_HTTP_PORT",
            min=0,
            max=65535,
            help="Health and metrics; 0 takes a free port.",
        ),
    ] = 0,
    adopt_log: Annotated[
        bool,
        typer.Option(
            "--adopt-log",
            envvar="LEDGERLB_ADOPT_LOG",
            help="Take the log over although it is about another cluster or folder.",
        ),
    ] = False,
    share_log: Annotated[
        bool,
        typer.Option("--share-log", help="Run although another `ledgerlb run` uses the log; the agent is renamed."),
    ] = False,
    output: OutputOption = Output.text,
) -> int:
    """Run all services in one process, against an API server or a folder of manifests."""
    if require_ready and not until_settled:
        raise InvalidSetting("option --require-ready", "", "needs --until-settled", "give both, or neither")
    domain = settings_from(settings)
    live = sys.stdout.isatty() and output is Output.text
    level = {"log_level": "warning"} if live else {}
    process = process_settings(log=log, settings=settings, http_port=http_port, **level)
    stop = asyncio.Event()
    outcome = _Outcome()
    async with open_pipeline(
        domain,
        manifests=manifests,
        kubeconfig=kubeconfig,
        backend=backend,
        adopt_log=adopt_log,
        log=process.log,
        share_log=share_log,
    ) as pipeline:
        follower = pipeline.follower
        shown = _live_table(follower) if live else _log_lines(follower, backend)
        # Starts before the services, so that the time which a silent log takes counts towards --timeout.
        watching = asyncio.create_task(_until_settled(follower, within, outcome, stop)) if until_settled else None
        status = await pipeline.serve(process, shown, stop=stop)
        if watching is not None:
            await watching
    if live or until_settled:
        report(follower, output)
    for line in outcome.unsettled:
        say(f"not settled after {within:g} s: {line}", err=True)
    unready = follower.not_ready() if require_ready and not outcome.unsettled else []
    for line in unready:
        say(f"not ready: {line}", err=True)
    for line in follower.dead_letters:
        say(f"dead letter: {line}", err=True)
    return status or (FINDINGS if outcome.unsettled or unready else 0)


class _Outcome:
    def __init__(self) -> None:
        self.unsettled: list[str] = []


async def _until_settled(follower: Follower, within: float, outcome: _Outcome, stop: asyncio.Event) -> None:
    settling = asyncio.create_task(follower.settled(within))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({settling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if settling.done():
        outcome.unsettled = settling.result()
    else:
        outcome.unsettled = ["stopped before everything was at rest"]
        settling.cancel()
    stopping.cancel()
    stop.set()


def _live_table(follower: Follower) -> ExtraTask:
    async def live_table(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        del log
        terminal = Console(highlight=False, markup=False)
        with Live(console=terminal, auto_refresh=False, transient=True) as display:
            # The display has taken standard error over: send log lines through it, so that they appear above the table.
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(sys.stderr)
            while not stop.is_set():
                display.update(_picture(follower, health, terminal), refresh=True)
                await sleep_or_stop(stop, REFRESH)
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(sys.__stderr__)

    return live_table


def _picture(follower: Follower, health: Health, terminal: Console) -> RenderableType:
    lines = follower.lines()
    ready = sum(line.publication.state == "Ready" for line in lines)
    waiting = health.not_ready()
    progress = "; ".join(waiting[:2]) if waiting else "all services are ready"
    ledger = follower.view.ledger
    held = follower.view.cluster.withheld()
    if held is not None:
        progress = f"{held.loss.upper()}, HELD BACK: ledgerlb confirm-deletions · {progress}"
    if follower.view.agents.live(datetime.now(UTC), follower.view.settings.agent_timeout).recording:
        progress = f"{RECORDED_ONLY} · {progress}"
    headline = f"{ready} of {len(lines)} Services ready · {ledger.accepted} ledger entries · {progress}"
    networks = list(follower.view.networks())
    shown = live_lines(headline, lines, networks, terminal.width, terminal.height)
    return Group(*(Text(line, no_wrap=True, overflow="ignore") for line in shown))


def _log_lines(follower: Follower, backend: BackendName) -> ExtraTask:
    """Write a log line whenever a Service changes its state, network, addresses, reason or reachability."""

    async def log_lines(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        del log, health
        logged: dict[str, tuple[object, ...]] = {}
        if backend is BackendName.record:
            _logger.warning("recorded only: nothing is programmed", backend=backend.value, option="--backend")
        while not stop.is_set():
            await run_or_stop(stop, follower.changed.wait())
            follower.changed.clear()
            for name, line in follower.changes().items():
                _log_change(name, line, logged)
            await sleep_or_stop(stop, REFRESH)

    return log_lines


def _log_change(name: str, line: ServiceLine | None, logged: dict[str, tuple[object, ...]]) -> None:
    """Log what differs from the last line about the Service."""
    if line is None:
        if logged.pop(name, None) is not None:
            _logger.info("service", name=name, state="Deleted")
        return
    shown = line.publication
    reachability = shown.reachability.reason if shown.reachability is not None else None
    now = (shown.state, shown.network, shown.addresses, shown.reason, reachability)
    if logged.get(name) == now:
        return
    logged[name] = now
    _logger.info(
        "service",
        name=name,
        state=shown.state,
        network=shown.network,
        addresses=list(shown.addresses),
        reason=shown.reason,
        reachability=reachability,
    )


def report(follower: Follower, output: Output) -> None:
    """Print every Service and network."""
    print_standing(follower.lines(), list(follower.view.networks()), output)
