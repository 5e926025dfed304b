"""Every stable reason word, what it means and what to do about it: for conditions, Events, command line and docs.

The words are an interface: they are never renamed, and code compares with the constants below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Subject = Literal["Service", "network"]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason word. ``warning``: what was wanted is not so. ``remedy`` is empty where nothing needs doing."""

    word: str
    meaning: str
    remedy: str = ""
    subject: Subject = "Service"
    warning: bool = True


NO_DEFAULT_NETWORK: Final = "NoDefaultNetwork"
NETWORK_NOT_FOUND: Final = "NetworkNotFound"
SELECTOR_NOT_FOUND: Final = "SelectorNotFound"
NO_NETWORK_MATCHES: Final = "NoNetworkMatches"
NETWORK_CONFLICT: Final = "NetworkConflict"
NETWORK_NOT_ALLOWED: Final = "NetworkNotAllowed"
MULTUS_REQUIRES_NAD: Final = "MultusRequiresNAD"
NETWORK_FULL: Final = "NetworkFull"
QUOTA_EXCEEDED: Final = "QuotaExceeded"
FAMILY_UNAVAILABLE: Final = "FamilyUnavailable"
REQUESTED_ADDRESS_OUTSIDE_NETWORK: Final = "RequestedAddressOutsideNetwork"
REQUESTED_ADDRESS_RESERVED: Final = "RequestedAddressReserved"
REQUESTED_ADDRESS_IN_USE: Final = "RequestedAddressInUse"
REQUESTED_ADDRESS_QUARANTINED: Final = "RequestedAddressQuarantined"
SHARING_CONFLICT: Final = "SharingConflict"
INVALID_ANNOTATION: Final = "InvalidAnnotation"
INVALID_SOURCE_RANGE: Final = "InvalidSourceRange"
UNSUPPORTED_PROTOCOL: Final = "UnsupportedProtocol"
PREFIX_CHANGE_REFUSED: Final = "PrefixChangeRefused"
ADOPTION_REFUSED: Final = "AdoptionRefused"
SELECTION_DRIFTED: Final = "SelectionDrifted"
STATUS_REFUSED: Final = "StatusRefused"
NETWORK_SELECTED: Final = "NetworkSelected"
ADDRESS_ALLOCATED: Final = "AddressAllocated"
ADDRESS_ADOPTED: Final = "AddressAdopted"
ADDRESS_MOVING: Final = "AddressMoving"
WAITING_FOR_SELECTION: Final = "WaitingForSelection"
WAITING_FOR_ALLOCATION: Final = "WaitingForAllocation"
TARGET_PORTS_DIFFER: Final = "TargetPortsDiffer"
FOREIGN_CHANGE_REVERTED: Final = "ForeignChangeReverted"
OBJECT_NOT_OURS: Final = "ObjectNotOurs"
OBJECT_REFUSED: Final = "ObjectRefused"

