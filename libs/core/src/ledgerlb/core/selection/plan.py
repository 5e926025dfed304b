"""Intents: the records about one Service, given the Service, its network choice, its addresses and the intents
that exist already.

A Service that moves keeps its old address until three things hold: the new network gave it every family that it
requires, every live agent forwards the new addresses, and the Service's status shows them. Only then does the old
network get a Withdrawal. While the new network cannot serve it, the intents for the old one stay unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import basis_of, frontends, is_local, selector_text, sharing_key
from ledgerlb.core.intents.model import (
    NOT_OURS,
    RELEASE_ALL,
    SERVICE_DELETED,
    AddressIntent,
    Dropped,
    FactPosition,
    Selection,
    ServiceIntent,
    Withdrawal,
)
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.explain import explain_briefly
from ledgerlb.core.selection.takeover import (
    NO_TAKEOVER,
    NOTHING_RESERVED,
    Reserved,
    Takeover,
    shown_addresses,
    unheld_addresses,
)
from ledgerlb.core.settings import DomainSettings

PlannedRecord = AddressIntent | Withdrawal | Selection | Dropped


class WithdrawalCause(StrEnum):
    """Why a Service no longer wants addresses of a network, if no reason of its choice says it."""

    MOVED = "Moved"
    SERVICE_DELETED = SERVICE_DELETED
    NOT_OURS = NOT_OURS
    ONLY_SHOWN = "OnlyShown"
    RELEASE_ALL = RELEASE_ALL


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """Everything known about one Service besides its fact.

    ``intents``: by network. ``revision`` returns the next revision of an intent for a network (empty: of the
    Selection). ``programmed`` returns whether every live agent forwards a holding's address for its holder.
    ``new_to_ledger``: no network ever gave this Service an address, so another controller wrote what its status shows.
    """

    service: str
    intents: Mapping[str, ServiceIntent]
    selection: Selection | None
    holdings: Sequence[Holding]
    refusals: Sequence[Refusal]
    revision: Callable[[str], int]
    programmed: Callable[[Holding], bool]
    namespace_labels: Mapping[str, str]
    facts: tuple[FactPosition, ...] = ()
    new_to_ledger: bool = False

    @property
    def held_networks(self) -> tuple[str, ...]:
        """Networks of which the Service holds an address that is not being released."""
        return tuple(dict.fromkeys(holding.network for holding in self.holdings if holding.state == "held"))


@dataclass(frozen=True, slots=True)
class IntentPlan:
    """``records`` to write, in this order.

    ``moving``: the Service keeps an old network until the new one is ready, which may happen without a record.
    ``again``: plan once more as soon as the records are in the log.
    """

    records: tuple[PlannedRecord, ...]
    moving: bool = False
    again: bool = False


def plan_end(
    context: ServiceContext,
    why: WithdrawalCause,
    uid: str = "",
    *,
    verdict: Selection | None = None,
    marked: bool = False,
    reserved: Reserved = NOTHING_RESERVED,
) -> IntentPlan:
    """Plan the end of a Service that is gone or not ours: it wants no addresses any more.

    Once it holds nothing and no refusal is left, its intents are dropped, and its Selection too unless there is a
    ``verdict``. While the Service is ``marked`` with our finalizer or our conditions, its Selection stays, even if
    there is a ``verdict``: the watcher, which removes the marks, sees by the Selection that they are ours. What its
    status shows all the same stays ``reserved``.
    """
    if marked and context.selection is not None and context.selection.ours and context.selection.uid == uid:
        verdict = None
    wanting = {network for network, intent in context.intents.items() if isinstance(intent, AddressIntent)}
    unmentioned = {network for network in context.held_networks if network not in context.intents}
    records: list[PlannedRecord] = list(_if_new(context, verdict)) if verdict is not None else []
    for network in sorted(wanting | unmentioned | reserved.keys()):
        shows = reserved.get(network, ())
        if network in wanting or network in unmentioned or _shows(context, network) != shows:
            records.append(_withdrawal(context, network, why, uid, shows=shows))
    if context.holdings or context.refusals:
        return IntentPlan(tuple(records))
    if wanting:
        return IntentPlan(tuple(records), again=True)
    over = sorted(context.intents.keys() - reserved.keys())
    records += [Dropped(network=network, service=context.service) for network in over]
    if verdict is None and context.selection is not None and not marked:
        records.append(Dropped(network="", service=context.service))
    return IntentPlan(tuple(records))


def plan_intents(
    context: ServiceContext, service: ServiceFact, choice: Choice, verdict: Selection, takeover: Takeover = NO_TAKEOVER
) -> IntentPlan:
    """Plan the intents of a Service of ours: it wants addresses of the chosen network, and of no other.

    ``takeover`` is what becomes of the addresses that its status shows and that it does not hold.
    """
    records: list[PlannedRecord] = list(_if_new(context, verdict))
    if choice.network is not None:
        records += _want(context, service, choice, verdict.facts, takeover.shown)
    elif takeover.home is not None:
        records += _adopt(context, service, choice, verdict.facts, takeover)
    held = context.held_networks
    moved = choice.network is not None and _has_arrived(context, service, choice)
    moving = False
    for network in sorted({*held, *context.intents, *takeover.reserved}):
        intent, shows = context.intents.get(network), takeover.reserved.get(network, ())
        if network in {choice.network, takeover.home}:
            continue
        if isinstance(intent, Withdrawal) or (intent is None and network not in held):
            if _shows(context, network) != shows:
                why = intent.why if intent is not None else WithdrawalCause.ONLY_SHOWN
                records.append(_withdrawal(context, network, why, service.uid, shows=shows))
        elif network not in held or moved:
            why = WithdrawalCause.MOVED if choice.network is not None else choice.reason or WithdrawalCause.MOVED
            requester = service.requester
            records.append(_withdrawal(context, network, why, service.uid, requester=requester, shows=shows))
        else:
            moving = moving or choice.network is not None
            records += _with_new_uid(context, intent, service)
    return IntentPlan(tuple(records), moving)


def not_ours(service: ServiceFact, context: ServiceContext, settings: DomainSettings) -> Selection | None:
    """Return the verdict on a LoadBalancer that LedgerLB does not serve; None for other types."""
    if service.type != "LoadBalancer":
        return None
    served, theirs = settings.load_balancer_class, service.load_balancer_class
    message = f"loadBalancerClass {theirs!r} is not the one served here ({served!r})"
    if settings.is_releasing:
        message = "ledgerlb release-all took LedgerLB off all Services"
    return Selection(
        service=service.full_name,
        revision=context.revision(""),
        uid=service.uid,
        ours=False,
        message=message,
        facts=context.facts,
    )


def _if_new(context: ServiceContext, verdict: Selection) -> Iterable[Selection]:
    """Return the Selection if it differs from the one in the log."""
    old = context.selection
    if old is not None and old == verdict.model_copy(update={"revision": old.revision, "facts": old.facts}):
        return ()
    return (verdict,)


def _want(
    context: ServiceContext,
    service: ServiceFact,
    choice: Choice,
    facts: tuple[FactPosition, ...],
    shown: tuple[str, ...],
) -> Iterable[AddressIntent]:
    """Return the intent for the chosen network if it differs from the one in the log.

    A record also holds how it came about (explanation, facts); changes of those alone are not written.
    """
    assert choice.network is not None
    intent = AddressIntent(
        **_asked_by(context, service, choice),
        network=choice.network,
        required=choice.required,
        requested=choice.requested,
        adopt=shown if context.new_to_ledger else _not_adopted(context, service, choice.network),
        basis=basis_of(service),
        rung=choice.rung or "",
    )
    return _unless_known(context, intent, explain_briefly(choice), facts)


def _adopt(
    context: ServiceContext,
    service: ServiceFact,
    choice: Choice,
    facts: tuple[FactPosition, ...],
    takeover: Takeover,
) -> Iterable[AddressIntent]:
    """Return the intent of a Service without a network: to keep what its status shows in the network that has it.

    Its basis is empty, since the Service chose nothing: so it moves as soon as a network is chosen.
    """
    assert takeover.home is not None
    intent = AddressIntent(
        **_asked_by(context, service, choice),
        network=takeover.home,
        required=(),
        adopt=takeover.shown,
        adopt_only=True,
    )
    why = f"Service {service.full_name} has no network ({choice.reason}), and its status shows addresses of this one."
    return _unless_known(context, intent, why, facts)


class _Sharing(TypedDict):
    sharing_key: str
    local: bool
    selector: str


class _Asked(_Sharing):
    service: str
    revision: int
    uid: str
    created: str
    requester: str
    families: tuple[Family, ...]
    ports: tuple[tuple[str, int], ...]
    namespace_labels: dict[str, str]


def _asked_by(context: ServiceContext, service: ServiceFact, choice: Choice) -> _Asked:
    """Return what an intent of the Service has in every network."""
    return {
        "service": service.full_name,
        "revision": 0,
        "uid": service.uid,
        "created": service.created,
        "requester": service.requester,
        "families": choice.families,
        "ports": frontends(service),
        "namespace_labels": dict(context.namespace_labels),
        **_sharing(service),
    }


def _sharing(service: ServiceFact) -> _Sharing:
    """Return what decides with whom the Service shares an address."""
    key = sharing_key(service)
    if not key:
        return {"sharing_key": "", "local": False, "selector": ""}
    return {"sharing_key": key, "local": is_local(service), "selector": selector_text(service)}


def _not_adopted(context: ServiceContext, service: ServiceFact, network: str) -> tuple[str, ...]:
    """Return the addresses that were to be adopted, were not, and still stand in the status."""
    old = context.intents.get(network)
    if not isinstance(old, AddressIntent) or not old.adopt or old.uid != service.uid:
        return ()
    still = unheld_addresses(service, context.holdings)
    return tuple(address for address in old.adopt if address in still)


def _unless_known(
    context: ServiceContext, intent: AddressIntent, explanation: str, facts: tuple[FactPosition, ...]
) -> Iterable[AddressIntent]:
    """Return the intent if the log does not have it in this form yet.

    An intent that names addresses to adopt is written again once the status no longer shows some that were refused.
    """
    old = context.intents.get(intent.network)
    if isinstance(old, AddressIntent) and _terms_of(old) == _terms_of(intent):
        held = {holding.address for holding in context.holdings}
        if set(old.adopt) - held <= set(intent.adopt):
            return ()
    update = {"revision": context.revision(intent.network), "explanation": explanation, "facts": facts}
    return (intent.model_copy(update=update),)


def _terms_of(intent: AddressIntent) -> tuple[object, ...]:
    return (
        intent.uid,
        intent.families,
        intent.required,
        intent.requested,
        intent.sharing_key,
        intent.local,
        intent.selector,
        intent.ports,
        intent.adopt_only,
        intent.namespace_labels,
        intent.basis,
    )


def _with_new_uid(
    context: ServiceContext, intent: ServiceIntent | None, service: ServiceFact
) -> Iterable[AddressIntent]:
    """Return the intent for an old network under the Service's new uid, if the Service was created again meanwhile."""
    if not isinstance(intent, AddressIntent) or intent.uid == service.uid:
        return ()
    return (intent.model_copy(update={"uid": service.uid, "revision": context.revision(intent.network)}),)


