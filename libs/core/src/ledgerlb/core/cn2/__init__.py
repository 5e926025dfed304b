"""The CN2 objects that LedgerLB makes, as pure functions of what the facts and the ledger say.

``service_objects``: InstanceIPs and FloatingIPs of a Service. ``nad_objects``: VirtualNetwork and Subnets of a
NetworkAttachmentDefinition. ``covers``: whether an object shows what is wanted of it.
"""

from ledgerlb.core.cn2.compare import covers
from ledgerlb.core.cn2.model import Note, Wanted
from ledgerlb.core.cn2.nads import NadObjects, nad_objects
from ledgerlb.core.cn2.services import ServiceObjects, service_objects
from ledgerlb.core.cn2.view import Looked, ObjectsView

__all__ = [
    "Looked",
    "NadObjects",
    "Note",
    "ObjectsView",
    "ServiceObjects",
    "Wanted",
    "covers",
    "nad_objects",
    "service_objects",
]
