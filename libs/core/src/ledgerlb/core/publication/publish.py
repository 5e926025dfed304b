"""What a Service's status says: the pure step from selection, holdings and agents to what is published.

``publish`` answers for one Service: its state, the addresses its status shows, why it does not have what it wants,
its conditions, and whether our finalizer must stay. A Service that moves shows the address it had until the new one
is held in full and every live agent forwards it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import (
    families_of,
    is_ours,
    requested_addresses,
    source_ranges_problem,
)
from ledgerlb.core.errors import BadInput
from ledgerlb.core.intents.model import Selection
from ledgerlb.core.ledger.damage import NO_DAMAGE, Damage
from ledgerlb.core.ledger.pace import DecisionPace, pace_text
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.publication.conditions import conditions_of, stamped, unsupported_ports
from ledgerlb.core.publication.model import NOWHERE, Elsewhere, Publication, Reachability, State
from ledgerlb.core.publication.reachability import NOTHING_UNSERVED, UnservedAt, reachability
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings

Reach = Callable[[Sequence[Holding]], Reachability | None]
"""Tells whether the data path serves holdings that are published."""


@dataclass(frozen=True, slots=True)
class _Placement:
    """Which holdings are published, whether they are all that is wanted, and which new ones are being programmed."""

    published: tuple[Holding, ...]
    complete: bool
    awaiting: tuple[str, ...] = ()
    apart: str = ""


def publish(  # noqa: PLR0917 - the whole of what a publication depends on, in the order of the pipeline
    service: ServiceFact,
    selection: Selection | None,
    holdings: Iterable[Holding],
    refusals: Iterable[Refusal],
    agents: AgentTable,
    now: datetime,
    settings: DomainSettings,
    *,
    wanting: bool = False,
    damaged: Mapping[str, Damage] = NO_DAMAGE,
    elsewhere: Elsewhere = NOWHERE,
    pace: DecisionPace | None = None,
    unserved: UnservedAt = NOTHING_UNSERVED,
    apart: str = "",
) -> Publication:
    """Return what the Service's status must say at ``now`` (aware UTC).

    ``holdings`` and ``refusals`` are those of this Service over all networks; ``wanting`` says whether an intent of it
    still wants addresses, which keeps the finalizer of a Service that is going. ``damaged`` are the networks whose
    ledger is damaged: what is known of their holdings may be out of date, so the status keeps its addresses.
    ``elsewhere`` are its holdings that the data path does not serve (see ``owners_elsewhere``), and ``unserved`` the
    Services without a usable backend, by address, as the path sets name them. ``pace`` has the decisions of the last
    minute, and ``apart`` says why the Service does not share an address that it could share but for its traffic policy
    (see ``why_apart``).
    """
    everything = tuple(holdings)
    held = tuple(holding for holding in everything if holding.state == "held")
    damage = _damage(selection, everything, damaged)
    stays = bool(everything) or wanting or (damage is not None and bool(service.ingress))
    ours = is_ours(service, settings)
    if service.deleting and (ours or everything):
        addresses = (
            tuple(holding.address for holding in _in_order(service, held)) if damage is None else service.ingress
        )
        return Publication("Deleted", _network_of(held), None, addresses, message="is being deleted", finalizer=stays)
    if not ours:
        return Publication("Ignored", message=_why_ignored(service, settings), finalizer=stays)
    current = selection if selection is not None and selection.ours and _same(selection.uid, service.uid) else None
    standing = tuple(refusal for refusal in refusals if _same(refusal.uid, service.uid))
    # A holder of which the selector has not spoken yet wants what it has.
    wanted = current.network if current else _network_of(held)

    def lags(holding: Holding) -> bool:
        # Of a Service that holds one address of two networks, the data path serves the older holding until its release.
        own = [other.allocation for other in held if other.address == holding.address]
        return not agents.programmed(holding.address, now, settings.agent_timeout, allocations=own)

    def reach(published: Sequence[Holding]) -> Reachability | None:
        return reachability(service, published, agents.live(now, settings.agent_timeout), agents, elsewhere, unserved)

    placement = replace(_place(service, wanted, held, lags), apart=apart)
    shown = _publish_ours(service, current, placement, _refusal(service, wanted, standing), wanted, now, reach)
    found = replace(shown, finalizer=bool(everything) or (damage is not None and service.has_finalizer))
    if not found.decided and current is not None and _is_spent(service, pace, settings, now):
        return _wait_for_turn(service, current, found, placement, settings, now)
    if damage is None or (placement.complete and wanted not in damaged):
        return found
    return _keep(service, current, found, placement, damage, now)


def _is_spent(service: ServiceFact, pace: DecisionPace | None, settings: DomainSettings, now: datetime) -> bool:
    """Return whether the namespace has used up its decisions of this minute."""
    limit = settings.defaults.decisions_per_minute
    return limit is not None and pace is not None and pace.counts(now)[service.namespace] >= limit


def _wait_for_turn(  # noqa: PLR0917 - see publish
    service: ServiceFact,
    selection: Selection,
    found: Publication,
    placement: _Placement,
    settings: DomainSettings,
    now: datetime,
) -> Publication:
    limit = settings.defaults.decisions_per_minute or 0
    waiting = replace(found, reason=Reason.DECISION_RATE_EXCEEDED, message=pace_text(service.namespace, limit))
    conditions = conditions_of(service, selection, waiting, placement.published)
    return replace(waiting, conditions=stamped(conditions, service, now))


def _damage(selection: Selection | None, holdings: Iterable[Holding], damaged: Mapping[str, Damage]) -> Damage | None:
    """Return the damage of a network that the Service wants addresses of or holds some of."""
    if not damaged:
        return None
    wanted = selection.network if selection is not None and selection.network is not None else ""
    networks = (wanted, *(holding.network for holding in holdings))
    return next((damaged[network] for network in networks if network in damaged), None)


def _keep(  # noqa: PLR0917 - see publish
    service: ServiceFact,
    selection: Selection | None,
    found: Publication,
    placement: _Placement,
    damage: Damage,
    now: datetime,
) -> Publication:
    """Return the publication of a Service of a damaged network: the addresses its status shows, and why it waits."""
    if found.state == "Ready" and found.addresses == service.ingress:
        return found
    kept = replace(
        found,
        state="Moving" if service.ingress else "Pending",
        addresses=service.ingress,
        reason=damage.reason,
        message=f"waits until the ledger of network {damage.network} is repaired: {damage.text()}",
        decided=True,
    )
    conditions = conditions_of(service, selection, kept, placement.published)
    return replace(kept, conditions=stamped(conditions, service, now))


def _publish_ours(  # noqa: PLR0917 - see publish
    service: ServiceFact,
    selection: Selection | None,
    placement: _Placement,
    refusal: Refusal | None,
    wanted: str | None,
    now: datetime,
    reach: Reach,
) -> Publication:
    addresses = tuple(holding.address for holding in placement.published)
    complete = placement.complete and not (refusal and _concerns_required(service, refusal))
    state: State = "Ready" if complete else "Moving" if addresses else "Pending"
    reason, message = _verdict(service, selection, refusal, placement, complete=complete)
    outstanding = selection is None or not (
        wanted is None or complete or refusal is not None or placement.awaiting or reason is not None
    )
    bare = Publication(
        state,
        _network_of(placement.published),
        wanted,
        addresses,
        reason,
        message,
        selection.rung if selection else None,
        selection.drift if selection else None,
        decided=not outstanding,
        awaiting=placement.awaiting,
        reachability=reach(placement.published),
    )
    conditions = stamped(conditions_of(service, selection, bare, placement.published), service, now)
    found = bare.reachability
    if found is None or found.reason != Reason.ADDRESS_IN_USE_ELSEWHERE or bare.reason is not None:
        return replace(bare, conditions=conditions)
    return replace(bare, conditions=conditions, reason=found.reason, message=found.message)


# Which holdings are published


def _place(
    service: ServiceFact, wanted: str | None, held: tuple[Holding, ...], lags: Callable[[Holding], bool]
) -> _Placement:
    families, required = families_of(service)
    requested = _requested(service)
    there = [holding for holding in held if holding.network == wanted]
    new = {family: choice for family in families if (choice := _newest(there, family, requested))}
    unmet = [family for family in required if family not in new]
    # A family that is held, but not at the address that is asked for, is unmet whether or not it is required.
    unmet += [family for family in requested if family not in new and any(h.family == family for h in there)]
    former = _former(service, wanted, new, held)
    if not new or unmet:
        return _Placement(former or _in_order(service, new.values()), complete=False)
    awaiting = tuple(holding.address for holding in new.values() if former and lags(holding))
    if awaiting:
        return _Placement(former, complete=False, awaiting=awaiting)
    return _Placement(_in_order(service, new.values()), complete=True)


def _newest(there: Sequence[Holding], family: Family, requested: dict[Family, str]) -> Holding | None:
    """Return the holding that meets the intent for one family: the requested address, else the one given last."""
    fitting = [h for h in there if h.family == family and requested.get(family, h.address) == h.address]
    return max(fitting, key=lambda h: (h.seq, h.address), default=None)


def _former(
    service: ServiceFact, wanted: str | None, new: dict[Family, Holding], held: Sequence[Holding]
) -> tuple[Holding, ...]:
    """Return the holdings that were published before the move; () where there are none.

    All are of one network: the one that the status shows now, else the one held longest.
    """
    families, _ = families_of(service)
    # In the wanted network, a holding of a family that the Service no longer has is not published any more.
    left = [h for h in held if h not in new.values() and (h.network != wanted or h.family in families)]
    if not left:
        return ()
    first = min(left, key=lambda h: (h.address not in service.ingress, h.since, h.network, h.address))
    chosen: dict[Family, Holding] = dict(new) if first.network == wanted else {}
    for holding in sorted((h for h in left if h.network == first.network), key=lambda h: (-h.seq, h.address)):
        chosen[holding.family] = holding
    return _in_order(service, chosen.values())


def _in_order(service: ServiceFact, holdings: Iterable[Holding]) -> tuple[Holding, ...]:
    families, _ = families_of(service)
    rank = {family: place for place, family in enumerate(families)}
    return tuple(sorted(holdings, key=lambda h: (rank.get(h.family, len(rank)), h.address)))


def _requested(service: ServiceFact) -> dict[Family, str]:
    try:
        addresses = requested_addresses(service)
    except BadInput:
        return {}  # the selection says so, with the field
    return {6 if ":" in address else 4: address for address in addresses}


def _network_of(published: Sequence[Holding]) -> str | None:
    return published[0].network if published else None


def _same(left: str, right: str) -> bool:
    """Return whether two uids may be the same object's (an unknown one may be any object's)."""
    return not left or not right or left == right


# Why


def _refusal(service: ServiceFact, wanted: str | None, refusals: Sequence[Refusal]) -> Refusal | None:
    """Return the refusal of the wanted network, preferring one that concerns a required family."""
    there = [refusal for refusal in refusals if refusal.network == wanted]
    return min(there, key=lambda r: (not _concerns_required(service, r), r.seq), default=None)


def _concerns_required(service: ServiceFact, refusal: Refusal) -> bool:
    """Return whether the refusal leaves the intent unmet.

    One family of two meets PreferDualStack. A request for an address of a family that the Service does not have is
    never met.
    """
    families, required = families_of(service)
    concerned = refusal.families or families
    if any(family in concerned and family not in families for family in _requested(service)):
        return True
    return any(family in concerned for family in required) or all(family in concerned for family in families)


def _verdict(
    service: ServiceFact,
    selection: Selection | None,
    refusal: Refusal | None,
    placement: _Placement,
    *,
    complete: bool,
) -> tuple[str | None, str]:
    if complete:
        return _remarks(service, refusal, placement)
    if selection is None:
        return None, "the external network has not been looked for yet"
    if selection.network is None:
        return selection.reason, selection.message
    if refusal is not None:
        return refusal.reason, refusal.message
    if placement.awaiting:
        return None, f"waits until every node forwards {', '.join(placement.awaiting)} of {selection.network}"
    return selection.reason, selection.message or f"waits for an address of {selection.network}"


def _remarks(service: ServiceFact, refusal: Refusal | None, placement: _Placement) -> tuple[str | None, str]:
    """Return the reason and message for a Service that holds what it wants; (None, "") where all is well."""
    if service.too_large:
        return Reason.OBJECT_TOO_LARGE, f"{service.too_large}; its last good state counts"
    if problem := source_ranges_problem(service):
        return Reason.INVALID_SOURCE_RANGE, problem
    if bad := unsupported_ports(service):
        return Reason.UNSUPPORTED_PROTOCOL, f"spec.ports: {', '.join(bad)} is not forwarded; use TCP, UDP or SCTP"
    families, _ = families_of(service)
    missing = [family for family in families if family not in {h.family for h in placement.published}]
    if not missing:
        return None, placement.apart
    return None, f"has no IPv{missing[0]} address: " + (
        refusal.message if refusal else f"{_network_of(placement.published)} gives none"
    )


def _why_ignored(service: ServiceFact, settings: DomainSettings) -> str:
    if service.type != "LoadBalancer":
        return f"is of type {service.type}, not LoadBalancer"
    if settings.is_releasing:
        return "is released by ledgerlb release-all, as all others"
    asked = f"class {service.load_balancer_class}" if service.load_balancer_class is not None else "no class"
    served = settings.load_balancer_class
    return f"has {asked}; served here: " + (f"class {served}" if served is not None else "Services without a class")
