"""A scenario file: read it strictly.

The reader checks everything outside the Kubernetes objects, and each error names file, line and field. Inside the
objects it requires only ``kind`` and ``metadata.name``, because a scenario may be about a broken object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ledgerlb.core.errors import BadInput, InvalidManifest
from ledgerlb.core.settings import DomainSettings, parse_duration
from ledgerlb.simulator.located import Document, Place, read_documents
from ledgerlb.simulator.settings import load_settings

API_VERSION: Final = "ledgerlb.io/v1alpha1"
MAX_STEPS: Final = 10_000
MAX_REDELIVER: Final = 1_000_000
MAX_ADVANCE: Final = 10 * 366 * 86400.0
"""Seconds: ten years of virtual time in one step."""

Part = Literal["watcher", "selector", "ipam", "programmer"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

SERVICE_FIELDS: Final = (
    "state",
    "network",
    "wanted",
    "addresses",
    "reason",
    "message",
    "rung",
    "reachability",
    "path_set",
)
AgentMode = Literal["normal", "silent", "programming", "failing"]
NETWORK_FIELDS: Final = ("size", "allocated", "quarantined", "conflict", "problem", "warning")
STATES: Final = ("Ready", "Moving", "Pending", "Ignored", "Deleted")
NODE_FIELDS: Final = ("weight", "backends", "draining")


@dataclass(frozen=True)
class Reference:
    """An object named for deletion."""

    kind: str
    namespace: str
    name: str
    api_version: str = ""


@dataclass(frozen=True)
class Apply:
    """Kubernetes objects to create or replace."""

    objects: tuple[Mapping[str, Any], ...]
    places: tuple[str, ...] = field(default=(), compare=False)
    """``file:line`` of each object."""


@dataclass(frozen=True)
class Delete:
    """Objects to delete."""

    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Advance:
    """Virtual time passes."""

    seconds: float


@dataclass(frozen=True)
class Restart:
    """Parts lose their memory and rebuild it from the log."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Redeliver:
    """The last ``count`` inputs are delivered a second time."""

    count: int


@dataclass(frozen=True)
class Agents:
    """What the simulated agents do: report what they record, nothing at all, what they program, or that they fail."""

    mode: AgentMode


@dataclass(frozen=True)
class Crash:
    """One part is killed right after its last append, and starts again."""

    part: Part


@dataclass(frozen=True)
class Expect:
    """What must hold now: mappings compare as subsets, everything else exactly; None means absent."""

    services: Mapping[str, Mapping[str, Any] | None]
    networks: Mapping[str, Mapping[str, Any] | None]


Action = Apply | Delete | Advance | Restart | Redeliver | Agents | Crash | Expect


@dataclass(frozen=True)
class Step:
    """One item of ``steps``: ``number`` counts from 1, ``verb`` is its key, ``where`` is ``file:line``."""

    number: int
    verb: str
    action: Action
    where: str


