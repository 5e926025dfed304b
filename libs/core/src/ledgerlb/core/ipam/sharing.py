"""Sharing: which Services may be on one address together.

They have one namespace, one sharing key and disjoint ports. A router sees no ports: with ``externalTrafficPolicy:
Local`` it would lose the flows that reach a node without the right pod. So where either Service is Local, both must
select the same pods. Only the specs decide, never the endpoints of the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ledgerlb.core.intents.fold import IntentFold
from ledgerlb.core.intents.model import AddressIntent, ServiceIntent
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.ledger.records import AddressRecord, Holder, Holding
from ledgerlb.core.ledger.state import NetworkState

_LOCAL: Final = "externalTrafficPolicy Local needs the same selector as"


def namespace_of(service: str) -> str:
    """Return the namespace of ``namespace/name``."""
    return service.partition("/")[0]


def may_share(intent: AddressIntent, other: ServiceIntent | None) -> bool:
    """Return whether two Services may be on one address together."""
    return (
        isinstance(other, AddressIntent)
        and intent.sharing_key == other.sharing_key
        and namespace_of(intent.service) == namespace_of(other.service)
        and set(intent.ports).isdisjoint(other.ports)
        and not local_clash(intent, other)
    )


def local_clash(intent: AddressIntent, other: ServiceIntent | None) -> bool:
    """Return whether one of two Services is Local, and they do not select the same pods."""
    if not isinstance(other, AddressIntent) or not (intent.local or other.local):
        return False
    return not intent.selector or intent.selector != other.selector


def clash(record: AddressRecord, intent: AddressIntent, known: Mapping[str, ServiceIntent]) -> str:
    """Return as text why the Service cannot join the holders of an address under its key; empty if it can."""
    others = [holder for holder in record.holders if holder.service != intent.service]
    taken = {pair for holder in others for pair in holder.ports}
    ports = ", ".join(f"{protocol}/{port}" for protocol, port in intent.ports if (protocol, port) in taken)
    if ports:
        return f"{ports} is taken"
    apart = [holder.service for holder in others if local_clash(intent, known.get(holder.service))]
    return f"{_LOCAL} {', '.join(apart)}" if apart else ""


def must_leave(record: AddressRecord, intent: AddressIntent, known: Mapping[str, ServiceIntent]) -> bool:
    """Return whether its key, ports or traffic policy no longer let the Service stay on an address that it shares.

    The edited Service leaves. So a Service looks at the policy of others only after an edit of its own, and only of
    those who hold the address under their present spec.
    """
    others = [holder for holder in record.holders if holder.service != intent.service]
    if not others:
        return False
    if record.sharing_key != intent.sharing_key:
        return True
    if any(not set(holder.ports).isdisjoint(intent.ports) for holder in others):
        return True
    own = next(holder for holder in record.holders if holder.service == intent.service)
    # A basis without a dash is from before the rule: such a Service was not edited since.
    if own.basis == intent.basis or "-" not in own.basis:
        return False
    return any(_is_settled(holder, known) and local_clash(intent, known.get(holder.service)) for holder in others)


def _is_settled(holder: Holder, known: Mapping[str, ServiceIntent]) -> bool:
    intent = known.get(holder.service)
    return isinstance(intent, AddressIntent) and intent.basis == holder.basis


def why_apart(ledger: LedgerFold, intents: IntentFold, holdings: Iterable[Holding]) -> str:
    """Return why a Service with these holdings does not share an address that it could share but for the traffic
    policy; empty where there is no such address.
    """
    for holding in holdings:
        if holding.sharing_key and holding.state == "held":
            known = intents.intents_for(holding.network)
            found = _why_apart(ledger.networks[holding.network], holding.service, known)
            if found:
                return found
    return ""


def _why_apart(state: NetworkState, service: str, known: Mapping[str, ServiceIntent]) -> str:
    intent = known.get(service)
    if not isinstance(intent, AddressIntent) or not intent.sharing_key:
        return ""
    shared = state.shared_under(namespace_of(service), intent.sharing_key)
    for mine in shared:
        own = next((holder for holder in mine.holders if holder.service == service), None)
        if own is None:
            continue
        for record in shared:
            if record.family != mine.family or record.address == mine.address:
                continue
            for holder in record.holders:
                before = (holder.seq, record.value) < (own.seq, mine.value)
                other = known.get(holder.service)
                if before and local_clash(intent, other) and set(intent.ports).isdisjoint(holder.ports):
                    return (
                        f"has an address of its own: does not share {record.address} with {holder.service}, because "
                        f"{_LOCAL} that Service"
                    )
    return ""
