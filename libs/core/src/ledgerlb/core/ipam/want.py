"""One Service's intent against the state of a network: what changes, or why not."""

from __future__ import annotations

from ledgerlb.core.addresses import Family, family_of
from ledgerlb.core.cluster.labels import parse_selector_text
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.ipam.adopt import adoptable, adoptions_refused
from ledgerlb.core.ipam.choice import AddressChoice, choose, grant
from ledgerlb.core.ipam.circle import is_awaited
from ledgerlb.core.ipam.sharing import must_leave, namespace_of
from ledgerlb.core.ipam.terms import Denial, Terms
from ledgerlb.core.ipam.withdraw import release_event
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.plan import refusal_of
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.reasons import Reason

_DECIDED_BY_NETWORK = "the network {network} can give out nothing new: {message}"


def want(state: NetworkState, intent: AddressIntent, terms: Terms) -> list[Event]:
    """Return the events that bring the Service nearer to its intent.

    The list is empty when the Service has all it can have and the ledger shows it. All required families are decided
    together: a newcomer gets every one of them or none. A Service keeps what it holds or shows when it can have no
    more.
    """
    if intent.revision < state.revisions.get(intent.service, 0):
        return []
    mine = _kept(state, intent, terms)
    events: list[Event] = []
    for record in mine.values():
        events += _refresh(state, record, intent)
    found: dict[Family, AddressChoice | Denial] = {}
    for family in intent.families:
        if not _satisfied(state, mine.get(family), intent, family):
            found[family] = _pick(state, intent, family, terms, swaps=_swaps(mine, family), more=_added(found, mine))
    events += adoptions_refused(state, intent, mine, found, terms)
    refused = {family: answer for family, answer in found.items() if isinstance(answer, Denial)}
    wrong = _wrong_family(intent)
    # A Service that requests an address it cannot have never silently gets another one. What its status shows it keeps.
    blocking = bool(wrong) or any(family in intent.required and family not in mine for family in refused)
    events += [
        _allocation(intent, family, answer)
        for family, answer in found.items()
        if isinstance(answer, AddressChoice) and (answer.rule == "adopted" or not blocking)
    ]
    events += _superseded(state, intent, mine, terms)
    return events + _refusal(state, intent, {} if intent.adopt_only else refused or wrong)


def _kept(state: NetworkState, intent: AddressIntent, terms: Terms) -> dict[Family, AddressRecord]:
    """Return the record per family that counts as the Service's own.

    That is the requested one if the Service has it, else the latest that it holds, else the latest whose release may be
    cancelled.
    """
    kept: dict[Family, AddressRecord] = {}
    for record in sorted(state.held_by(intent.service), key=lambda record: record.status == "held"):
        if record.family not in intent.families or must_leave(record, intent, terms.known):
            continue
        if record.status == "releasing" and not _may_return(state, record, intent):
            continue
        current = kept.get(record.family)
        if current is None or current.address not in intent.requested:
            kept[record.family] = record
    return kept


def _may_return(state: NetworkState, record: AddressRecord, intent: AddressIntent) -> bool:
    """Return whether the release may be cancelled: the network still has the address, and the Service asks for it."""
    return refusal_of(state.plan, record.address) is None and _satisfied(state, record, intent, record.family)


def _refresh(state: NetworkState, record: AddressRecord, intent: AddressIntent) -> list[Event]:
    """Keep an address: take it back from its release, or note a new uid, ports, key or basis."""
    service, uid, key, ports, basis = intent.service, intent.uid, intent.sharing_key, intent.ports, intent.basis
    if record.status == "releasing":
        return [ev.ReleaseCancelled(record.address, service, uid, key, ports, basis)]
    holder = next(holder for holder in record.holders if holder.service == service)
    if (holder.uid, holder.ports, holder.basis, record.sharing_key) == (uid, ports, basis, key):
        return []
    if not _satisfied(state, record, intent, record.family) and (holder.uid, holder.ports) == (uid, ports):
        return []  # on its way out: it keeps the basis of the intent under which it was given
    return [ev.HoldingChanged(record.address, service, uid, key, ports, basis)]


def _satisfied(state: NetworkState, record: AddressRecord | None, intent: AddressIntent, family: Family) -> bool:
    if record is None or state.predates_network(record):
        return False
    requested = _requested(intent, family)
    return not requested or record.address in requested


def _requested(intent: AddressIntent, family: Family) -> list[str]:
    return [address for address in intent.requested if family_of(address) == family]


def _swaps(mine: dict[Family, AddressRecord], family: Family) -> bool:
    """Return whether a new address of the family replaces one that the Service alone holds."""
    return family in mine and len(mine[family].holders) == 1


def _added(found: dict[Family, AddressChoice | Denial], mine: dict[Family, AddressRecord]) -> int:
    """Return how many addresses this decision adds to those of the namespace so far."""
    return sum(
        isinstance(answer, AddressChoice) and answer.rule != "shared" and not _swaps(mine, family)
        for family, answer in found.items()
    )


def _pick(
    state: NetworkState, intent: AddressIntent, family: Family, terms: Terms, *, swaps: bool, more: int
) -> AddressChoice | Denial:
    """Return an address of the family, or why there is none; ``more`` counts those that the decision gives already."""
    closed = _closed(state, intent, terms)
    if closed is not None:
        return closed
    if family not in state.families():
        return Denial(
            Reason.FAMILY_UNAVAILABLE,
            f"network {state.network} has no IPv{family} prefix; add one, or ask for the other family only",
        )
    requested = _requested(intent, family)
    adopted = adoptable(state, intent, family, terms)
    if adopted is not None:
        answer: AddressChoice | Denial = AddressChoice(adopted, "adopted")
    elif intent.adopt_only:
        return Denial(Reason.ADOPTION_REFUSED, f"Service {intent.service} asks for no new address of this network")
    elif requested:
        answer = grant(state, intent, requested[0], terms)
    else:
        answer = choose(state, intent, family, terms)
    over = None if swaps else _over_quota(state, intent, terms, more=more)
    return over if over is not None and isinstance(answer, AddressChoice) and answer.rule != "shared" else answer


