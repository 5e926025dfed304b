"""``SelectionContext``: everything that a choice depends on besides the Service itself.

A context serves many Services, because it remembers what each selector matches. Build a new one when a network, a
Namespace's labels or the Kubemanager changes. Annotations of Namespaces are read from the view each time.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.contrail import contrail_home
from ledgerlb.core.cluster.facts import KubemanagerFact, ServiceFact
from ledgerlb.core.cluster.labels import EVERYTHING, LabelSelector, parse_selector
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.errors import BadInput
from ledgerlb.core.networks import ExternalNetwork, networks
from ledgerlb.core.selection.rungs import DEFAULT_SELECTOR, RungSource
from ledgerlb.core.settings import DEFAULT_SELECTORS, DomainSettings

_NO_ANNOTATIONS: Final[Mapping[str, str]] = {}
_NOTHING: Final[Mapping[str, str]] = {"": ""}


@dataclass(frozen=True, slots=True)
class NamedSelector:
    """A named entry of ``externalNetworkSelectors``. ``namespaces`` None: it has no namespaceSelector."""

    name: str
    networks: LabelSelector
    namespaces: LabelSelector | None


@dataclass(frozen=True, slots=True)
class Matches:
    """The matches of a selector for Services of one Namespace: ``networks`` oldest first, ``scope`` for messages, and
    ``elsewhere``, the number of networks that only the labels match.
    """

    networks: tuple[ExternalNetwork, ...]
    scope: str
    elsewhere: int


class Room(Protocol):
    """What a choice reads of the ledger."""

    def is_full(self, network: str, family: Family, *, strict: bool) -> bool:
        """Return whether the network has no address of the family left for a newcomer. Unless ``strict``, an address in
        quarantine is left.
        """
        ...

    def shares(self, network: str, family: Family, service: ServiceFact) -> bool:
        """Return whether the Service may join an address of the network under its sharing key."""
        ...


class _AlwaysRoom:
    def is_full(self, network: str, family: Family, *, strict: bool) -> bool:  # noqa: ARG002 - see Room
        return False

    def shares(self, network: str, family: Family, service: ServiceFact) -> bool:  # noqa: ARG002 - see Room
        return False


_ALWAYS_ROOM: Final = _AlwaysRoom()


class SelectionContext:
    """See module. ``networks`` are the external networks by name; ``selectors`` the defined ones, a BadInput
    where one cannot be used; ``source`` names the object or setting that defines them. ``unreadable`` says why no
    selector at all can be read: then any name may have been defined, ``default-external`` too. ``room`` tells which
    networks are full; ``home`` is the contrail namespace.
    """

    def __init__(
        self,
        view: ClusterView,
        settings: DomainSettings,
        found: Mapping[str, ExternalNetwork] | None = None,
        room: Room | None = None,
    ) -> None:
        self.view = view
        self.room = room or _ALWAYS_ROOM
        self.settings = settings
        self.home = contrail_home(view, settings)
        self.networks = dict(found) if found is not None else networks(view, settings)
        kubemanager = view.kubemanager(settings)
        self.source = f"Kubemanager {kubemanager.full_name}" if kubemanager is not None else "settings"
        self.source_key = f"Kubemanager/{kubemanager.namespace}/{kubemanager.name}" if kubemanager is not None else None
        raw = kubemanager.external_network_selectors if kubemanager is not None else settings.external_network_selectors
        self.defines_default = kubemanager is not None or raw != DEFAULT_SELECTORS
        """Whether an administrator has defined selectors; else the label of CN2's documentation counts."""
        field = "spec.externalNetworkSelectors" if kubemanager is not None else "externalNetworkSelectors"
        self.selectors = {name: _parsed(name, raw[name], self.source, f"{field}.{name}") for name in sorted(raw)}
        self.unreadable = _unreadable(kubemanager) if kubemanager is not None else None
        self._names = {name: name for name in self.selectors}
        if self.unreadable is not None:
            self._names[DEFAULT_SELECTOR] = DEFAULT_SELECTOR
        self._matching: dict[str, tuple[ExternalNetwork, ...]] = {}
        self._matches: dict[tuple[str, str], Matches] = {}
        pools = (network for network in self.networks.values() if network.pool is not None)
        self._pools = tuple(sorted((pool for pool in pools if _takes_part(pool)), key=_precedence))

    @classmethod
    def of(cls, view: ClusterView, settings: DomainSettings, holders: Container[str] = ()) -> SelectionContext:
        """The context of a view; ``holders`` names the networks of which some Service holds an address."""
        return cls(view, settings, networks(view, settings, holders))

    def place(self, place: RungSource, namespace: str, own: Mapping[str, str]) -> Mapping[str, str]:
        """Return the values in a place, by key, for a Service of ``namespace`` with the annotations ``own``."""
        match place:
            case "service":
                return own
            case "namespace":
                return self._annotations(namespace)
            case "contrail-namespace":
                # Where it is unclear which namespace it is, an annotation of any candidate leaves the choice open.
                found = (self._annotations(candidate) for candidate in reversed(self.home.candidates))
                return {key: value for annotations in found for key, value in annotations.items()}
            case "selectors":
                return self._names
            case "pools":
                return {"": f"{len(self._pools)} AddressPools"} if self._pools else _NO_ANNOTATIONS
            case _:
                return _NOTHING

    def pools_for(self, service: ServiceFact) -> tuple[ExternalNetwork, ...]:
        """Return the AddressPools that take part for a Service that nothing else gives a network, the first choice
        first.
        """
        labels = self.view.namespace_labels(service.namespace)
        return tuple(
            network
            for network in self._pools
            if network.pool is not None
            and network.pool.services.matches(service.labels)
            and network.pool.namespaces.matches(labels)
        )

    def selector(self, name: str) -> NamedSelector | BadInput | None:
        """Return the selector of a name: BadInput if it cannot be read, None if it is not defined."""
        return self.selectors.get(name, self.unreadable)

    def _annotations(self, namespace: str) -> Mapping[str, str]:
        fact = self.view.namespace(namespace)
        return fact.annotations if fact is not None else _NO_ANNOTATIONS

    def matches(self, selector: NamedSelector, namespace: str) -> Matches:
        """Return the networks that the selector matches for a Service of ``namespace``."""
        at = (selector.name, namespace if selector.namespaces is None else "")
        found = self._matches.get(at)
        if found is None:
            found = self._matches[at] = self._look(selector, namespace)
        return found

    def _look(self, selector: NamedSelector, namespace: str) -> Matches:
        matching = self._by_labels(selector)
        if selector.namespaces is not None:
            wanted = selector.namespaces
            allowed = {
                place: wanted.matches(self.view.namespace_labels(place))
                for place in dict.fromkeys(network.namespace for network in matching)
            }
            allowed[""] = wanted == EVERYTHING  # a pool is in no namespace
            inside = tuple(network for network in matching if allowed[network.namespace])
            where = "any namespace" if wanted == EVERYTHING else f"namespaces with labels {wanted}"
            return Matches(inside, where, len(matching) - len(inside))
        if selector.name == DEFAULT_SELECTOR:
            home = self.home.namespace
            inside = tuple(network for network in matching if network.namespace == home)
            if inside:
                return Matches(inside, f"namespace {home}", len(matching) - len(inside))
            # Anybody may label a network of his own, so only networks that an administrator vouches for take part.
            admitted = tuple(network for network in matching if network.admitted)
            scope = f"admitted namespaces (none matches in {home})"
            return Matches(admitted, scope, len(matching) - len(admitted))
        inside = tuple(network for network in matching if network.namespace in {namespace, ""})
        return Matches(inside, f"namespace {namespace}", len(matching) - len(inside))

    def _by_labels(self, selector: NamedSelector) -> tuple[ExternalNetwork, ...]:
        found = self._matching.get(selector.name)
        if found is None:
            inside = (network for network in self.networks.values() if selector.networks.matches(network.labels))
            found = self._matching[selector.name] = tuple(sorted(inside, key=lambda network: network.age))
        return found


