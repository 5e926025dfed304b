"""``ledgerlb release-all``: take everything of LedgerLB off the Services of a cluster, before it is uninstalled.

It runs the services once, in this process, with settings by which no Service is LedgerLB's any more. So each Service
leaves as one does that changes its class: path sets are withdrawn, agents confirm, the ledger records the release, and
one patch removes addresses, conditions and finalizer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded_in,
    kubeconfig_option,
    print_json,
    say,
    settings_from,
)
from ledgerlb.cli.follower import Follower
from ledgerlb.cli.lookup import load
from ledgerlb.cli.pipeline import BackendName, open_pipeline
from ledgerlb.core.cluster.facts import OWN_CONDITIONS, ServiceFact
from ledgerlb.core.cluster.services import has_our_class
from ledgerlb.core.ledger.records import Holding
from ledgerlb.runtime.logview import LogView
from ledgerlb.runtime.serve import process_runner
from ledgerlb.runtime.settings import process_settings

_POLL: Final = 0.2
_SHOWN: Final = 20


@dataclass(frozen=True)
class Marks:
    """What is of LedgerLB: addresses by Service in the ledger, and Services that still show something of it."""

    held: tuple[Holding, ...]
    shown: tuple[ServiceFact, ...]

    @property
    def services(self) -> list[str]:
        """Every Service concerned, sorted."""
        return sorted({*(fact.full_name for fact in self.shown), *(holding.service for holding in self.held)})


@guarded_in(process_runner)
async def release_all(  # noqa: PLR0917 - options of the command line, always given by name
    kubeconfig: Annotated[Path | None, kubeconfig_option("The kubeconfig. Default: the pod's own, kubectl's.")] = None,
    log: LogOption = DEFAULT_LOG,
    settings: SettingsOption = None,
    backend: Annotated[
        BackendName,
        typer.Option("--backend", envvar="LEDGERLB_BACKEND", help="What the agent of an embedded log programmed."),
    ] = BackendName.record,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without a question.")] = False,
    within: Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long it may take.")] = 600.0,
    output: OutputOption = Output.text,
) -> int:
    """Release every address, and remove LedgerLB's addresses, conditions and finalizers from every Service. Stop the
    watcher, the network-selector, ipam and the planner first (or ledgerlb run); leave the agents running.
    """
    domain = settings_from(settings)
    before = marks_of(await load(log, domain))
    if not yes and not _confirmed(before):
        return FINDINGS
    process = process_settings(log=log, settings=settings, http_port=0, log_level="warning")
    stop = asyncio.Event()
    embedded = process.log.startswith("sqlite:")
    async with open_pipeline(
        domain.releasing(), manifests=None, kubeconfig=kubeconfig, backend=backend, log=process.log, agent=embedded
    ) as pipeline:
        watching = asyncio.create_task(until_released(pipeline.follower, within, stop))
        status = await pipeline.serve(process, stop=stop)
        done = await watching
        left = reasons_left(pipeline.follower.view, datetime.now(UTC))
    if not done and not left:
        left = {"": ["the log and the cluster could not be read to their end"]}
    _report(before, left, output)
    return status or (FINDINGS if left else 0)


def marks_of(view: LogView) -> Marks:
    """Return what is left of LedgerLB by the log."""
    shown = tuple(
        fact
        for fact in view.cluster.services()
        if any(condition.type.startswith(OWN_CONDITIONS) for condition in fact.conditions)
        or (fact.has_finalizer and has_our_class(fact, view.settings) and view.ledger.mentions(fact.full_name))
    )
    return Marks(tuple(view.ledger.holdings()), shown)


def reasons_left(view: LogView, now: datetime) -> dict[str, list[str]]:
    """Return why each Service still has something of LedgerLB, by name; {} where nothing is left."""
    marks = marks_of(view)
    reasons: dict[str, list[str]] = {name: [] for name in marks.services}
    for holding in marks.held:
        reasons[holding.service].append(_why_held(view, holding, now))
    for fact in marks.shown:
        if not reasons[fact.full_name]:
            reasons[fact.full_name].append(
                "its status still shows LedgerLB: the API server refuses the write, or CN2 still has its InstanceIP or "
                "FloatingIP"
            )
    return reasons


def _why_held(view: LogView, holding: Holding, now: datetime) -> str:
    if holding.network in view.ledger.damage:
        return f"{holding.address}: the ledger of network {holding.network} is damaged; see ledgerlb verify"
    if holding.state == "held":
        return f"{holding.address} is not withdrawn yet"
    confirmed = view.agents.withdrawn(holding.address, f"{holding.network}#{holding.release_seq}")
    waits = [agent for agent in view.agents.alive(now, view.settings.agent_timeout) if agent not in confirmed]
    if not waits:
        return f"{holding.address} is withdrawn, but the ledger does not say so yet"
    return f"{holding.address} waits for agent {', '.join(waits)} to withdraw it"


def _confirmed(marks: Marks) -> bool:
    """Return whether the user confirms; without a terminal to ask on, say what would happen."""
    text = f"{len(marks.held)} addresses of {len(marks.services)} Services are given up, and traffic to them ends"
    if sys.stdin.isatty():
        return typer.confirm(f"{text}. Continue?")
    say(f"{text}; give --yes to do it")
    return False


async def until_released(follower: Follower, within: float, stop: asyncio.Event) -> bool:
    """Wait until nothing is left, at most ``within`` seconds, and set ``stop``; return whether nothing is."""
    deadline = time.monotonic() + within
    done = False
    while not done and not stop.is_set() and time.monotonic() < deadline:
        done = follower.is_current() and not marks_of(follower.view).services
        if not done:
            await asyncio.sleep(_POLL)
    stop.set()
    return done


def _report(before: Marks, left: dict[str, list[str]], output: Output) -> None:
    if output is Output.json:
        print_json({"services": before.services, "addresses": len(before.held), "left": left})
        return
    if not left:
        say(f"Released {len(before.held)} addresses; {len(before.services)} Services show nothing of LedgerLB now.")
        return
    say(f"{len(left)} Services still hold or show something of LedgerLB:", err=True)
    for name in sorted(left)[:_SHOWN]:
        say(f"  {name}: {'; '.join(left[name])}", err=True)
    if len(left) > _SHOWN:
        say(f"  and {len(left) - _SHOWN} more (-o json lists all)", err=True)
    say("Start or repair what it waits for, then run ledgerlb release-all again.", err=True)
