"""What must be said about one Service, given what it is, what was chosen for it, what it holds and what was
said before. Pure.

A Service that moves keeps its old address until the new network gave it every family that it needs, every live
agent forwards the new addresses, and the Service's status shows them; only then is the old network told that it
is wanted no more. While the new one cannot be had, what was said to the old one stands as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledgerlb.core.addresses import parse
from ledgerlb.core.facts import ServiceFact
from ledgerlb.core.intents import AddressIntent, Dropped, FactPosition, Selection, Withdrawal
from ledgerlb.core.ledger.records import Holding, Refusal
from ledgerlb.core.selection import Choice
from ledgerlb.core.selection.explain import explain_briefly
from ledgerlb.core.services import basis_of, frontends, sharing_key

Word = AddressIntent | Withdrawal
Record = AddressIntent | Withdrawal | Selection | Dropped

MOVED = "Moved"
SERVICE_DELETED = "ServiceDeleted"
NOT_OURS = "NotOurs"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that is known about one Service besides its fact. ``revision`` gives the next revision of a
    word to a network (empty: of the Selection); ``programmed`` tells whether every live agent forwards a holding's
    address for its holder; ``new_to_ledger``: no network ever gave it an address, so what its status shows came from
    somebody else.
    """

    service: str
    words: Mapping[str, Word]
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
        """Networks of which it holds an address that is not being released."""
        return tuple(dict.fromkeys(holding.network for holding in self.holdings if holding.state == "held"))


@dataclass(frozen=True, slots=True)
class ToSay:
    """``records`` to write, in this order. ``moving``: an old network is kept until the new one is ready, which
    time may bring about too. ``again``: look once more when the records stand in the log.
    """

    records: tuple[Record, ...]
    moving: bool = False
    again: bool = False


def ending(
    situation: Situation, why: str, uid: str = "", *, verdict: Selection | None = None, finalizer: bool = False
) -> ToSay:
    """The Service wants nothing any more: it is gone, or not ours. Once it holds nothing and nothing stands
    refused to it, nothing is said about it either, but for the ``verdict`` where there is one. While it carries our
    ``finalizer``, what was said stays: it tells whoever takes the finalizer off that the Service was ours.
    """
    standing = {network for network, word in situation.words.items() if isinstance(word, AddressIntent)}
    unsaid = {network for network in situation.held_networks if network not in situation.words}
    records: list[Record] = list(_verdict(situation, verdict)) if verdict is not None else []
    records += [_withdrawal(situation, network, why, uid) for network in sorted(standing | unsaid)]
    if situation.holdings or situation.refusals:
        return ToSay(tuple(records))
    if standing:
        return ToSay(tuple(records), again=True)
    records += [Dropped(network=network, service=situation.service) for network in sorted(situation.words)]
    if verdict is None and situation.selection is not None and not finalizer:
        records.append(Dropped(network="", service=situation.service))
    return ToSay(tuple(records))


def following(situation: Situation, service: ServiceFact, choice: Choice, verdict: Selection) -> ToSay:
    """The Service is ours: tell the chosen network what it wants, and the others that they are wanted no more."""
    records: list[Record] = list(_verdict(situation, verdict))
    if not service.has_finalizer:
        return ToSay(tuple(records))
    if choice.network is not None:
        records += _want(situation, service, choice, verdict.facts)
    held = situation.held_networks
    moved = choice.network is not None and _arrived(situation, service, choice)
    moving = False
    for network in sorted({*held, *situation.words}):
        word = situation.words.get(network)
        if network == choice.network or isinstance(word, Withdrawal):
            continue
        if network not in held or moved:
            why = MOVED if choice.network is not None else choice.reason or MOVED
            records.append(_withdrawal(situation, network, why, service.uid, requester=service.requester))
        else:
            moving = moving or choice.network is not None
            records += _renamed(situation, word, service)
    return ToSay(tuple(records), moving)


def _verdict(situation: Situation, verdict: Selection) -> Iterable[Selection]:
    """The Selection, where it says something else than the one that stands."""
    old = situation.selection
    if old is not None and old == verdict.model_copy(update={"revision": old.revision, "facts": old.facts}):
        return ()
    return (verdict,)


def _want(
    situation: Situation, service: ServiceFact, choice: Choice, facts: tuple[FactPosition, ...]
) -> Iterable[AddressIntent]:
    """The wish for the chosen network, where it differs from the one that stands: how it came about
    (explanation, facts) and what the status showed then are part of the record, but no news.
    """
    assert choice.network is not None
    old = situation.words.get(choice.network)
    adopt = _shown(service) if situation.new_to_ledger else ()
    if isinstance(old, AddressIntent) and not situation.holdings and old.uid == service.uid:
        adopt = old.adopt or adopt
    wish = AddressIntent(
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
        namespace_labels=dict(situation.namespace_labels),
        basis=basis_of(service),
        rung=choice.rung or "",
    )
    if isinstance(old, AddressIntent) and _wish_of(old) == _wish_of(wish):
        return ()
    return (
        wish.model_copy(
            update={
                "revision": situation.revision(choice.network),
                "explanation": explain_briefly(choice),
                "facts": facts,
            }
        ),
    )


def _wish_of(intent: AddressIntent) -> tuple[object, ...]:
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


def _renamed(situation: Situation, word: Word | None, service: ServiceFact) -> Iterable[AddressIntent]:
    """The wish that stands with an old network, under the Service's new uid where it was made again meanwhile."""
    if not isinstance(word, AddressIntent) or word.uid == service.uid:
        return ()
    return (word.model_copy(update={"uid": service.uid, "revision": situation.revision(word.network)}),)


def _arrived(situation: Situation, service: ServiceFact, choice: Choice) -> bool:
    """Whether the Service has, in its chosen network, all that it needs, forwarded and published."""
    new = [
        holding
        for holding in situation.holdings
        if holding.network == choice.network and holding.state == "held" and holding.family in choice.families
    ]
    families = {holding.family for holding in new}
    if not families or any(family not in families for family in choice.required):
        return False
    shown = _shown(service)
    return all(holding.address in shown and situation.programmed(holding) for holding in new)


def _shown(service: ServiceFact) -> tuple[str, ...]:
    """The addresses that the status shows, as the ledger spells them; whatever else stands there is none of ours."""
    shown = (parse(text) for text in service.ingress)
    return tuple(dict.fromkeys(address.text for address in shown if address is not None))


def _withdrawal(situation: Situation, network: str, why: str, uid: str, *, requester: str = "") -> Withdrawal:
    word = situation.words.get(network)
    held = next((holding.uid for holding in situation.holdings if holding.network == network), "")
    return Withdrawal(
        network=network,
        service=situation.service,
        revision=situation.revision(network),
        uid=uid or (word.uid if word is not None else held),
        why=why,
        requester=requester or (word.requester if word is not None else ""),
        facts=situation.facts,
    )
