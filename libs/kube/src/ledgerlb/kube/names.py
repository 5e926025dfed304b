"""Names that LedgerLB does not read: misspelled annotations and kinds, and the pools of other controllers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from ledgerlb.cn2.model import CARRIED_ANNOTATION, OWNER_ANNOTATION
from ledgerlb.core.cluster.services import KNOWN_ANNOTATIONS, KNOWN_DOMAINS
from ledgerlb.kube.kinds import OWN_GROUP

OWN_KINDS: Final = ("AddressPool", "Scenario")
_WRITTEN: Final = (CARRIED_ANNOTATION, OWNER_ANNOTATION)
"""Annotations that LedgerLB puts on objects of its own."""
_FOREIGN_POOLS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("metallb.io", "IPAddressPool"): ("MetalLB", "metallb"),
    ("metallb.io", "AddressPool"): ("MetalLB", "metallb"),
    ("cilium.io", "CiliumLoadBalancerIPPool"): ("Cilium", "cilium"),
    ("purelb.io", "ServiceGroup"): ("PureLB", "purelb"),
}


def misspelled(annotations: Iterable[str]) -> tuple[str, str] | None:
    """Return the first annotation of our domains that means nothing, and the remedy; None if there is none."""
    for key in annotations:
        if key.startswith(KNOWN_DOMAINS) and key not in KNOWN_ANNOTATIONS and key not in _WRITTEN:
            return key, _nearest(key, KNOWN_ANNOTATIONS)
    return None


def unread(obj: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why LedgerLB does not read an object that looks like one of its own, and the remedy; None for others."""
    group, _, version = str(obj.get("apiVersion", "")).partition("/")
    kind = str(obj.get("kind", ""))
    if (found := _FOREIGN_POOLS.get((group, kind))) is not None:
        title, name = found
        remedy = f"ledgerlb import {name} -f FILE makes AddressPools of it"
        return f"{kind} is a kind of {title}, which LedgerLB does not read", remedy
    if group == OWN_GROUP and version and kind not in OWN_KINDS:
        return f"LedgerLB has no kind {kind!r}", _nearest(kind, OWN_KINDS)
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    listed = list(known)
    # A word that was cut short is likelier than a similar one.
    near = [one for one in listed if one.startswith(name)][:1] or get_close_matches(name, listed, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(listed)}"
