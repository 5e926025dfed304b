"""Compare an object in the cluster with the wanted one.

CN2's API server fills in what its clients leave out (``uid`` in references, defaults), so an object may hold more than
LedgerLB wrote, at any depth. Lists must have as many items. The version in an ``apiVersion`` does not matter, because
the server converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledgerlb.cn2.model import CARRIED_ANNOTATION
from ledgerlb.core.cluster.facts import AnyFact, CN2ObjectFact, SubnetFact, VirtualNetworkFact

_EMPTY: Mapping[str, str] = {}


def covers(actual: AnyFact, wanted: AnyFact) -> bool:
    """Return whether ``actual`` has everything that ``wanted`` (the fact of the wanted object) has."""
    if not includes(actual.annotations, wanted.annotations):
        return False
    match actual, wanted:
        case CN2ObjectFact(), CN2ObjectFact():
            return actual.ours and includes(actual.spec, wanted.spec)
        case SubnetFact(), SubnetFact():
            return actual.ours and actual.cidr.strip() == wanted.cidr
        case VirtualNetworkFact(), VirtualNetworkFact():
            return _network(actual) == _network(wanted) and includes(actual.labels, wanted.labels)
        case _:
            return actual == wanted


def _network(fact: VirtualNetworkFact) -> tuple[Any, ...]:
    targets = (fact.route_targets, fact.import_route_targets, fact.export_route_targets)
    return (fact.v4_subnet, fact.v6_subnet, *targets, fact.malformed, fact.annotations.get(CARRIED_ANNOTATION, ""))


def includes(actual: Any, wanted: Any, field: str = "") -> bool:
    """Return whether a JSON value holds everything that another one does; see module."""
    if isinstance(wanted, Mapping):
        if not isinstance(actual, Mapping):
            return False
        return all(key in actual and includes(actual[key], value, key) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(wanted):
            return False
        return all(includes(left, right) for left, right in zip(actual, wanted, strict=True))
    if field == "apiVersion" and isinstance(actual, str) and isinstance(wanted, str):
        return actual.rpartition("/")[0] == wanted.rpartition("/")[0]
    return type(actual) is type(wanted) and bool(actual == wanted)
