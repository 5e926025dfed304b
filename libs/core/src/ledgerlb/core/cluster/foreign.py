"""Annotations of other controllers on Services: requests for addresses, pools and shared addresses.

With the setting ``foreignAnnotations`` the watcher adds ours beside them, so that no other part knows them. An
annotation of ours takes precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.core.cluster.facts import AnyFact, ServiceFact
from ledgerlb.core.cluster.services import ANNOTATION_ADDRESSES, ANNOTATION_NETWORK, ANNOTATION_SHARING_KEY

FOREIGN: Final[Mapping[str, str]] = {
    "metallb.io/loadBalancerIPs": ANNOTATION_ADDRESSES,
    "metallb.universe.tf/loadBalancerIPs": ANNOTATION_ADDRESSES,
    "lbipam.cilium.io/ips": ANNOTATION_ADDRESSES,
    "io.cilium/lb-ipam-ips": ANNOTATION_ADDRESSES,
    "metallb.io/allow-shared-ip": ANNOTATION_SHARING_KEY,
    "metallb.universe.tf/allow-shared-ip": ANNOTATION_SHARING_KEY,
    "lbipam.cilium.io/sharing-key": ANNOTATION_SHARING_KEY,
    "io.cilium/lb-ipam-sharing-key": ANNOTATION_SHARING_KEY,
    "metallb.io/address-pool": ANNOTATION_NETWORK,
    "metallb.universe.tf/address-pool": ANNOTATION_NETWORK,
}
"""Ours for each of theirs. Of several that mean the same, the first one counts."""
_POOL: Final = "pool/"


def with_foreign(fact: AnyFact) -> AnyFact:
    """Return the fact of a Service with ours for the foreign annotations that it has; any other fact as it is."""
    if not isinstance(fact, ServiceFact) or FOREIGN.keys().isdisjoint(fact.annotations):
        return fact
    added: dict[str, str] = {}
    for theirs, ours in FOREIGN.items():
        if theirs in fact.annotations and ours not in fact.annotations:
            value = fact.annotations[theirs].strip()
            added.setdefault(ours, f"{_POOL}{value}" if ours == ANNOTATION_NETWORK else value)
    return fact.model_copy(update={"annotations": dict(sorted({**fact.annotations, **added}.items()))})