_ALL: Final = (
    Reason(
        NO_DEFAULT_NETWORK,
        "Nothing chooses an external network, and no selector named default-external is defined.",
        "Annotate the Service or its Namespace with a network, or define default-external in the Kubemanager.",
    ),
    Reason(
        NETWORK_NOT_FOUND,
        "The network that the annotation names does not exist.",
        "Create it, or correct the annotation service.contrail.juniper.net/externalNetwork (namespace/name).",
    ),
    Reason(
        SELECTOR_NOT_FOUND,
        "The selector that the annotation names is not defined.",
        "Define it in the Kubemanager's spec.externalNetworkSelectors, or correct the annotation.",
    ),
    Reason(
        NO_NETWORK_MATCHES,
        "The selector is defined, but no external network matches it.",
        "Label a network (and, for namespaceSelector, its Namespace) so that the selector matches.",
    ),
    Reason(
        NETWORK_CONFLICT,
        "The network's prefix overlaps an older network's in the same routing context, so it gives out nothing.",
        "Change one prefix, or give the two networks route targets that have nothing in common.",
        subject="network",
    ),
    Reason(
        NETWORK_NOT_ALLOWED,
        "The network's annotation ledgerlb.io/allowed-namespaces leaves out the Service's Namespace.",
        "Choose another network, or have the network's owner widen the label selector.",
    ),
    Reason(
        MULTUS_REQUIRES_NAD,
        "With Multus on, only a NetworkAttachmentDefinition may define an external network.",
        "Define the network by a NetworkAttachmentDefinition, or turn the setting multus off.",
    ),
    Reason(
        NETWORK_FULL,
        "Every usable address of the family is held.",
        "Widen the network's prefix or ranges, or delete a Service; freed addresses are given out at once.",
    ),
    Reason(
        QUOTA_EXCEEDED,
        "The Namespace already holds as many addresses as ledgerlb.io/quota-per-namespace allows.",
        "Delete a Service of the Namespace, or have the network's owner raise the quota.",
    ),
    Reason(
        FAMILY_UNAVAILABLE,
        "The network has no prefix of a family that the Service requires, or an address was requested of a family that "
        "the Service does not have.",
        "Give the network a prefix of that family, or change ipFamilyPolicy, ipFamilies or the requested addresses.",
    ),
    Reason(
        REQUESTED_ADDRESS_OUTSIDE_NETWORK,
        "The requested address is outside the network's prefix or ranges.",
        "Request an address inside it, or choose the network that has it.",
    ),
    Reason(
        REQUESTED_ADDRESS_RESERVED,
        "The requested address is the network, broadcast or gateway address, or is excluded by the network's owner.",
        "Request another address.",
    ),
    Reason(
        REQUESTED_ADDRESS_IN_USE,
        "Another Service holds the requested address.",
        "Request another address, or share it: the same Namespace, the same ledgerlb.io/sharing-key, different ports.",
    ),
    Reason(
        REQUESTED_ADDRESS_QUARANTINED,
        "The requested address was released a short while ago and rests before somebody else gets it.",
        "Wait: it is given out by itself when the quarantine ends.",
    ),
    Reason(
        SHARING_CONFLICT,
        "The requested address is shared under the same key, but a port is already taken there.",
        "Use another port, or leave the address to be chosen.",
    ),
    Reason(
        INVALID_ANNOTATION,
        "A value does not parse; nothing is guessed.",
        "Correct the field that the message names.",
    ),
    Reason(
        INVALID_SOURCE_RANGE,
        "spec.loadBalancerSourceRanges has an entry that is no CIDR: the address is published, and nobody is admitted.",
        "Correct the entry that the message names.",
    ),
    Reason(
        UNSUPPORTED_PROTOCOL,
        "A port has a protocol other than TCP, UDP and SCTP; that port is not forwarded.",
        "Change the port's protocol, or remove the port.",
    ),
    Reason(
        PREFIX_CHANGE_REFUSED,
        "The network's new prefix or ranges would cut off holders, so the old ones stay in force for them.",
        "Move the holders first, or force it with the annotation ledgerlb.io/force-prefix on the VirtualNetwork.",
        subject="network",
    ),
    Reason(
        ADOPTION_REFUSED,
        "The address that the Service showed from before cannot be taken over; it is served like a new Service.",
    ),
    Reason(
        SELECTION_DRIFTED,
        "A fresh choice would take another network, or find none; the Service keeps what it has.",
        "Nothing needs doing; run ledgerlb reselect NAMESPACE/NAME to move it.",
    ),
    Reason(
        STATUS_REFUSED,
        "The API server refused what LedgerLB wrote to the object.",
        "The message says why; mind admission policies and the permissions of the watcher.",
    ),
    Reason(
        TARGET_PORTS_DIFFER,
        "Pods resolve a named target port to different numbers, and a FloatingIP has one for all: the smaller group "
        "gets no traffic through it.",
        "Let every pod of the Service use the same container port.",
    ),
    Reason(
        FOREIGN_CHANGE_REVERTED,
        "Somebody changed or deleted an object that LedgerLB keeps for the Service or network; it was put right.",
        "Change the Service or the NetworkAttachmentDefinition that the object follows from, not the object.",
    ),
    Reason(
        OBJECT_NOT_OURS,
        "An object that LedgerLB needs has the name of one that somebody else made, which is left alone.",
        "Remove or rename that object.",
    ),
    Reason(
        OBJECT_REFUSED,
        "The API server refused an object that LedgerLB makes for the Service or network; it is tried again.",
        "The message says why; mind admission policies, the permissions of the watcher and addresses in use.",
    ),
    Reason(NETWORK_SELECTED, "The external network was chosen.", warning=False),
    Reason(ADDRESS_ALLOCATED, "The Service holds every address that it wants.", warning=False),
    Reason(ADDRESS_ADOPTED, "An address that the Service showed from before was taken over.", warning=False),
    Reason(
        ADDRESS_MOVING,
        "The new address is held and being programmed; the old one is published until every node forwards the new one.",
        warning=False,
    ),
    Reason(WAITING_FOR_SELECTION, "The network has not been looked for yet.", warning=False),
    Reason(WAITING_FOR_ALLOCATION, "The network is chosen, and an address of it is being decided.", warning=False),
)

REASONS: Final[Mapping[str, Reason]] = {reason.word: reason for reason in _ALL}
"""Every reason by its word."""


def is_warning(word: str) -> bool:
    """Whether the word says that something is not as the user wanted; unknown words do."""
    reason = REASONS.get(word)
    return reason is None or reason.warning
