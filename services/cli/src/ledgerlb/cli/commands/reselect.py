"""``ledgerlb reselect NAMESPACE/NAME``: move a Service to the network that a fresh choice would take.

The order is an annotation on the Service with the time at which it was given. It counts among the Service's own
wishes, so the Service moves as it does when any of them changes: the new address first, the old one let go when the
new one is forwarded and published.
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
from ledgerlb.cli.view import ServiceLine
from ledgerlb.core.errors import BadInput, InvalidSetting
from ledgerlb.core.facts import ServiceFact
from ledgerlb.core.services import ANNOTATION_RESELECT
from ledgerlb.kube.writer import ClusterWriter, Write

Outcome = Literal["ordered", "dry-run", "by-hand", "nothing-to-do", "no-network"]
"""``by-hand``: nothing could be written; ``no-network``: a fresh choice would find none, so nothing was written."""

_STATUS: Final[dict[Outcome, int]] = {"no-network": FINDINGS}


@dataclass(frozen=True)
class Prospect:
    """What a fresh choice would mean for a Service. ``fresh``: the network to which it would move it, None where it
    would not move it; ``otherwise``: what comes of it then; ``why`` says so in words.
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
        manifests_option("A folder stands for the cluster: say what to write there, instead of writing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of it; write nothing.")] = False,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
) -> int:
    """Move a Service that keeps its network, though a fresh choice would take another one, to that one."""
    view = await load(log, settings_from(settings))
    now = datetime.now(UTC)
    line = known_service(view, name, now)
    fact = _served(line)
    prospect = prospect_of(line)
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    status, outcome, said = 0, _without_writing(prospect, dry_run=dry_run, manifests=manifests), ""
    if outcome is None:
        try:
            async with open_writer(kubeconfig) as writer:
                await order(writer, fact, moment)
            outcome = "ordered"
        except InvalidSetting as error:
            if kubeconfig is not None:
                raise
            outcome, status, said = "by-hand", UNAVAILABLE, f"there is no access to a cluster: {error}"
    annotation = {ANNOTATION_RESELECT: moment} if prospect.fresh else {}
    if output is Output.json:
        print_json(_as_json(line, prospect, outcome, annotation))
    else:
        for text in (*_as_text(line, prospect), *filter(None, (said,)), *_what_now(line, outcome, moment)):
            say(text)
    return status or _STATUS.get(outcome, 0)


def _served(line: ServiceLine) -> ServiceFact:
    """The Service's fact; raises BadInput where it is not one that could be moved."""
    fact = line.fact
    if fact is None or line.publication.state in {"Ignored", "Deleted"}:
        raise BadInput(
            f"Service {line.name}", "", f"is not served: {line.publication.message}", "name a Service that is"
        )
    return fact


def prospect_of(line: ServiceLine) -> Prospect:
    """What an order to choose afresh would do, by the selector's last word on the Service."""
    shown, selection = line.publication, line.selection
    if selection is None:
        return Prospect("its network is being looked for: there is nothing to choose afresh")
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
    """What comes of it where nothing is to be written; None where the order is to be given."""
    if prospect.fresh is None:
        return prospect.otherwise
    if dry_run:
        return "dry-run"
    return "by-hand" if manifests is not None else None


@asynccontextmanager
async def open_writer(kubeconfig: Path | None) -> AsyncIterator[ClusterWriter]:
    """A writer with the user's credentials; raises InvalidSetting where there are none."""
    # The Kubernetes client takes a second to import: only those who talk to an API server wait for it.
    from ledgerlb.kube.client import ApiConnection  # noqa: PLC0415
    from ledgerlb.kube.writer_api import ApiWriter  # noqa: PLC0415

    async with ApiConnection(kubeconfig) as connection:
        yield ApiWriter(connection.client)


async def order(writer: ClusterWriter, service: ServiceFact, moment: str) -> None:
    """Put the order on the Service. Its uid is a precondition, so that in another cluster than the log's nothing is
    touched. Raises BadInput where it is not there, ClusterUnavailable, ClusterRefused.
    """
    body = {"metadata": {"annotations": {ANNOTATION_RESELECT: moment}}}
    write = Write("Service", service.namespace, service.name, "patch-metadata", body, service.uid)
    if await writer.write(write) is None:
        raise BadInput(
            f"Service {service.full_name}",
            "metadata.uid",
            f"the cluster has no such Service with the uid {service.uid!r} that the log knows",
            "name with --kubeconfig the cluster that the log is about",
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
                f"It moves now, the new address first; ledgerlb services {line.name} shows how far it is.",
            ]
        case "dry-run":
            return [f"Nothing was written. The order would be the annotation {ANNOTATION_RESELECT}: {moment}"]
        case "by-hand":
            return [
                "Put this annotation on the Service, in its manifest under metadata.annotations:",
                f'  {ANNOTATION_RESELECT}: "{moment}"',
                "or in a cluster with:",
                f"  kubectl annotate --overwrite -n {namespace} service {name} {ANNOTATION_RESELECT}={moment}",
            ]
        case _:
            return ["Nothing was written."]
