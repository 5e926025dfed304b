"""VirtualNetworkRouters: which networks of CN2 they join, as route targets that users need not write.

A mesh or hub joins the networks that it selects in its own namespace. A spoke joins its networks to nothing by itself.
Two routers that import each other join their networks, but a spoke's never reach those of another spoke. Nothing is
passed on: a router that imports a second one does not reach what that one imports, so a ring of routers is harmless.

Each member exports a target of its own (``router:NAMESPACE/ROUTER#NETWORK``), and imports those of the members that it
reaches. So the rules about route targets hold for routers too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledgerlb.core.cluster.facts import Fact, VirtualNetworkRouterFact
from ledgerlb.core.cluster.labels import LabelSelector, parse_selector
from ledgerlb.core.errors import BadInput

_TYPES: Final = ("mesh", "hub", "spoke")
_IMPORTS: Final = "spec.import.virtualNetworkRouters"


@dataclass(frozen=True, slots=True)
class RouterTargets:
    """What the routers of a network let it import and export, sorted, and what is wrong with them."""

    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


NO_ROUTERS: Final = RouterTargets()


@dataclass(frozen=True, slots=True)
class _Import:
    routers: LabelSelector
    namespaces: LabelSelector | None


@dataclass(slots=True)
class _Router:
    fact: VirtualNetworkRouterFact
    members: tuple[str, ...] = ()
    imports: tuple[_Import, ...] = ()
    imported: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.fact.full_name

    @property
    def is_spoke(self) -> bool:
        return self.fact.type == "spoke"

    def targets(self) -> Iterable[str]:
        return (f"router:{self.name}#{member}" for member in self.members)


def router_targets(
    routers: Iterable[VirtualNetworkRouterFact],
    networks: Iterable[Fact],
    namespace_labels: Mapping[str, Mapping[str, str]],
) -> dict[str, RouterTargets]:
    """Return the targets of every network that a router selects, by name.

    A router that cannot be read joins nothing; every network of its namespace gets to know.
    """
    labels: dict[str, dict[str, str]] = {}
    for network in networks:
        labels.setdefault(network.full_name, {}).update(network.labels)
    facts = sorted((fact for fact in routers if not fact.deleting), key=lambda fact: fact.full_name)
    read = {fact.full_name: _read(fact, labels) for fact in facts}
    for router in read.values():
        router.imported = tuple(_imported_by(router, read.values(), namespace_labels))
    imports: dict[str, set[str]] = {}
    exports: dict[str, set[str]] = {}
    problems: dict[str, list[str]] = {}
    for router in read.values():
        targets = {target for other in _reached(router, read) for target in other.targets()}
        for member, target in zip(router.members, router.targets(), strict=True):
            imports.setdefault(member, set()).update(targets)
            exports.setdefault(member, set()).add(target)
        inside = router.members or [name for name in labels if name.startswith(f"{router.fact.namespace}/")]
        for name in inside:
            told = (f"VirtualNetworkRouter {router.name}: {problem}" for problem in router.problems)
            problems.setdefault(name, []).extend(told)
    return {
        name: RouterTargets(
            tuple(sorted(imports.get(name, ()))), tuple(sorted(exports.get(name, ()))), tuple(problems[name])
        )
        for name in sorted(problems)
    }


def _reached(router: _Router, routers: Mapping[str, _Router]) -> list[_Router]:
    """Return the routers whose networks those of the router reach, itself included unless it is a spoke."""
    found = [] if router.is_spoke else [router]
    for name in router.imported:
        other = routers[name]
        if router.name not in other.imported:
            router.problems.append(f"imports {name}, which does not import it, so they are not joined")
        elif not (router.is_spoke and other.is_spoke):
            found.append(other)
    return found


def _read(fact: VirtualNetworkRouterFact, labels: Mapping[str, Mapping[str, str]]) -> _Router:
    router = _Router(fact)
    subject = f"VirtualNetworkRouter {fact.full_name}"
    router.problems += [f"{where} {problem}" for where, problem in fact.malformed]
    if fact.type not in _TYPES:
        router.problems.append(f"spec.type {fact.type!r} is unknown; write {', '.join(_TYPES)}")
    if fact.network_selector is None:
        router.problems.append("spec.virtualNetworkSelector is missing; name the labels of networks")
    if router.problems:
        return router
    try:
        selector = parse_selector(fact.network_selector, subject, "spec.virtualNetworkSelector")
        router.imports = tuple(_import(raw, subject) for raw in fact.imports)
    except BadInput as problem:
        router.problems.append(f"{problem.field}: {problem.problem}; {problem.remedy}")
        return router
    inside = (name for name in sorted(labels) if name.startswith(f"{fact.namespace}/"))
    router.members = tuple(name for name in inside if selector.matches(labels[name]))
    if not router.members:
        router.problems.append("selects no network of its namespace; correct spec.virtualNetworkSelector or label one")
    return router


def _import(raw: Mapping[str, Any], subject: str) -> _Import:
    routers, namespaces = raw.get("virtualNetworkRouterSelector"), raw.get("namespaceSelector")
    if routers is None:
        problem = "has an entry without virtualNetworkRouterSelector"
        raise BadInput(subject, _IMPORTS, problem, "name the labels of routers ({} matches every one)")
    return _Import(
        parse_selector(routers, subject, f"{_IMPORTS}.virtualNetworkRouterSelector"),
        None if namespaces is None else parse_selector(namespaces, subject, f"{_IMPORTS}.namespaceSelector"),
    )


def _imported_by(
    router: _Router, routers: Iterable[_Router], namespace_labels: Mapping[str, Mapping[str, str]]
) -> Iterable[str]:
    """Yield the other routers that a router imports; without a namespaceSelector only those of its own namespace."""
    for other in routers:
        if not any(_selects(one, router, other, namespace_labels) for one in router.imports):
            continue
        if other is router:
            router.problems.append("imports itself, which joins nothing; correct spec.import")
        else:
            yield other.name


def _selects(one: _Import, router: _Router, other: _Router, labels: Mapping[str, Mapping[str, str]]) -> bool:
    namespace = other.fact.namespace
    if one.namespaces is None:
        inside = namespace == router.fact.namespace
    else:
        inside = one.namespaces.matches(labels.get(namespace, {}))
    return inside and one.routers.matches(other.fact.labels)
