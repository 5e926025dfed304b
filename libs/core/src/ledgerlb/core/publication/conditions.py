"""The conditions of a Service's status: what LedgerLB chose, allocated and programmed, and why not.

``Accepted``, ``Programmed`` and ``Degraded`` have the meaning that Kubernetes' own proposals (and the Gateway API) give
them. ``Programmed`` is about the data path alone: an address that is published may be unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from ledgerlb.core.cluster.facts import OWN_CONDITIONS, PORTS_ERROR, Condition, ServiceFact
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS
from ledgerlb.core.intents.model import Selection
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.reasons import Reason

NETWORK_SELECTED: Final = f"{OWN_CONDITIONS}{Reason.NETWORK_SELECTED}"
ADDRESS_ALLOCATED: Final = f"{OWN_CONDITIONS}{Reason.ADDRESS_ALLOCATED}"
SELECTION_DRIFTED: Final = f"{OWN_CONDITIONS}{Reason.SELECTION_DRIFTED}"
ACCEPTED: Final = f"{OWN_CONDITIONS}{Reason.ACCEPTED}"
PROGRAMMED: Final = f"{OWN_CONDITIONS}{Reason.PROGRAMMED}"
DEGRADED: Final = f"{OWN_CONDITIONS}Degraded"

SELECTION_CURRENT: Final = "SelectionCurrent"
PORTS_SUPPORTED: Final = "PortsSupported"
AS_EXPECTED: Final = "AsExpected"
MENDED: Final = (SELECTION_CURRENT, PORTS_SUPPORTED, AS_EXPECTED)
"""Reasons of conditions that report a return to normal."""


def unsupported_ports(service: ServiceFact) -> tuple[str, ...]:
    """Return the ports with a protocol that cannot be forwarded, as ``protocol/port``."""
    return tuple(f"{p.protocol}/{p.port}" for p in service.ports if p.protocol not in SUPPORTED_PROTOCOLS)


def conditions_of(
    service: ServiceFact, selection: Selection | None, publication: Publication, published: Sequence[Holding]
) -> tuple[Condition, ...]:
    """Return our conditions, by type, without generation and times."""
    allocated = _address_allocated(publication, published)
    found = [_network_selected(selection), allocated, _accepted(allocated)]
    shown = {condition.type for condition in service.conditions}
    if selection is not None and (selection.drift or selection.drift_reason):
        instead = f"take {selection.drift}" if selection.drift else f"find none ({selection.drift_reason})"
        text = f"keeps {publication.wanted}; a fresh choice would {instead}"
        found.append(Condition(type=SELECTION_DRIFTED, status="True", reason=Reason.SELECTION_DRIFTED, message=text))
    elif SELECTION_DRIFTED in shown:
        found.append(Condition(type=SELECTION_DRIFTED, status="False", reason=SELECTION_CURRENT))
    if bad := unsupported_ports(service):
        text = f"not forwarded: {', '.join(bad)}; TCP, UDP and SCTP are supported"
        found.append(Condition(type=PORTS_ERROR, status="True", reason=Reason.UNSUPPORTED_PROTOCOL, message=text))
    elif PORTS_ERROR in shown:
        found.append(Condition(type=PORTS_ERROR, status="False", reason=PORTS_SUPPORTED))
    if (reach := publication.reachability) is not None:
        found.append(Condition(type=PROGRAMMED, status=reach.status, reason=reach.reason, message=reach.message))
    if degraded := _degraded(publication, published):
        found.append(degraded)
    elif DEGRADED in shown:
        found.append(Condition(type=DEGRADED, status="False", reason=AS_EXPECTED))
    return tuple(sorted(found, key=lambda condition: condition.type))


def _network_selected(selection: Selection | None) -> Condition:
    if selection is None:
        return Condition(type=NETWORK_SELECTED, status="Unknown", reason=Reason.WAITING_FOR_SELECTION)
    if selection.network is None:
        reason = selection.reason or Reason.WAITING_FOR_SELECTION
        return Condition(type=NETWORK_SELECTED, status="False", reason=reason, message=selection.message)
    text = f"{selection.network}, chosen by {selection.rung}" if selection.rung else selection.network
    return Condition(type=NETWORK_SELECTED, status="True", reason=Reason.NETWORK_SELECTED, message=text)


def _address_allocated(publication: Publication, published: Sequence[Holding]) -> Condition:
    shows = f"{', '.join(publication.addresses)} of {publication.network}" if published else ""
    if publication.state == "Ready":
        adopted = all(holding.adopted for holding in published)
        done = Reason.ADDRESS_ADOPTED if adopted else Reason.ADDRESS_ALLOCATED
        text = f"{shows}; {publication.message}" if publication.message else shows
        return Condition(type=ADDRESS_ALLOCATED, status="True", reason=publication.reason or done, message=text)
    text = f"{publication.message}; keeps {shows}" if shows else publication.message
    if publication.awaiting:
        return Condition(type=ADDRESS_ALLOCATED, status="True", reason=Reason.ADDRESS_MOVING, message=text)
    waiting = publication.reason is None
    return Condition(
        type=ADDRESS_ALLOCATED,
        status="Unknown" if waiting else "False",
        reason=publication.reason or Reason.WAITING_FOR_ALLOCATION,
        message=text,
    )


def _accepted(allocated: Condition) -> Condition:
    """Return whether the Service is served at all, whatever the data path does: what other tools ask first."""
    if allocated.status != "True":
        return Condition(type=ACCEPTED, status=allocated.status, reason=allocated.reason, message=allocated.message)
    return Condition(type=ACCEPTED, status="True", reason=Reason.ACCEPTED)


def _degraded(publication: Publication, published: Sequence[Holding]) -> Condition | None:
    """Return the condition of a Service that works in part; None where it works as a whole, or not at all."""
    reach = publication.reachability
    if not published or reach is None:
        return None
    reason, message = publication.reason, publication.message
    if reason is None and publication.state == "Ready" and message:
        reason = Reason.FAMILY_UNAVAILABLE  # the remark on a family that it prefers and does not have
    if reason is None and reach.degraded:
        reason, message = Reason.NO_USABLE_BACKEND, reach.degraded
    if reason is None or reason == reach.reason:
        return None
    return Condition(type=DEGRADED, status="True", reason=reason, message=message)


def stamped(conditions: Iterable[Condition], service: ServiceFact, now: datetime) -> tuple[Condition, ...]:
    """Return the conditions with the Service's generation and their times.

    A condition keeps the time of the shown one while its status is the same, and gets ``now`` otherwise.
    """
    before = {condition.type: condition for condition in service.conditions}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return tuple(
        Condition(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            observed_generation=service.generation,
            since=_since(condition, before.get(condition.type), stamp),
        )
        for condition in conditions
    )


def _since(condition: Condition, before: Condition | None, stamp: str) -> str:
    return before.since if before is not None and before.status == condition.status and before.since else stamp