def _has_arrived(context: ServiceContext, service: ServiceFact, choice: Choice) -> bool:
    """Return whether the Service has all that it requires of its chosen network, forwarded and published."""
    new = [
        holding
        for holding in context.holdings
        if holding.network == choice.network and holding.state == "held" and holding.family in choice.families
    ]
    families = {holding.family for holding in new}
    if not families or any(family not in families for family in choice.required):
        return False
    shown = shown_addresses(service)
    return all(holding.address in shown and context.programmed(holding) for holding in new)


def _shows(context: ServiceContext, network: str) -> tuple[str, ...]:
    """Return what the Withdrawal in the log reserves."""
    intent = context.intents.get(network)
    return intent.shows if isinstance(intent, Withdrawal) else ()


def _withdrawal(
    context: ServiceContext,
    network: str,
    why: str,
    uid: str,
    *,
    requester: str = "",
    shows: tuple[str, ...] = (),
) -> Withdrawal:
    intent = context.intents.get(network)
    held = next((holding.uid for holding in context.holdings if holding.network == network), "")
    return Withdrawal(
        network=network,
        service=context.service,
        revision=context.revision(network),
        uid=uid or (intent.uid if intent is not None else held),
        why=why,
        shows=shows,
        requester=requester or (intent.requester if intent is not None else ""),
        facts=context.facts,
    )
