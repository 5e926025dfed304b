"""``ledgerlb import CONTROLLER``: take the pools and Services of another load balancer controller over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from ledgerlb.cli.console import FINDINGS, SettingsOption, guarded, kubeconfig_option, say, settings_from
from ledgerlb.cli.imports import CONTROLLERS, Controller
from ledgerlb.cli.imports.model import Carried, Objects, carry
from ledgerlb.cli.imports.read import from_cluster, from_folder
from ledgerlb.cli.imports.takeover import Kept, try_takeover
from ledgerlb.core.errors import BadInput

POOLS_FILE: Final = "pools.yaml"
SERVICES_FILE: Final = "services.yaml"


@guarded
async def import_others(
    controller: Annotated[
        str, typer.Argument(metavar=f"{{{'|'.join(CONTROLLERS)}}}", help="The controller to take over from.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--filename", "-f", metavar="DIR", help="A folder, or a file, of its manifests.")
    ] = None,
    kubeconfig: Annotated[Path | None, kubeconfig_option("The cluster to read them from, in place of -f.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where to write the YAML. Default: standard output."),
    ] = None,
    settings: SettingsOption = None,
) -> int:
    """Write AddressPools and annotations for the pools and Services of another controller, and try the takeover.

    Nothing in the cluster changes. The report names every Service that would not keep its address.
    """
    chosen = CONTROLLERS.get(controller)
    if chosen is None:
        raise BadInput(f"controller {controller!r}", "", "is not known", f"write one of {', '.join(CONTROLLERS)}")
    objects, problems = await _objects(folder, kubeconfig, chosen)
    carried = carry(chosen, objects)
    kept = await try_takeover(objects, carried, settings_from(settings))
    _write(carried, output)
    to_screen = output is not None
    for problem in problems:
        say(f"warning: {problem}", err=True)
    for line in report(chosen, objects, carried, kept, output):
        say(line, err=not to_screen)
    return 0 if all(one.adopted for one in kept) else FINDINGS


async def _objects(folder: Path | None, kubeconfig: Path | None, chosen: Controller) -> tuple[Objects, Sequence[str]]:
    if folder is not None:
        return from_folder(folder)
    if kubeconfig is None:
        raise BadInput("the import", "", "has nothing to read", "name a folder with -f, or a cluster with --kubeconfig")
    return await from_cluster(kubeconfig, chosen), ()


def patches(carried: Carried) -> Iterable[dict[str, Any]]:
    """Yield the annotations to add, as Services for a server-side apply."""
    for name in sorted(carried.annotations):
        namespace, _, bare = name.partition("/")
        metadata = {"namespace": namespace, "name": bare, "annotations": carried.annotations[name]}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


def _write(carried: Carried, output: Path | None) -> None:
    texts = {POOLS_FILE: _dumped(carried.pools.values()), SERVICES_FILE: _dumped(patches(carried))}
    if output is None:
        typer.echo("---\n".join(text for text in texts.values() if text), nl=False)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (output / name).write_text(text, "utf-8")
    except OSError as error:
        raise BadInput(str(output), "", f"cannot be written ({error.strerror})", "name another folder") from error


def _dumped(objects: Iterable[Any]) -> str:
    listed = list(objects)
    # Every character that is not ASCII is escaped, and so all that could steer a terminal.
    return yaml.safe_dump_all(listed, sort_keys=False, width=float("inf")) if listed else ""


def report(
    controller: Controller, objects: Objects, carried: Carried, kept: Sequence[Kept], output: Path | None
) -> Iterable[str]:
    """Yield the report, line by line."""
    yield f"{controller.title}: {len(carried.pools)} AddressPools, {len(carried.annotations)} Services to annotate"
    for name, pool in carried.pools.items():
        yield f"  pool/{name}: {', '.join(pool['spec']['addresses'])}"
    adopted = sum(one.adopted for one in kept)
    waiting = sum(1 for _ in objects.services()) - len(kept)
    more = f" ({waiting} more show none yet)" if waiting else ""
    yield f"Takeover, tried: {adopted} of {len(kept)} Services keep their address{more}"
    for one in kept:
        if not one.adopted:
            yield f"  {one.service} ({', '.join(one.before)}) gets {', '.join(one.after) or 'none'}: {one.why}"
    if carried.notes:
        yield "Not carried over:"
        yield from (f"  {note}" for note in carried.notes)
    if output is not None:
        yield "Apply:"
        yield f"  kubectl apply -f {output / POOLS_FILE}"
        yield f"  kubectl apply --server-side --field-manager ledgerlb-import -f {output / SERVICES_FILE}"
