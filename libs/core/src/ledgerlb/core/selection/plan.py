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

from ledgerlb.core.addresses import parse
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import basis_of, frontends, sharing_key
from ledgerlb.core.intents.model import AddressIntent, Dropped, FactPosition, Selection, ServiceIntent, Withdrawal
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.explain import explain_briefly

PlannedRecord = AddressIntent | Withdrawal | Selection | Dropped


class WithdrawalCause(StrEnum):
    """Why a Service no longer wants addresses of a network, if no reason of its choice says it."""

    MOVED = "Moved"
    SERVICE_DELETED = "ServiceDeleted"
    NOT_OURS = "NotOurs"


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
) -> IntentPlan:
    """Plan the end of a Service that is gone or not ours: it wants no addresses any more.

    Once it holds nothing and no refusal is left, its intents are dropped, and its Selection too unless there is a
    ``verdict``. While the Service is ``marked`` with our finalizer or our conditions, its Selection stays, even if
    there is a ``verdict``: the watcher, which removes the marks, sees by the Selection that they are ours.
    """
    if marked and context.selection is not None and context.selection.ours and context.selection.uid == uid:
        verdict = None
    wanting = {network for network, intent in context.intents.items() if isinstance(intent, AddressIntent)}
    unmentioned = {network for network in context.held_networks if network not in context.intents}
    records: list[PlannedRecord] = list(_if_new(context, verdict)) if verdict is not None else []
    records += [_withdrawal(context, network, why, uid) for network in sorted(wanting | unmentioned)]
    if context.holdings or context.refusals:
        return IntentPlan(tuple(records))
    if wanting:
        return IntentPlan(tuple(records), again=True)
    records += [Dropped(network=network, service=context.service) for network in sorted(context.intents)]
    if verdict is None and context.selection is not None and not marked:
        records.append(Dropped(network="", service=context.service))
    return IntentPlan(tuple(records))


def plan_intents(context: ServiceContext, service: ServiceFact, choice: Choice, verdict: Selection) -> IntentPlan:
    """Plan the intents of a Service of ours: it wants addresses of the chosen network, and of no other."""
    records: list[PlannedRecord] = list(_if_new(context, verdict))
    if choice.network is not None:
        records += _want(context, service, choice, verdict.facts)
    held = context.held_networks
    moved = choice.network is not None and _has_arrived(context, service, choice)
    moving = False
    for network in sorted({*held, *context.intents}):
        intent = context.intents.get(network)
        if network == choice.network or isinstance(intent, Withdrawal):
            continue
        if network not in held or moved:
            why = WithdrawalCause.MOVED if choice.network is not None else choice.reason or WithdrawalCause.MOVED
            records.append(_withdrawal(context, network, why, service.uid, requester=service.requester))
        else:
            moving = moving or choice.network is not None
            records += _with_new_uid(context, intent, service)
    return IntentPlan(tuple(records), moving)


def not_ours(service: ServiceFact, context: ServiceContext, served_class: str | None) -> Selection | None:
    """Return the verdict on a LoadBalancer of another class than ``served_class``; None for other types."""
    if service.type != "LoadBalancer":
        return None
    theirs = service.load_balancer_class
    return Selection(
        service=service.full_name,
        revision=context.revision(""),
        uid=service.uid,
        ours=False,
        message=f"loadBalancerClass {theirs!r} is not the one served here ({served_class!r})",
        facts=context.facts,
    )


def _if_new(context: ServiceContext, verdict: Selection) -> Iterable[Selection]:
    """Return the Selection if it differs from the one in the log."""
    old = context.selection
    if old is not None and old == verdict.model_copy(update={"revision": old.revision, "facts": old.facts}):
        return ()
    return (verdict,)


def _want(
    context: ServiceContext, service: ServiceFact, choice: Choice, facts: tuple[FactPosition, ...]
) -> Iterable[AddressIntent]:
    """Return the intent for the chosen network if it differs from the one in the log.

    A record also holds how it came about (explanation, facts) and what the status showed; changes of those alone are
    not written.
    """
    assert choice.network is not None
    old = context.intents.get(choice.network)
    adopt = _shown(service) if context.new_to_ledger else ()
    if isinstance(old, AddressIntent) and not context.holdings and old.uid == service.uid:
        adopt = old.adopt or adopt
    intent = AddressIntent(
        network=choice.network,
        service=service.full_name,
        revision=0,
        uid=service.uid,
        created=service.created,
        requester=service.requester,
        families=choice.families,
        required=choice.required,
        requested=choice.requested,
        sharing_key=sharing_key(service),
        ports=frontends(service),
        adopt=adopt,
        namespace_labels=dict(context.namespace_labels),
        basis=basis_of(service),
        rung=choice.rung or "",
    )
    if isinstance(old, AddressIntent) and _terms_of(old) == _terms_of(intent):
        return ()
    update = {
        "revision": context.revision(choice.network),
        "explanation": explain_briefly(choice),
        "facts": facts,
    }
    return (intent.model_copy(update=update),)


def _terms_of(intent: AddressIntent) -> tuple[object, ...]:
    return (
        intent.uid,
        intent.families,
        intent.required,
        intent.requested,
        intent.sharing_key,
        intent.ports,
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
    shown = _shown(service)
    return all(holding.address in shown and context.programmed(holding) for holding in new)


def _shown(service: ServiceFact) -> tuple[str, ...]:
    """Return the addresses in the Service's status, in canonical spelling. Other text in the status is not ours."""
    shown = (parse(text) for text in service.ingress)
    return tuple(dict.fromkeys(address.text for address in shown if address is not None))


def _withdrawal(context: ServiceContext, network: str, why: str, uid: str, *, requester: str = "") -> Withdrawal:
    intent = context.intents.get(network)
    held = next((holding.uid for holding in context.holdings if holding.network == network), "")
    return Withdrawal(
        network=network,
        service=context.service,
        revision=context.revision(network),
        uid=uid or (intent.uid if intent is not None else held),
        why=why,
        requester=requester or (intent.requester if intent is not None else ""),
        facts=context.facts,
    )
