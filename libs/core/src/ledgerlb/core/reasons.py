"""Every stable reason, what it means and what to do about it: for conditions, Events, the command line and the docs.

The values are an interface, so they are never renamed. Code uses the members of ``Reason``; a test finds values that
are written as text elsewhere. A member is also a ``str``, so records and JSON hold the plain value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Reason(StrEnum):
    """Why a Service or network is not, or not yet, as its owner wants it; and what went well."""

    NO_DEFAULT_NETWORK = "NoDefaultNetwork"
    NETWORK_NOT_FOUND = "NetworkNotFound"
    SELECTOR_NOT_FOUND = "SelectorNotFound"
    NO_NETWORK_MATCHES = "NoNetworkMatches"
    NETWORK_CONFLICT = "NetworkConflict"
    NETWORK_NOT_ALLOWED = "NetworkNotAllowed"
    MULTUS_REQUIRES_NAD = "MultusRequiresNAD"
    NETWORK_NOT_ADMITTED = "NetworkNotAdmitted"
    ADDRESS_IN_USE_ELSEWHERE = "AddressInUseElsewhere"
    POOL_DISABLED = "PoolDisabled"
    NETWORK_FULL = "NetworkFull"
    QUOTA_EXCEEDED = "QuotaExceeded"
    DECISION_RATE_EXCEEDED = "DecisionRateExceeded"
    FAMILY_UNAVAILABLE = "FamilyUnavailable"
    REQUESTED_ADDRESS_OUTSIDE_NETWORK = "RequestedAddressOutsideNetwork"
    REQUESTED_ADDRESS_RESERVED = "RequestedAddressReserved"
    REQUESTED_ADDRESS_IN_USE = "RequestedAddressInUse"
    REQUESTED_ADDRESS_QUARANTINED = "RequestedAddressQuarantined"
    SHARING_CONFLICT = "SharingConflict"
    INVALID_ANNOTATION = "InvalidAnnotation"
    INVALID_SOURCE_RANGE = "InvalidSourceRange"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    OBJECT_TOO_LARGE = "ObjectTooLarge"
    CONTRAIL_NAMESPACE_UNCLEAR = "ContrailNamespaceUnclear"
    NO_USABLE_BACKEND = "NoUsableBackend"
    ACCEPTED = "Accepted"
    PROGRAMMED = "Programmed"
    RECORD_ONLY = "RecordOnly"
    NO_AGENTS = "NoAgents"
    PROGRAMMING_FAILED = "ProgrammingFailed"
    WAITING_FOR_AGENTS = "WaitingForAgents"
    ADDRESSES_IN_USE = "AddressesInUse"
    PREFIX_CHANGE_REFUSED = "PrefixChangeRefused"
    ADOPTION_REFUSED = "AdoptionRefused"
    ADDRESS_REQUESTED = "AddressRequested"
    SURPLUS_ADDRESS = "SurplusAddress"
    SELECTION_DRIFTED = "SelectionDrifted"
    STATUS_REFUSED = "StatusRefused"
    NETWORK_SELECTED = "NetworkSelected"
    ADDRESS_ALLOCATED = "AddressAllocated"
    ADDRESS_ADOPTED = "AddressAdopted"
    ADDRESS_MOVING = "AddressMoving"
    WAITING_FOR_SELECTION = "WaitingForSelection"
    WAITING_FOR_ALLOCATION = "WaitingForAllocation"
    TARGET_PORTS_DIFFER = "TargetPortsDiffer"
    FOREIGN_CHANGE_REVERTED = "ForeignChangeReverted"
    OBJECT_NOT_OURS = "ObjectNotOurs"
    OBJECT_REFUSED = "ObjectRefused"
    LEDGER_DAMAGED = "LedgerDamaged"
    LEDGER_TOO_NEW = "LedgerTooNew"
    CLOCK_AHEAD = "ClockAhead"


@dataclass(frozen=True, slots=True)
class ReasonText:
    """A reason for people. ``warning``: the owner wants something that is not so. ``remedy`` is empty if there is
    nothing to do.
    """

    reason: Reason
    meaning: str
    remedy: str = ""
    subject: Literal["Service", "network"] = "Service"
    warning: bool = True


_ALL: Final = (
    ReasonText(
        Reason.NO_DEFAULT_NETWORK,
        "Nothing chooses an external network: no selector named default-external is defined, no network has the label "
        "of CN2's documentation, and no AddressPool takes part.",
        "Annotate the Service or its Namespace with a network, label a network with "
        "service.contrail.juniper.net/externalNetwork: default-external, create an AddressPool, or define "
        "default-external in the Kubemanager.",
    ),
    ReasonText(
        Reason.NETWORK_NOT_FOUND,
        "The network that the annotation names does not exist.",
        "Create it, or correct the annotation service.contrail.juniper.net/externalNetwork (namespace/name).",
    ),
    ReasonText(
        Reason.SELECTOR_NOT_FOUND,
        "The selector that the annotation names is not defined.",
        "Define it in the Kubemanager's spec.externalNetworkSelectors, or correct the annotation.",
    ),
    ReasonText(
        Reason.NO_NETWORK_MATCHES,
        "The selector is defined, but no external network matches it.",
        "Label a network (and, for namespaceSelector, its Namespace) so that the selector matches.",
    ),
    ReasonText(
        Reason.NETWORK_CONFLICT,
        "The network's prefix overlaps an older network's in the same routing context, so it gives out no address.",
        "Change one prefix, or give the two networks route targets that have nothing in common.",
        subject="network",
    ),
    ReasonText(
        Reason.NETWORK_NOT_ALLOWED,
        "The network's annotation ledgerlb.io/allowed-namespaces leaves out the Service's Namespace.",
        "Choose another network, or have the network's owner widen the label selector.",
    ),
    ReasonText(
        Reason.MULTUS_REQUIRES_NAD,
        "With Multus on, only a NetworkAttachmentDefinition may define an external network.",
        "Define the network by a NetworkAttachmentDefinition, or turn the setting multus off.",
    ),
    ReasonText(
        Reason.NETWORK_NOT_ADMITTED,
        "The settings restrictNetworks or externalPrefixes refuse the network.",
        'Have an administrator label the network\'s Namespace with ledgerlb.io/external-networks: "true", or add the '
        "prefix to externalPrefixes.",
        subject="network",
    ),
    ReasonText(
        Reason.ADDRESS_IN_USE_ELSEWHERE,
        "A Service of another routing context has held the same address for longer, and the data path has one context. "
        "Traffic goes to that Service.",
        "Use another address, or have the two networks use different prefixes.",
    ),
    ReasonText(
        Reason.POOL_DISABLED,
        "The AddressPool is disabled: holders keep their addresses, and newcomers get none of it.",
        "Set spec.disabled of the AddressPool to false, or choose another network.",
        subject="network",
    ),
    ReasonText(
        Reason.NETWORK_FULL,
        "Services hold every usable address of the family.",
        "Widen the network's prefix or ranges, set spillOver on the AddressPool, or delete a Service; LedgerLB gives "
        "out freed addresses at once.",
    ),
    ReasonText(
        Reason.QUOTA_EXCEEDED,
        "The Namespace already holds as many addresses as ledgerlb.io/quota-per-namespace allows.",
        "Delete a Service of the Namespace, or have the network's owner raise the quota.",
    ),
    ReasonText(
        Reason.DECISION_RATE_EXCEEDED,
        "The Namespace has caused as many decisions within the last minute as the setting defaults.decisionsPerMinute "
        "admits.",
        "Wait: LedgerLB serves the Service within a minute, unless the Namespace goes on at that rate.",
    ),
    ReasonText(
        Reason.FAMILY_UNAVAILABLE,
        "The network has no prefix of a family that the Service requires, or the Service requests an address of a "
        "family that it does not have.",
        "Give the network a prefix of that family, or change ipFamilyPolicy, ipFamilies or the requested addresses.",
    ),
    ReasonText(
        Reason.REQUESTED_ADDRESS_OUTSIDE_NETWORK,
        "The requested address is outside the network's prefix or ranges.",
        "Request an address inside it, or choose the network that has it.",
    ),
    ReasonText(
        Reason.REQUESTED_ADDRESS_RESERVED,
        "The requested address is the network, broadcast or gateway address, is excluded by the network's owner, or is "
        "used by the cluster itself (a Node's address or podCIDR, a ClusterIP).",
        "Request another address.",
    ),
    ReasonText(
        Reason.REQUESTED_ADDRESS_IN_USE,
        "Another Service holds the requested address.",
        "Request another address, or share it: the same Namespace, the same ledgerlb.io/sharing-key, different ports.",
    ),
    ReasonText(
        Reason.REQUESTED_ADDRESS_QUARANTINED,
        "The requested address was released recently and is in quarantine before another Service may get it.",
        "Wait: LedgerLB gives it out when the quarantine ends.",
    ),
    ReasonText(
        Reason.SHARING_CONFLICT,
        "The requested address is shared under the same key, but another Service already uses a port there.",
        "Use another port, or let LedgerLB choose the address.",
    ),
    ReasonText(
        Reason.INVALID_ANNOTATION,
        "LedgerLB cannot read a value, and does not guess what it means.",
        "Correct the field that the message names.",
    ),
    ReasonText(
        Reason.INVALID_SOURCE_RANGE,
        "The source ranges have an entry that is not a CIDR. The address is published, but no client is admitted.",
        "Correct the entry that the message names.",
    ),
    ReasonText(
        Reason.UNSUPPORTED_PROTOCOL,
        "A port has a protocol other than TCP, UDP and SCTP, so it is not forwarded.",
        "Change the port's protocol, or remove the port.",
    ),
    ReasonText(
        Reason.CONTRAIL_NAMESPACE_UNCLEAR,
        "Several namespaces hold a VirtualNetwork default-servicenetwork, so LedgerLB takes none of them for the "
        "contrail namespace.",
        "Name the contrail namespace by the setting contrailNamespace.",
    ),
    ReasonText(
        Reason.NO_USABLE_BACKEND,
        "The Service has backends, and none of them can be programmed: their nodes are excluded or have no usable "
        "InternalIP of the family, or the network does not reach them.",
        "Read the message, which names each cause; check the Nodes' InternalIP addresses and labels, and the networks' "
        "route targets.",
    ),
    ReasonText(
        Reason.RECORD_ONLY,
        "The agents run with the back end record, which programs nothing: the address is held and published, and "
        "LedgerLB does not make it reachable.",
        "Run the agents with a real back end (LEDGERLB_BACKEND), unless something else forwards the address.",
    ),
    ReasonText(
        Reason.NO_AGENTS,
        "No agent is alive that could program the address. What was programmed before may still be there.",
        "Start the agents, and check why their heartbeats do not arrive.",
    ),
    ReasonText(
        Reason.PROGRAMMING_FAILED,
        "An agent reports that it cannot program the address.",
        "Read the message, which names the agent and its problem; the agent tries again by itself.",
    ),
    ReasonText(
        Reason.ADDRESSES_IN_USE,
        "The cluster itself uses addresses inside the network's prefix (Nodes' addresses, their podCIDRs, ClusterIPs). "
        "LedgerLB never gives these out; a Service that holds one keeps it.",
        "Nothing needs doing where the network is the Nodes' own LAN. Otherwise choose another prefix.",
        subject="network",
    ),
    ReasonText(
        Reason.OBJECT_TOO_LARGE,
        "The Service is larger than a record of the log may be. A holder keeps its address under its last good terms.",
        "Make the parts smaller that the message names, mostly annotations or ports.",
    ),
    ReasonText(
        Reason.PREFIX_CHANGE_REFUSED,
        "The network's new prefix or ranges would cut off holders, so the old ones stay in force for them.",
        "Move the holders first, or force it with the annotation ledgerlb.io/force-prefix on the VirtualNetwork.",
        subject="network",
    ),
    ReasonText(
        Reason.ADOPTION_REFUSED,
        "The Service showed an address that LedgerLB does not take over. The message has the reason.",
    ),
    ReasonText(
        Reason.ADDRESS_REQUESTED,
        "The Service showed one address and requests another, so LedgerLB does not take over the one shown.",
        "Request the address that the Service shows, if it is to keep it.",
    ),
    ReasonText(
        Reason.SURPLUS_ADDRESS,
        "The Service showed several addresses of one family. It keeps one, and LedgerLB takes the others off its "
        "status.",
        "Make a Service of its own for each further address.",
    ),
    ReasonText(
        Reason.SELECTION_DRIFTED,
        "A fresh choice would take another network, or find none; the Service keeps what it has.",
        "Run ledgerlb reselect NAMESPACE/NAME to move it; otherwise nothing needs doing.",
    ),
    ReasonText(
        Reason.STATUS_REFUSED,
        "The API server refused what LedgerLB wrote to the object.",
        "Read the message, then check admission policies and the permissions of the watcher.",
    ),
    ReasonText(
        Reason.TARGET_PORTS_DIFFER,
        "Pods resolve a named target port to different numbers, and a FloatingIP has one for all: the smaller group "
        "gets no traffic through it.",
        "Let every pod of the Service use the same container port.",
    ),
    ReasonText(
        Reason.FOREIGN_CHANGE_REVERTED,
        "Another client changed or deleted an object that LedgerLB maintains for a Service or network. It is restored.",
        "Change the Service or NetworkAttachmentDefinition behind the object, not the object.",
    ),
    ReasonText(
        Reason.OBJECT_NOT_OURS,
        "An object that LedgerLB needs has the name of one that another client made. LedgerLB does not touch that.",
        "Remove or rename that object.",
    ),
    ReasonText(
        Reason.OBJECT_REFUSED,
        "The API server refused an object that LedgerLB makes for the Service or network; LedgerLB tries again.",
        "Read the message, then check admission policies, the permissions of the watcher and addresses in use.",
    ),
    ReasonText(
        Reason.LEDGER_DAMAGED,
        "The network's ledger has a damaged record. Holders keep their addresses, and LedgerLB decides nothing new.",
        "Run ledgerlb verify, which names the record, then ledgerlb repair, or restore the log from a backup.",
        subject="network",
    ),
    ReasonText(
        Reason.LEDGER_TOO_NEW,
        "A newer version of LedgerLB wrote to the network's ledger. This one changes nothing for the network.",
        "Upgrade every LedgerLB process.",
        subject="network",
    ),
    ReasonText(
        Reason.CLOCK_AHEAD,
        "The clock of IPAM is more than an hour ahead of every other time that it hears. Holders keep their addresses, "
        "and IPAM decides nothing. Its readiness and its log show this.",
        "Correct the clock that the message names; decisions go on by themselves.",
        subject="network",
    ),
    ReasonText(Reason.NETWORK_SELECTED, "LedgerLB chose the external network.", warning=False),
    ReasonText(Reason.ADDRESS_ALLOCATED, "The Service holds every address that it wants.", warning=False),
    ReasonText(Reason.ADDRESS_ADOPTED, "LedgerLB took over an address that the Service showed already.", warning=False),
    ReasonText(
        Reason.ADDRESS_MOVING,
        "The Service holds its new address. The old one stays published until every node forwards the new one.",
        warning=False,
    ),
    ReasonText(Reason.ACCEPTED, "The Service holds what it asks for, whatever the data path does.", warning=False),
    ReasonText(Reason.PROGRAMMED, "Every agent reports that it has programmed the addresses.", warning=False),
    ReasonText(
        Reason.WAITING_FOR_AGENTS, "An agent is still to report that it has programmed the addresses.", warning=False
    ),
    ReasonText(Reason.WAITING_FOR_SELECTION, "LedgerLB has not chosen a network yet.", warning=False),
    ReasonText(
        Reason.WAITING_FOR_ALLOCATION, "LedgerLB chose the network and has not allocated an address yet.", warning=False
    ),
)

REASONS: Final[Mapping[str, ReasonText]] = {text.reason.value: text for text in _ALL}
"""Every reason for people, by its value."""


def is_warning(reason: str) -> bool:
    """Return whether the reason reports something that its owner does not want. An unknown reason does."""
    text = REASONS.get(reason)
    return text is None or text.warning
