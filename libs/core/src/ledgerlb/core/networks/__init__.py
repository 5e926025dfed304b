"""External networks, derived from the facts: what each may give out, and why some give out nothing.

A NetworkAttachmentDefinition or a VirtualNetwork makes an ``ExternalNetwork`` (``derive_all``), with prefixes, route
targets and our annotations; so does an AddressPool, under the name ``pool/name``. ``with_conflicts`` closes the younger
of two networks that overlap in one routing context.
An address that a Service still holds although its network lost it is an ``OrphanedAddress``; ``without_orphaned``
excludes it elsewhere. ``without_used`` excludes what the cluster itself uses. ``to_offer`` makes the record that IPAM
decides from.

Everything is pure and independent of the order in which facts came.
"""

from __future__ import annotations

from collections.abc import Container

from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.networks.derive import derive_all, why_absent
from ledgerlb.core.networks.model import POOL_PREFIX, ExternalNetwork, PoolTerms, gone_offer, pool_of, to_offer
from ledgerlb.core.networks.orphaned import OrphanedAddress, orphaned_addresses, without_orphaned
from ledgerlb.core.networks.overlap import with_conflicts
from ledgerlb.core.networks.reserved import Coverage, without_used
from ledgerlb.core.settings import DomainSettings

__all__ = [
    "POOL_PREFIX",
    "Coverage",
    "ExternalNetwork",
    "OrphanedAddress",
    "PoolTerms",
    "derive_all",
    "gone_offer",
    "networks",
    "orphaned_addresses",
    "pool_of",
    "to_offer",
    "why_absent",
    "with_conflicts",
    "without_orphaned",
    "without_used",
]


def networks(view: ClusterView, settings: DomainSettings, holders: Container[str] = ()) -> dict[str, ExternalNetwork]:
    """Return every external network by name, in the order of names. ``holders`` are the networks of which some Service
    holds an address: of two networks that overlap, these count as the older.
    """
    return with_conflicts(derive_all(view, settings), holders)
