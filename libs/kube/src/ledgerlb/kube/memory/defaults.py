"""Fill in a Service as an API server does: families, cluster addresses, port defaults. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ledgerlb.core.addresses import to_int, to_text

DUAL_STACK: Final = ("PreferDualStack", "RequireDualStack")
_OTHER: Final = {"IPv4": "IPv6", "IPv6": "IPv4"}
_ALLOCATED: Final = ("ClusterIP", "NodePort", "LoadBalancer")

Allocate = Callable[[str], str]
"""A fresh cluster address of a family (``IPv4`` or ``IPv6``)."""


def service_spec(spec: Mapping[str, Any], before: Mapping[str, Any], allocate: Allocate) -> dict[str, Any]:
    """Return the spec as a dual-stack API server would store it, given the stored one (empty for a new Service).

    Values of the wrong type stay: the normaliser reports them.
    """
    result = dict(spec)
    result.setdefault("type", "ClusterIP")
    result.setdefault("sessionAffinity", "None")
    if result["type"] == "ExternalName":
        return {key: value for key, value in result.items() if key not in {"clusterIP", "clusterIPs"}}
    if isinstance(result.get("ports"), list):
        result["ports"] = [_port(entry) for entry in result["ports"]]
    if result["type"] in {"NodePort", "LoadBalancer"}:
        result.setdefault("externalTrafficPolicy", "Cluster")
    if result["type"] == "LoadBalancer":
        result.setdefault("allocateLoadBalancerNodePorts", True)
    _families(result, before)
    if result["type"] in _ALLOCATED and result.get("clusterIP") != "None":
        _cluster_addresses(result, before, allocate)
    return result


def _port(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    filled = {**entry}
    filled.setdefault("protocol", "TCP")
    filled.setdefault("targetPort", entry.get("port"))
    return filled


def _families(spec: dict[str, Any], before: Mapping[str, Any]) -> None:
    listed = spec.get("ipFamilies")
    if listed is not None and not isinstance(listed, list):
        return
    families = list(listed or ())
    answered = [_family_of(address) for address in _addresses(spec.get("clusterIPs"))]
    pinned = [_family_of(address) for address in _addresses([spec.get("clusterIP")])]
    policy = spec.get("ipFamilyPolicy")
    if not isinstance(policy, str) or not policy:
        # A real server makes RequireDualStack of two families. CN2's documentation has them on networks of one family,
        # and CN2 serves that.
        several = "RequireDualStack" if len(answered) > 1 else "PreferDualStack"
        policy = several if max(len(families), len(answered)) > 1 else "SingleStack"
        spec["ipFamilyPolicy"] = policy
    if not families:
        stored = before.get("ipFamilies")
        primary = stored[0] if isinstance(stored, list) and stored else "IPv4"
        families = answered or pinned or [primary]
    # A manifest with clusterIPs comes from an API server, which has resolved the policy.
    if policy in DUAL_STACK and len(families) == 1 and families[0] in _OTHER and not answered:
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families[:1] if policy == "SingleStack" else families


def _addresses(value: Any) -> list[str]:
    return [address for address in _strings(value) if address not in {"", "None"}]


def _family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _cluster_addresses(spec: dict[str, Any], before: Mapping[str, Any], allocate: Allocate) -> None:
    """One address a family: the one given, else the one that the Service had, else a fresh one."""
    known: dict[str, str] = {}
    for source in (before, spec):
        for address in [source.get("clusterIP"), *_strings(source.get("clusterIPs"))]:
            if isinstance(address, str) and address not in {"", "None"}:
                known[_family_of(address)] = address
    families = [family for family in _strings(spec.get("ipFamilies")) if family in _OTHER]
    addresses = [known.get(family) or allocate(family) for family in families]
    if addresses:
        spec["clusterIP"] = addresses[0]
        spec["clusterIPs"] = addresses


def _strings(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


class ClusterAddresses:
    """Fresh cluster addresses: 10.96.0.0/16 and fd00:10:96::/112, upwards from .10, in the order of the calls."""

    def __init__(self) -> None:
        self._next = {
            "IPv4": to_int("10.96.0.10"),
            "IPv6": to_int("fd00:10:96::a"),
        }
        self._taken: set[str] = set()

    def take(self, addresses: Iterable[str]) -> None:
        """Keep addresses of Services of an earlier life from new ones."""
        self._taken.update(addresses)

    def __call__(self, family: str) -> str:
        """Return the next address of the family."""
        while True:  # ends: every turn leaves one taken address behind
            value = self._next[family]
            self._next[family] = value + 1
            address = to_text(value, 4 if family == "IPv4" else 6)
            if address not in self._taken:
                return address
