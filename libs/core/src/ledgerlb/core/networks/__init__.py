"""External networks as they follow from the facts: what each one may give out, and why some give out nothing.

- ``model``: ``ExternalNetwork``, and the offer that IPAM gets of it.
- ``terms``: our annotations on a network.
- ``targets``: route targets, as objects list them.
- ``derive``: one network out of its NetworkAttachmentDefinition, VirtualNetwork and Subnets.
- ``overlap``: which networks conflict.
- ``orphaned``: addresses still held that no longer belong to their network.

Everything is pure and depends on what the facts say, not on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Container

from ledgerlb.core.networks.derive import derive_all, why_absent
from ledgerlb.core.networks.model import ExternalNetwork, gone_offer, to_offer
from ledgerlb.core.networks.orphaned import OrphanedAddress, orphaned_addresses, without_orphaned
from ledgerlb.core.networks.overlap import with_conflicts
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.view import ClusterView

__all__ = [
    "ExternalNetwork",
    "OrphanedAddress",
    "derive_all",
    "gone_offer",
    "networks",
    "orphaned_addresses",
    "to_offer",
    "why_absent",
    "with_conflicts",
    "without_orphaned",
]


def networks(view: ClusterView, settings: DomainSettings, holders: Container[str] = ()) -> dict[str, ExternalNetwork]:
    """Every external network by name, in the order of names. ``holders`` names the networks of which some
    Service holds an address: of two that overlap, these count as the older.
    """
    return with_conflicts(derive_all(view, settings), holders)
