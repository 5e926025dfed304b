"""Path sets of earlier versions, read as the present one.

Version 1 (records without ``v``) had one answer for the whole address: ``source_ranges``, ``affinity``,
``affinity_timeout``, ``external_traffic_policy``, and ``backends`` and ``draining`` by next hop. Version 2 keeps all of
them for each port.
"""

from __future__ import annotations

from typing import Any, Final

VERSION: Final = 2
"""The version of path sets that this code writes. A released version never changes: a field that an older reader would
misread belongs to the next version, with a step here and a golden file in the tests.
"""

_PER_ADDRESS: Final = ("source_ranges", "affinity", "affinity_timeout", "external_traffic_policy")


class UnknownVersion(ValueError):
    """A record was written by a newer version of LedgerLB."""


def bring_up_to_date(data: Any) -> Any:
    """Return the decoded JSON of a path set of any known version as data of ``VERSION``; raises UnknownVersion.

    What is no path set at all comes back as it is, and fails validation.
    """
    if not isinstance(data, dict):
        return data
    version = data.get("v", 1)
    if version not in (1, VERSION):
        raise UnknownVersion(f"is {version!r}, and this reader knows versions up to {VERSION}")
    return _from_1(data) if version == 1 else data


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 does not tell which backend belongs to which port.

    So the backends are kept where the address has one port, and left out otherwise; weights are always kept. The
    planner writes every path set again when it starts.
    """
    frontends, hops = data.get("frontends", []), data.get("next_hops", [])
    if not _are_objects(frontends) or not _are_objects(hops):
        return data
    for_each_port = {field: data[field] for field in _PER_ADDRESS if field in data}
    frontends = [frontend | for_each_port for frontend in frontends]
    if len(frontends) == 1:
        frontends[0]["local"] = [
            {"node": hop.get("node"), "backends": hop.get("backends", []), "draining": hop.get("draining", [])}
            for hop in hops
            if hop.get("backends") or hop.get("draining")
        ]
    return data | {"frontends": frontends}


def _are_objects(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)
