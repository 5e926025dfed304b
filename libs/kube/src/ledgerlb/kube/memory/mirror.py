"""Make EndpointSlices from manual Endpoints, as the API server's mirroring controller does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.kube.normalise.cluster import SERVICE_NAME_LABEL, SKIP_MIRROR_LABEL, SLICE_MANAGED_BY_LABEL

MIRRORED: Final = "endpointslicemirroring-controller.k8s.io"
_LEADER: Final = "control-plane.alpha.kubernetes.io/leader"


def mirrored_slices(service: Mapping[str, Any] | None, endpoints: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the slices of one Endpoints object: one per subset and family.

    There are none if its Service is absent or has a selector, or if the object asks not to be mirrored. Values of the
    wrong type stay for the normaliser to report, or count as absent.
    """
    if service is None or endpoints is None or _dict(_dict(service.get("spec")).get("selector")):
        return []
    meta = _dict(endpoints.get("metadata"))
    labels = _dict(meta.get("labels"))
    if labels.get(SKIP_MIRROR_LABEL) == "true" or _LEADER in _dict(meta.get("annotations")):
        return []
    subsets = endpoints.get("subsets")
    result: list[dict[str, Any]] = []
    for number, subset in enumerate(subsets if isinstance(subsets, list) else []):
        for family in ("IPv4", "IPv6"):
            found = _endpoints(_dict(subset), family)
            if found:
                name = f"{meta.get('name')}-mirror-{family.lower()}-{number}"
                result.append(_slice(meta, name, family, found, _dict(subset).get("ports")))
    return result


def _slice(meta: Mapping[str, Any], name: str, family: str, endpoints: list[Any], ports: Any) -> dict[str, Any]:
    owner = {SERVICE_NAME_LABEL: meta.get("name"), SLICE_MANAGED_BY_LABEL: MIRRORED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": meta.get("namespace"),
            "name": name,
            "labels": {**_dict(meta.get("labels")), **owner},
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports if ports is not None else [],
    }


def _endpoints(subset: Mapping[str, Any], family: str) -> list[dict[str, Any]]:
    found = []
    for key, ready in (("addresses", True), ("notReadyAddresses", False)):
        entries = subset.get(key)
        for entry in entries if isinstance(entries, list) else []:
            address = entry.get("ip") if isinstance(entry, dict) else None
            if not isinstance(address, str) or (":" in address) != (family == "IPv6"):
                continue
            made: dict[str, Any] = {"addresses": [address], "conditions": {"ready": ready}}
            made |= {field: entry[field] for field in ("nodeName", "targetRef", "hostname") if field in entry}
            found.append(made)
    return found


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
