"""Read what an import needs: from a folder of manifests, or from an API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ledgerlb.cli.imports.model import Controller, Object, Objects, Source
from ledgerlb.core.errors import BadInput, InvalidManifest
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.discovery import Discovery
from ledgerlb.kube.api.refusals import NOT_FOUND, ApiRefused
from ledgerlb.kube.kinds import WATCHED, Kind
from ledgerlb.kube.manifests.files import SUFFIXES, read_documents

MAX_FILES: Final = 50_000
MAX_OBJECTS: Final = 200_000
_PAGE: Final = 500
_SKIPPED: Final = ("Pod", "EndpointSlice", "Endpoints", "VirtualMachineInterface", "InstanceIP", "FloatingIP")
"""Kinds on which no address depends."""


def from_folder(root: Path) -> tuple[Objects, list[str]]:
    """Return the objects of a folder with its subfolders, or of one file, and what could not be read.

    Raises BadInput if there is nothing to read.
    """
    found: list[Object] = []
    problems: list[str] = []
    paths = list(_paths(root))
    if not paths:
        raise BadInput(str(root), "", "holds no manifests", "name a folder of .yaml or .json files, or one such file")
    for path in paths:
        try:
            documents, broken = read_documents(path, root if root.is_dir() else None)
        except InvalidManifest as problem:
            problems.append(str(problem))
            continue
        found += (document.obj for document in documents)
        problems += map(str, broken)
        _check_number(len(found))
    return Objects(found), problems


def _paths(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES)):
        if number >= MAX_FILES:
            raise BadInput(str(root), "", f"holds more than {MAX_FILES} manifests", "name a smaller folder")
        if path.is_file():
            yield path


def _check_number(number: int) -> None:
    if number > MAX_OBJECTS:
        raise BadInput("the import", "", f"reads more than {MAX_OBJECTS} objects", "import a part at a time")


async def from_cluster(kubeconfig: Path, controller: Controller) -> Objects:
    """Return the controller's objects, and those of LedgerLB's own kinds, from an API server.

    Raises ApiUnavailable, ApiRefused, InvalidSetting.
    """
    found: list[Object] = []
    async with ApiConnection(kubeconfig) as connection:
        discovery = Discovery(connection)
        own = (kind for kind in WATCHED if kind.kind not in _SKIPPED)
        for kind, name in [*((kind, "") for kind in own), *((_kind(one), one.name) for one in controller.sources)]:
            version = await discovery.version_of(kind)
            if version is not None:
                found += await _listed(connection, kind, version, name)
                _check_number(len(found))
    return Objects(found)


def _kind(source: Source) -> Kind:
    version = None if source.group else "v1"
    return Kind(source.kind, source.group, source.plural, namespaced=True, version=version)


async def _listed(connection: ApiConnection, kind: Kind, version: str, name: str) -> list[Object]:
    stated = {"apiVersion": kind.api_version(version), "kind": kind.kind}
    if name:
        namespace, _, bare = name.partition("/")
        try:
            return [{**await connection.get(kind.path(version, namespace, bare)), **stated}]
        except ApiRefused as refused:
            if refused.status != NOT_FOUND:
                raise
            return []
    found: list[Object] = []
    token = ""
    while True:
        query = {"limit": str(_PAGE), **({"continue": token} if token else {})}
        answer: dict[str, Any] = await connection.get(kind.path(version), query)
        found += ({**item, **stated} for item in answer.get("items") or ())
        token = (answer.get("metadata") or {}).get("continue") or ""
        if not token:
            return found
        _check_number(len(found))