@dataclass(frozen=True)
class Scenario:
    """A scenario that may be run."""

    file: Path
    settings: DomainSettings
    steps: tuple[Step, ...]


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file. Raises InvalidManifest naming file, line and field."""
    documents = read_documents(path)
    if len(documents) != 1:
        found = "is empty" if not documents else f"holds {len(documents)} documents"
        raise InvalidManifest(f"{path}:1", "", found, "a scenario is one YAML document")
    document = documents[0]
    _keys(document, (), required=("apiVersion", "kind", "steps"), optional=("settings",))
    _constant(document, ("apiVersion",), API_VERSION)
    _constant(document, ("kind",), "Scenario")
    return Scenario(file=path, settings=_settings(document), steps=_steps(document, path.parent))


def _settings(document: Document) -> DomainSettings:
    if document.data.get("settings") is None:
        return DomainSettings()
    return load_settings(document, ("settings",))


def _steps(document: Document, folder: Path) -> tuple[Step, ...]:
    steps = document.data["steps"]
    if not isinstance(steps, list) or not steps:
        raise document.error(("steps",), "is not a list of steps", "write - apply: […], - advance: 10m, …")
    if len(steps) > MAX_STEPS:
        raise document.error(("steps",), f"has {len(steps)} items, at most {MAX_STEPS} are run", "split the scenario")
    return tuple(_step(document, index, folder) for index in range(len(steps)))


def _step(document: Document, index: int, folder: Path) -> Step:
    place: Place = ("steps", index)
    item = document.data["steps"][index]
    if not isinstance(item, dict) or len(item) != 1:
        count = f"has {len(item)} keys" if isinstance(item, dict) else "is not a mapping"
        raise document.error(place, count, f"a step has exactly one of {', '.join(_READERS)}")
    verb = next(iter(item))
    inner = (*place, verb)
    reader = _READERS.get(verb)
    if reader is None:
        raise document.error(inner, "is not a kind of step", f"known: {', '.join(_READERS)}")
    action = reader(document, inner, item[verb], folder)
    return Step(number=index + 1, verb=verb, action=action, where=f"{document.file}:{document.line(place)}")


def _apply(document: Document, place: Place, value: Any, folder: Path) -> Apply:
    items = [value] if isinstance(value, str | dict) else value
    if not isinstance(items, list):
        raise document.error(
            place, "is neither objects nor paths", "write a list of objects, a path, or a list of paths"
        )
    objects: list[Mapping[str, Any]] = []
    places: list[str] = []
    for index, item in enumerate(items):
        at = (*place, index) if isinstance(value, list) else place
        for found, where in _objects_of(document, at, item, folder):
            objects.append(found)
            places.append(where)
    return Apply(objects=tuple(objects), places=tuple(places))


def _objects_of(document: Document, place: Place, item: Any, folder: Path) -> list[tuple[Mapping[str, Any], str]]:
    if isinstance(item, str):
        return [found for path in _files(document, place, item, folder) for found in _objects_in(path)]
    return _flattened(document, place, item)


def _files(document: Document, place: Place, text: str, folder: Path) -> list[Path]:
    path = folder / text
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml", ".json"} and p.is_file())
        files = [p for p in files if p.resolve() != Path(document.file).resolve()]
        if not files:
            raise document.error(place, f"folder {text!r} holds no YAML file", "name a folder with manifests")
        return files
    if not path.is_file():
        raise document.error(place, f"no file {text!r}", f"paths are relative to {folder}")
    return [path]


def _objects_in(path: Path) -> list[tuple[Mapping[str, Any], str]]:
    documents = [document for document in read_documents(path) if not _is_scenario(document.data)]
    return [found for document in documents for found in _flattened(document, (), document.data)]


def _is_scenario(data: Any) -> bool:
    """Return whether the document is another scenario beside the manifests, and not an object of the cluster."""
    return isinstance(data, dict) and data.get("apiVersion") == API_VERSION and data.get("kind") == "Scenario"


def _flattened(document: Document, place: Place, data: Any) -> list[tuple[Mapping[str, Any], str]]:
    """Return the object at ``place``, or the items of a ``List``."""
    if not isinstance(data, dict):
        raise document.error(place, "is not a Kubernetes object", "an object is a mapping with kind and metadata")
    kind = data.get("kind")
    if not isinstance(kind, str) or not kind:
        raise document.error((*place, "kind"), "is missing or not text", "every object names its kind")
    if kind == "List" or (kind.endswith("List") and "items" in data):
        items = data.get("items")
        if not isinstance(items, list):
            raise document.error((*place, "items"), "is not a list")
        found: list[tuple[Mapping[str, Any], str]] = []
        for index, item in enumerate(items):
            found += _flattened(document, (*place, "items", index), item)
        return found
    metadata = data.get("metadata")
    if not isinstance(metadata, dict):
        raise document.error((*place, "metadata"), "is missing or not a mapping", f"name the {kind}")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise document.error((*place, "metadata", "name"), "is missing or not text", f"name the {kind}")
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise document.error((*place, "metadata", "namespace"), "is not text", "put it in quotes")
    return [(data, f"{document.file}:{document.line(place)}")]


def _delete(document: Document, place: Place, value: Any, _folder: Path) -> Delete:
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise document.error(place, "is not a list of references", "write [{kind: Service, namespace: a, name: b}]")
    single = isinstance(value, dict)
    return Delete(
        tuple(_reference(document, place if single else (*place, index), item) for index, item in enumerate(items))
    )


def _reference(document: Document, place: Place, item: Any) -> Reference:
    if not isinstance(item, dict):
        raise document.error(place, "is not a reference", "write {kind: Service, namespace: a, name: b}")
    _keys(document, place, required=("kind", "name"), optional=("namespace", "apiVersion"))
    for key, text in item.items():
        if not isinstance(text, str) or (not text and key != "namespace"):
            raise document.error((*place, key), "is not text", "put it in quotes")
    return Reference(
        kind=item["kind"],
        namespace=item.get("namespace", ""),
        name=item["name"],
        api_version=item.get("apiVersion", ""),
    )


def _advance(document: Document, place: Place, value: Any, _folder: Path) -> Advance:
    try:
        seconds = (
            float(value)
            if isinstance(value, int | float) and not isinstance(value, bool)
            else parse_duration(str(value))
        )
    except BadInput as error:
        raise document.error(place, error.problem, error.remedy) from error
    if not 0 <= seconds <= MAX_ADVANCE:
        raise document.error(place, f"{value!r} is out of bounds", "advance by 0s up to ten years a step")
    return Advance(seconds)


def _restart(document: Document, place: Place, value: Any, _folder: Path) -> Restart:
    if value == "all":
        return Restart(PARTS)
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise document.error(place, "names no part", f"write all, or a list of {', '.join(PARTS)}")
    named = {
        _part(document, (*place, index) if isinstance(value, list) else place, item) for index, item in enumerate(items)
    }
    return Restart(tuple(part for part in PARTS if part in named))


def _part(document: Document, place: Place, value: Any) -> Part:
    for part in PARTS:
        if value == part:
            return part
    raise document.error(place, f"{value!r} is not a part", f"known: {', '.join(PARTS)}")


def _redeliver(document: Document, place: Place, value: Any, _folder: Path) -> Redeliver:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_REDELIVER:
        raise document.error(
            place, f"{value!r} is not a number of inputs", f"write a whole number from 0 to {MAX_REDELIVER}"
        )
    return Redeliver(value)


def _agents(document: Document, place: Place, value: Any, _folder: Path) -> Agents:
    if value in get_args(AgentMode):
        return Agents(value)
    remedy = f"write one of {', '.join(get_args(AgentMode))}"
    raise document.error(place, f"{value!r} is not a way agents behave", remedy)


def _crash(document: Document, place: Place, value: Any, _folder: Path) -> Crash:
    return Crash(_part(document, place, value))


def _expect(document: Document, place: Place, value: Any, _folder: Path) -> Expect:
    if not isinstance(value, dict) or not value:
        raise document.error(place, "expects nothing", "write services: {…} or networks: {…}")
    _keys(document, place, required=(), optional=("services", "networks"))
    return Expect(
        services=_expected(document, (*place, "services"), value.get("services"), SERVICE_FIELDS),
        networks=_expected(document, (*place, "networks"), value.get("networks"), NETWORK_FIELDS),
    )


def _expected(
    document: Document, place: Place, value: Any, fields: tuple[str, ...]
) -> dict[str, Mapping[str, Any] | None]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise document.error(place, "is not a mapping", "write namespace/name: {…}")
    for name, wanted in value.items():
        inner = (*place, name)
        namespace, slash, rest = name.partition("/")
        if not slash or not namespace or not rest or "/" in rest:
            raise document.error(inner, f"{name!r} is not namespace/name")
        if wanted is None:
            continue
        if not isinstance(wanted, dict):
            raise document.error(
                inner, "is not a mapping", f"write {{{fields[0]}: …}}, or null where it must be absent"
            )
        _keys(document, inner, required=(), optional=fields)
        _expected_values(document, inner, wanted)
    return value


def _expected_values(document: Document, place: Place, wanted: Mapping[str, Any]) -> None:
    if "state" in wanted and wanted["state"] not in STATES:
        raise document.error((*place, "state"), f"{wanted['state']!r} is not a state", f"known: {', '.join(STATES)}")
    if "addresses" in wanted and not isinstance(wanted["addresses"], list):
        raise document.error((*place, "addresses"), "is not a list", "write [192.0.2.7], or [] for none")
    path_set = wanted.get("path_set")
    if path_set is None:
        return
    if not isinstance(path_set, dict):
        raise document.error((*place, "path_set"), "is not a mapping", "write address: {node: {weight: 2}}")
    for address, nodes in path_set.items():
        if not isinstance(nodes, dict):
            raise document.error((*place, "path_set", address), "is not a mapping", "write node: {weight: 2}")
        for node, shown in nodes.items():
            at = (*place, "path_set", address, node)
            if shown is not None and not isinstance(shown, dict):
                raise document.error(at, "is not a mapping", "write {weight: 2, backends: […]}")
            if shown is not None:
                _keys(document, at, required=(), optional=NODE_FIELDS)


_READERS: Final[Mapping[str, Callable[[Document, Place, Any, Path], Action]]] = {
    "apply": _apply,
    "delete": _delete,
    "advance": _advance,
    "restart": _restart,
    "redeliver": _redeliver,
    "agents": _agents,
    "crash": _crash,
    "expect": _expect,
}


def _keys(document: Document, place: Place, *, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    data = document.data
    for part in place:
        data = data[part]
    if not isinstance(data, dict):
        raise document.error(place, "is not a mapping", f"it has {', '.join((*required, *optional))}")
    for key in data:
        if key not in required and key not in optional:
            raise document.error((*place, key), "is not known here", f"known: {', '.join((*required, *optional))}")
    for key in required:
        if key not in data:
            raise document.error((*place, key), "is missing", f"needed: {', '.join(required)}")


def _constant(document: Document, place: Place, wanted: str) -> None:
    value = document.data[place[0]]
    if value != wanted:
        raise document.error(place, f"is {value!r}", f"write {wanted}")
