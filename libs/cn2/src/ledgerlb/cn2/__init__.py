"""The CN2 objects that LedgerLB makes, as pure functions of the facts and the ledger.

- ``service_objects``: InstanceIPs and FloatingIPs of a Service; ``forwarding`` finds their ports and interfaces.
- ``nad_objects`` (module ``network_objects``): VirtualNetwork and Subnets of a NetworkAttachmentDefinition.
- ``view``: ``ObjectsView``, what the functions read; ``model``: the bodies; ``covers``: whether an object already shows
  what is wanted of it.
"""

from ledgerlb.cn2.compare import covers
from ledgerlb.cn2.model import Note, Wanted
from ledgerlb.cn2.network_objects import NadObjects, nad_objects
from ledgerlb.cn2.service_objects import ServiceObjects, service_objects
from ledgerlb.cn2.view import ObjectsView, TrackedLookups

__all__ = [
    "NadObjects",
    "Note",
    "ObjectsView",
    "ServiceObjects",
    "TrackedLookups",
    "Wanted",
    "covers",
    "nad_objects",
    "service_objects",
]