def _closed(state: NetworkState, intent: AddressIntent, terms: Terms) -> Denial | None:
    """Return why the network is closed to this newcomer as a whole."""
    offer = terms.offer
    if offer is None or offer.gone or state.gone:
        return Denial(
            Reason.NETWORK_NOT_FOUND, f"network {state.network} does not exist; create it or choose another one"
        )
    if offer.problem is not None:
        return Denial(offer.problem, _DECIDED_BY_NETWORK.format(network=state.network, message=offer.message))
    if offer.allowed_namespaces and not parse_selector_text(offer.allowed_namespaces).matches(intent.namespace_labels):
        return Denial(
            Reason.NETWORK_NOT_ALLOWED,
            f"namespace {namespace_of(intent.service)} is not allowed on network {state.network} "
            f"(ledgerlb.io/allowed-namespaces: {offer.allowed_namespaces})",
        )
    return None


def _over_quota(state: NetworkState, intent: AddressIntent, terms: Terms, *, more: int) -> Denial | None:
    quota = terms.offer.quota_per_namespace if terms.offer is not None else None
    namespace = namespace_of(intent.service)
    if quota is None or state.namespace_count(namespace) + more < quota:
        return None
    also = f" and would get {more} more" if more else ""
    return Denial(
        Reason.QUOTA_EXCEEDED,
        f"namespace {namespace} holds {state.namespace_count(namespace)} addresses of network {state.network}{also}, "
        f"its quota is {quota} (ledgerlb.io/quota-per-namespace)",
    )


def _allocation(intent: AddressIntent, family: Family, choice: AddressChoice) -> Event:
    if choice.rule == "adopted":
        return ev.AddressAdopted(
            choice.address, family, intent.service, intent.uid, intent.sharing_key, intent.ports, intent.basis
        )
    return ev.AddressAllocated(
        choice.address, family, intent.service, intent.uid, choice.rule, intent.sharing_key, intent.ports, intent.basis
    )


def _superseded(
    state: NetworkState,
    intent: AddressIntent,
    mine: dict[Family, AddressRecord],
    terms: Terms,
) -> list[Event]:
    """Release what the Service holds and no longer wants, once its successor (if it has one) is programmed."""
    events: list[Event] = []
    for record in state.held_by(intent.service):
        if record.status != "held":
            continue
        if record.family not in intent.families:
            if any(family in mine for family in intent.families):
                events.append(release_event(record, intent.service, "FamilyNotWanted"))
        elif _has_successor(state, record, intent, mine, terms):
            events.append(release_event(record, intent.service, "Moved"))
    return events


def _has_successor(
    state: NetworkState,
    record: AddressRecord,
    intent: AddressIntent,
    mine: dict[Family, AddressRecord],
    terms: Terms,
) -> bool:
    kept = mine.get(record.family)
    if kept is None or kept.address == record.address or kept.status != "held":
        return False
    given = _given_at(kept, intent.service)
    succeeds = _satisfied(state, kept, intent, record.family) or (
        # It steps aside: it waits for another address, and another Service waits for the one that it had before.
        given > _given_at(record, intent.service) and is_awaited(record, intent.service, terms)
    )
    return succeeds and terms.agents.programmed(
        kept.address, terms.wall, terms.agent_timeout, allocations=(f"{state.network}#{given}",)
    )


def _given_at(record: AddressRecord, service: str) -> int:
    return next(holder.seq for holder in record.holders if holder.service == service)


def _wrong_family(intent: AddressIntent) -> dict[Family, Denial]:
    """Refuse each request in a family that the Service does not have, even where the other family can be served."""
    return {
        family: Denial(
            Reason.FAMILY_UNAVAILABLE,
            f"address {address} is requested, but Service {intent.service} has no IPv{family} family; "
            "correct ledgerlb.io/addresses (or spec.loadBalancerIP), or change spec.ipFamilies",
        )
        for address in intent.requested
        if (family := family_of(address)) not in intent.families
    }


def _refusal(state: NetworkState, intent: AddressIntent, refused: dict[Family, Denial]) -> list[Event]:
    """Write a refusal once per reason, and take it back when it no longer applies.

    After an edit of the intent, write the refusal again if its message changed.
    """
    old = state.refusals.get(intent.service)
    if not intent.required and state.families():
        # The Service only prefers this family, so a network without it refuses nothing.
        missing = {
            family
            for family, answer in refused.items()
            if answer.reason == Reason.FAMILY_UNAVAILABLE and family in intent.families
        }
        if missing != set(intent.families):
            refused = {family: answer for family, answer in refused.items() if family not in missing}
    if not refused:
        return [ev.RefusalCleared(intent.service)] if old is not None else []
    first = next((family for family in intent.required if family in refused), next(iter(refused)))
    families = tuple(refused)
    answer = refused[first]
    same = old is not None and (old.reason, old.families, old.uid) == (answer.reason, families, intent.uid)
    edited = intent.revision > state.revisions.get(intent.service, 0)
    if same and not (edited and old is not None and old.message != answer.message):
        return []
    return [ev.AllocationRefused(intent.service, intent.uid, answer.reason, answer.message, families)]