def _takes_part(network: ExternalNetwork) -> bool:
    return network.pool is not None and network.pool.auto_assign


def _precedence(network: ExternalNetwork) -> tuple[int, tuple[str, str]]:
    """Sort pools: higher priority first, then the older, then by name."""
    return (-network.pool.priority if network.pool is not None else 0, network.age)


def _unreadable(kubemanager: KubemanagerFact) -> BadInput | None:
    for field, problem in kubemanager.malformed:
        remedy = "write a mapping of selectors: a name, then networkSelector, and namespaceSelector where needed"
        return BadInput(f"Kubemanager {kubemanager.full_name}", field, problem, remedy)
    return None


def _parsed(name: str, raw: Any, subject: str, field: str) -> NamedSelector | BadInput:
    try:
        return _selector(name, raw, subject, field)
    except BadInput as problem:
        return problem


def _selector(name: str, raw: Any, subject: str, field: str) -> NamedSelector:
    if not isinstance(raw, Mapping):
        raise BadInput(subject, field, "is not a mapping", "write networkSelector, and namespaceSelector where needed")
    unknown = sorted(str(key) for key in raw if key not in {"networkSelector", "namespaceSelector"})
    if unknown:
        raise BadInput(subject, f"{field}.{unknown[0]}", "is unknown", "use networkSelector and namespaceSelector")
    of_networks, of_namespaces = raw.get("networkSelector"), raw.get("namespaceSelector")
    if of_networks is None:
        raise BadInput(
            subject, f"{field}.networkSelector", "is missing", "name the labels of networks ({} matches every one)"
        )
    return NamedSelector(
        name,
        parse_selector(of_networks, subject, f"{field}.networkSelector"),
        None if of_namespaces is None else parse_selector(of_namespaces, subject, f"{field}.namespaceSelector"),
    )
