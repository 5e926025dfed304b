"""``ledgerlb reselect NAMESPACE/NAME``: move a Service to the network that a fresh choice would take.

The command writes one annotation on the Service, with the present time. The selector treats it like any other change
of the Service's own settings, so the Service moves as usual: LedgerLB allocates the new address first, and releases
the old one when every node forwards the new one and the status shows it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from ledgerlb.cli.commands.explain import selection_text
from ledgerlb.cli.console import (
    DEFAULT_LOG,
    FINDINGS,
    UNAVAILABLE,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    kubeconfig_option,
    manifests_option,
    print_json,
    say,
    settings_from,
)
from ledgerlb.cli.lookup import known_service, load
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import ANNOTATION_RESELECT
from ledgerlb.core.errors import BadInput, InvalidSetting
from ledgerlb.kube.writer import ClusterWriter, Write
from ledgerlb.runtime.logview import ServiceLine

Outcome = Literal["ordered", "dry-run", "by-hand", "nothing-to-do", "no-network"]
"""``by-hand``: the user must write the annotation; ``no-network``: a fresh choice would find no network."""

_STATUS: Final[dict[Outcome, int]] = {"no-network": FINDINGS}


@dataclass(frozen=True)
class Prospect:
    """The effect of a fresh choice on a Service. ``fresh`` is the network that the Service would move to, None where it
    would not move; ``otherwise`` is the outcome in that case, and ``why`` explains it to the user.
    """

    why: str
    fresh: str | None = None
    reason: str | None = None
    otherwise: Outcome = "nothing-to-do"


@guarded
async def reselect(  # noqa: PLR0917 - options of the command line, always given by name
    name: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="A Service whose choice has drifted.")],
    kubeconfig: Annotated[
        Path | None,
        kubeconfig_option("The kubeconfig to annotate the Service with. Default: the pod's own, kubectl's."),
    ] = None,
    manifests: Annotated[
        Path | None,
        manifests_option("The folder that replaces the cluster. Prints what to write there."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the effect; write nothing.")] = False,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
) -> int:
    """Move a Service that keeps its network, though a fresh choice would take another one, to that one."""
    view = await load(log, settings_from(settings))
    now = datetime.now(UTC)
    line = known_service(view, name, now)
    fact = _fact_of(line)
    prospect = prospect_of(line)
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    status, outcome, note = 0, _without_writing(prospect, dry_run=dry_run, manifests=manifests), ""
    if outcome is None:
        try:
            async with open_writer(kubeconfig) as writer:
                await order(writer, fact, moment)
            outcome = "ordered"
        except InvalidSetting as error:
            if kubeconfig is not None:
                raise
            outcome, status, note = "by-hand", UNAVAILABLE, f"no access to a cluster: {error}"
    annotation = {ANNOTATION_RESELECT: moment} if prospect.fresh else {}
    if output is Output.json:
        print_json(_as_json(line, prospect, outcome, annotation))
    else:
        for text in (*_as_text(line, prospect), *filter(None, (note,)), *_what_now(line, outcome, moment)):
            say(text)
    return status or _STATUS.get(outcome, 0)


def _fact_of(line: ServiceLine) -> ServiceFact:
    """Return the Service's fact; raises BadInput where LedgerLB does not serve the Service."""
    fact = line.fact
    if fact is None or line.publication.state in {"Ignored", "Deleted"}:
        raise BadInput(
            f"Service {line.name}",
            "",
            f"is not served: {line.publication.message}",
            "name a Service that LedgerLB serves",
        )
    return fact


def prospect_of(line: ServiceLine) -> Prospect:
    """Return the effect of a fresh choice, by the selector's last verdict on the Service."""
    shown, selection = line.publication, line.selection
    if selection is None:
        return Prospect("the selector has not chosen a network yet")
    if selection.drift:
        return Prospect(f"a fresh choice would take {selection.drift}", selection.drift)
    if selection.drift_reason:
        why = f"a fresh choice would find no network: {selection.message}"
        return Prospect(why, reason=selection.drift_reason, otherwise="no-network")
    if shown.state == "Moving":
        return Prospect(f"it is moving already: {shown.message or shown.reason}", reason=shown.reason)
    if not shown.addresses:
        return Prospect(f"it holds no address, so its choice is a fresh one: {shown.message}", reason=shown.reason)
    return Prospect("a fresh choice takes the network that it has")


def _without_writing(prospect: Prospect, *, dry_run: bool, manifests: Path | None) -> Outcome | None:
    """Return the outcome where the command writes nothing; None where it writes the annotation."""
    if prospect.fresh is None:
        return prospect.otherwise
    if dry_run:
        return "dry-run"
    return "by-hand" if manifests is not None else None


@asynccontextmanager
async def open_writer(kubeconfig: Path | None) -> AsyncIterator[ClusterWriter]:
    """Open a writer with the user's credentials; raises InvalidSetting where there are none."""
    # The Kubernetes client takes a second to import, so only a command that calls an API server loads it.
    from ledgerlb.kube.api.client import ApiConnection  # noqa: PLC0415
    from ledgerlb.kube.api.writer import ApiWriter  # noqa: PLC0415

    async with ApiConnection(kubeconfig) as connection:
        yield ApiWriter(connection.client)


async def order(writer: ClusterWriter, service: ServiceFact, moment: str) -> None:
    """Annotate the Service. Its uid is a precondition, so that the command changes nothing in a cluster that is not the
    log's. Raises BadInput where the cluster has no such Service, ClusterUnavailable, ClusterRefused.
    """
    body = {"metadata": {"annotations": {ANNOTATION_RESELECT: moment}}}
    write = Write("Service", service.namespace, service.name, "patch-metadata", body, service.uid)
    if await writer.write(write) is None:
        raise BadInput(
            f"Service {service.full_name}",
            "metadata.uid",
            f"the cluster has no such Service with the uid {service.uid!r} that the log knows",
            "use --kubeconfig to name the cluster that this log belongs to",
        )


def _as_json(line: ServiceLine, prospect: Prospect, outcome: Outcome, annotation: dict[str, str]) -> dict[str, Any]:
    return {
        "service": line.name,
        "outcome": outcome,
        "state": line.publication.state,
        "network": line.publication.network,
        "addresses": list(line.publication.addresses),
        "fresh": prospect.fresh,
        "reason": prospect.reason,
        "message": prospect.why,
        "annotations": annotation,
    }


def _as_text(line: ServiceLine, prospect: Prospect) -> list[str]:
    shown = line.publication
    holds = f" holds {', '.join(shown.addresses)} of {shown.network};" if shown.network else ""
    return [f"{line.name}:{holds} {prospect.why}", *(selection_text(line) if prospect.fresh else ())]


def _what_now(line: ServiceLine, outcome: Outcome, moment: str) -> list[str]:
    namespace, _, name = line.name.partition("/")
    match outcome:
        case "ordered":
            return [
                f"Ordered: annotation {ANNOTATION_RESELECT}: {moment}",
                f"It moves now, the new address first; follow it with ledgerlb services {line.name}.",
            ]
        case "dry-run":
            return [f"Nothing was written. The annotation would be {ANNOTATION_RESELECT}: {moment}"]
        case "by-hand":
            return [
                "Add this annotation to the Service's manifest, under metadata.annotations:",
                f'  {ANNOTATION_RESELECT}: "{moment}"',
                "or, in a cluster, run:",
                f"  kubectl annotate --overwrite -n {namespace} service {name} {ANNOTATION_RESELECT}={moment}",
            ]
        case _:
            return ["Nothing was written."]
