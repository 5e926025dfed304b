"""What an import reads and makes: foreign objects in; AddressPools, annotations and notes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledgerlb.core.addresses import BITS, cidr_of, parse_item, to_text
from ledgerlb.core.cluster.services import (
    ANNOTATION_ADDRESSES,
    ANNOTATION_IMPORTED_FROM,
    ANNOTATION_NETWORK,
    ANNOTATION_SHARING_KEY,
)
from ledgerlb.core.errors import BadInput
from ledgerlb.core.networks import POOL_PREFIX

Object = Mapping[str, Any]
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that the API server gives each Namespace."""
ADDRESSES: Final = ANNOTATION_ADDRESSES
SHARING: Final = ANNOTATION_SHARING_KEY
POOL: Final = ANNOTATION_NETWORK


@dataclass(frozen=True, slots=True)
class Source:
    """A kind that a controller is configured by. ``name`` limits it to one object, as ``namespace/name``."""

    kind: str
    group: str
    plural: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller that LedgerLB can take over from. ``annotations`` maps its annotations on Services to ours;
    ``ignored`` are those that carry no wish (prefixes end in ``/``).
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    annotations: Mapping[str, str]
    ignored: tuple[str, ...]
    prefixes: tuple[str, ...]
    pools: Callable[[Objects, Carried], None]


class Objects:
    """Foreign objects by kind."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.all = tuple(objects)

    def of(self, kind: str, group: str = "") -> Iterator[Object]:
        """Yield the objects of a kind, by namespace and name."""
        found = [obj for obj in self.all if obj.get("kind") == kind and _group(obj) == group]
        yield from sorted(found, key=full_name)

    def services(self) -> Iterator[Object]:
        """Yield the Services of type LoadBalancer."""
        for service in self.of("Service"):
            if mapping(service.get("spec")).get("type") == "LoadBalancer":
                yield service


@dataclass(slots=True)
class Carried:
    """The outcome. ``annotations`` are new ones, by Service; ``notes`` say what LedgerLB cannot carry over."""

    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, obj: Object, text: str) -> None:
        """Note something about an object that has no counterpart."""
        self.notes.append(f"{obj.get('kind')} {full_name(obj)}: {text}")

    def note_announcing(self, objects: Objects, kinds: Iterable[str], group: str) -> None:
        """Note the objects that say how addresses are announced."""
        for kind in kinds:
            for obj in objects.of(kind, group):
                self.note(obj, "how addresses are announced is a setting of LedgerLB's agents, not of a pool")

    def add_pool(self, obj: Object, name: str, addresses: Iterable[Any], **spec: Any) -> None:
        """Add an AddressPool made of a foreign object. Items that spell no addresses are noted and left out."""
        items = [item for item in addresses if self._is_usable(obj, item)]
        if not items:
            self.note(obj, "has no addresses that LedgerLB can use, so it becomes no AddressPool")
            return
        if name in self.pools:
            self.note(obj, f"another pool has the name {name} already; its addresses are not carried over")
            return
        given = {key: value for key, value in spec.items() if value not in (None, [], {}, False) or key == "autoAssign"}
        metadata = {"name": name, "annotations": {ANNOTATION_IMPORTED_FROM: f"{obj.get('kind')} {full_name(obj)}"}}
        self.pools[name] = {
            "apiVersion": "ledgerlb.io/v1alpha1",
            "kind": "AddressPool",
            "metadata": metadata,
            "spec": {"addresses": list(dict.fromkeys(items)), **given},
        }

    def _is_usable(self, obj: Object, item: Any) -> bool:
        try:
            parse_item(str(item).strip(), "", "")
        except BadInput:
            self.note(obj, f"{item!r} is no prefix, range or address")
            return False
        return True

    def annotate(self, service: str, key: str, value: str) -> None:
        """Add an annotation to a Service."""
        self.annotations.setdefault(service, {})[key] = value


def carry(controller: Controller, objects: Objects) -> Carried:
    """Turn a controller's objects into ours."""
    carried = Carried()
    controller.pools(objects, carried)
    for service in objects.services():
        _carry_annotations(controller, service, carried)
    return carried


def _carry_annotations(controller: Controller, service: Object, carried: Carried) -> None:
    own = annotations_of(service)
    for key, value in own.items():
        if not key.startswith(controller.prefixes):
            continue
        ours = controller.annotations.get(key)
        if ours is None:
            if not key.startswith(controller.ignored):
                carried.note(service, f"the annotation {key} has no counterpart")
        elif ours in own:
            carried.note(service, f"the annotation {ours} is there already; {key} is not carried over")
        elif ours == POOL:
            _name_pool(service, key, value, carried)
        else:
            carried.annotate(full_name(service), ours, value)


def _name_pool(service: Object, key: str, value: str, carried: Carried) -> None:
    name = pool_name(value.rpartition("/")[2])
    if name in carried.pools:
        carried.annotate(full_name(service), POOL, f"{POOL_PREFIX}{name}")
    else:
        carried.note(service, f"the annotation {key} names the pool {value}, which does not exist")


# -- reading raw JSON --------------------------------------------------------------------------------------------------


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the mapping, or an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[Any]:
    """Return the list, or an empty one in place of anything else."""
    return value if isinstance(value, list) else []


def annotations_of(obj: Object) -> dict[str, str]:
    """Return the annotations of an object that are text, sorted."""
    found = mapping(mapping(obj.get("metadata")).get("annotations"))
    return {str(key): value for key, value in sorted(found.items()) if isinstance(value, str)}


def full_name(obj: Object) -> str:
    """Return ``namespace/name``, or the name of an object without a namespace."""
    namespace, name = mapping(obj.get("metadata")).get("namespace"), own_name(obj)
    return f"{namespace}/{name}" if namespace else name


def own_name(obj: Object) -> str:
    """Return the name of an object, without its namespace."""
    return str(mapping(obj.get("metadata")).get("name"))


def pool_name(text: str) -> str:
    """Return the text as the name of an AddressPool."""
    return text.strip().lower().replace("_", "-")


def namespaces(*names: str) -> dict[str, Any]:
    """Return the label selector of Namespaces by name."""
    if len(names) == 1:
        return {"matchLabels": {NAMESPACE_NAME: names[0]}}
    return {"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "In", "values": sorted(names)}]}


def ends_of(text: str) -> list[str]:
    """Return the first and the last address of a prefix, none where it has no more than these two."""
    try:
        cidr = cidr_of(text.strip())
    except ValueError:
        return []
    if cidr.length > BITS[cidr.family] - 2:
        return []
    return [to_text(cidr.low, cidr.family), to_text(cidr.high, cidr.family)]


def _group(obj: Object) -> str:
    version = str(obj.get("apiVersion", ""))
    return version.partition("/")[0] if "/" in version else ""
