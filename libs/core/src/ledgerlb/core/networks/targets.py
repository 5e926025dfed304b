"""Route targets as a NetworkAttachmentDefinition and a VirtualNetwork of one name list them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from ledgerlb.core.cluster.facts import NetworkAttachmentDefinitionFact, VirtualNetworkFact
from ledgerlb.core.cluster.reachability import RouteTargets
from ledgerlb.core.cluster.routers import RouterTargets
from ledgerlb.core.text import load_json

TARGET_KEYS: Final = ("routeTargetList", "importRouteTargetList", "exportRouteTargetList")
"""Keys of the NAD's annotation: targets to import and export, to import only, to export only."""


def with_routers(targets: RouteTargets, routers: RouterTargets) -> RouteTargets:
    """Return the targets with what VirtualNetworkRouters add."""
    if not routers.imports and not routers.exports:
        return targets
    return replace(targets, routers_in=routers.imports, routers_out=routers.exports)


def targets_of(nad: NetworkAttachmentDefinitionFact | None, vn: VirtualNetworkFact | None) -> RouteTargets:
    """Return the targets of both objects, also while they are being deleted: holders are forwarded until they have
    moved. An annotation that cannot be read lists no target.
    """
    declared = _parsed(nad.networks) if nad is not None and nad.networks is not None else {}
    return together((listed(declared.get(key)) or () for key in TARGET_KEYS), vn)


def together(of_nad: Iterable[tuple[str, ...]], vn: VirtualNetworkFact | None) -> RouteTargets:
    """Join the three lists of a NAD (in the order of ``TARGET_KEYS``) with those of the VirtualNetwork."""
    of_vn = (vn.route_targets, vn.import_route_targets, vn.export_route_targets) if vn is not None else ((), (), ())
    pairs = zip(of_nad, of_vn, strict=True)
    both, imports, exports = (tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in pairs)
    return RouteTargets(both, imports, exports)


def listed(value: Any) -> tuple[str, ...] | None:
    """Return the route targets under one key: a list of strings, or one string with commas; null means none.

    Return None for any other value.
    """
    if value is None:
        return ()
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return tuple(item.strip() for item in items if item.strip())


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        raw = load_json(text)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}
