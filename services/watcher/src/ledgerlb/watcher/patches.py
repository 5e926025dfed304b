"""Decide the one patch that brings a Service to what the log says of it.

Finalizer, ingress and conditions travel in one patch of the status, so each version of the object is consistent:

| the Service | ingress | conditions | our finalizer |
|---|---|---|---|
| is ours and holds addresses | these addresses | ours | on |
| is ours and waits | none (one from before stays until the ledger judged it) | ours | off, once nothing is held |
| leaves, and still holds something | only what is still held | unchanged | unchanged |
| leaves, and holds nothing any more | none of ours | none of ours | off |

A Service *leaves* when it is being deleted, or when its type or class is no longer ours. No patch adds a finalizer to a
Service that is being deleted: the API server refuses such a patch as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ledgerlb.core.cluster.facts import OWN_CONDITIONS, PORTS_ERROR, Condition, ServiceFact
from ledgerlb.core.publication.conditions import PORTS_SUPPORTED, PROGRAMMED
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.reasons import Reason
from ledgerlb.kube.writer import Write, service_write
from ledgerlb.watcher.state import PublisherState

Step = Literal["publish", "status", "release"]
"""``publish`` adds our finalizer, ``release`` removes it, ``status`` does neither."""


@dataclass(frozen=True, slots=True)
class ServicePatch:
    """A patch that is due, and what the Service shows once it is done."""

    step: Step
    write: Write
    after: ServiceFact

    def timeless(self) -> Write:
        """Return the write without its times: equal for two patches that say the same at different moments."""
        body = dict(self.write.body)
        conditions = body.get("status", {}).get("conditions")
        if conditions is not None:
            undated = [{f: v for f, v in entry.items() if f != "lastTransitionTime"} for entry in conditions]
            body["status"] = {**body["status"], "conditions": undated}
        return Write("Service", self.write.namespace, self.write.name, self.write.verb, body, self.write.uid)


def due_patch(
    state: PublisherState, fact: ServiceFact, publication: Publication, *, overdue: bool
) -> ServicePatch | None:
    """Return the next patch of the Service, None where it shows what it should.

    ``overdue`` is True once a verdict is outstanding for so long that the conditions must say so.
    """
    if publication.state in {"Ignored", "Deleted"}:
        return _of_leaving(state, fact, publication) if state.owned(fact) else None
    return _of_ours(state, fact, publication, overdue=overdue)


def _of_ours(
    state: PublisherState, fact: ServiceFact, publication: Publication, *, overdue: bool
) -> ServicePatch | None:
    conditions = publication.conditions if publication.decided or overdue else ()
    dropped = _outdated(fact, conditions)
    if publication.addresses:
        return _patch(fact, publication.addresses, conditions, dropped, finalizer=True)
    if state.may_adopt(fact) or not state.known_to_ledger(fact.full_name):
        return _patch(fact, None, conditions, dropped)
    return _patch(fact, (), conditions, dropped, finalizer=None if _must_stay(state, fact, publication) else False)


def _outdated(fact: ServiceFact, conditions: tuple[Condition, ...]) -> tuple[str, ...]:
    """Return the type of a shown condition that goes as soon as it is no longer so."""
    if not conditions or any(condition.type == PROGRAMMED for condition in conditions):
        return ()
    return tuple(condition.type for condition in fact.conditions if condition.type == PROGRAMMED)


def _of_leaving(state: PublisherState, fact: ServiceFact, publication: Publication) -> ServicePatch | None:
    name = fact.full_name
    # An ingress of ours has our finalizer beside it. Even then it may hold an address of the next controller.
    ours = fact.type == "LoadBalancer" and fact.has_finalizer
    kept = tuple(a for a in fact.ingress if not state.fold.gave_but_not_to(a, name)) if ours else None
    if _must_stay(state, fact, publication):
        # A released address goes at once: the ledger may give it to another Service before the last one is released.
        return _patch(fact, kept)
    if publication.state == "Deleted" and (fact.has_finalizer or state.known_to_ledger(name)):
        kept = ()
    dropped = tuple(condition.type for condition in fact.conditions if _is_own(condition))
    return _patch(fact, kept, dropped=dropped, finalizer=False)


def _must_stay(state: PublisherState, fact: ServiceFact, publication: Publication) -> bool:
    """Whether something of the Service has to be cleaned up before its finalizer goes."""
    return publication.finalizer or state.has_objects(fact.full_name)


def _is_own(condition: Condition) -> bool:
    """Whether LedgerLB wrote the condition. Other controllers may write PORTS_ERROR too, with their own reasons."""
    if condition.type == PORTS_ERROR:
        return condition.reason in {Reason.UNSUPPORTED_PROTOCOL, PORTS_SUPPORTED}
    return condition.type.startswith(OWN_CONDITIONS)


def _patch(
    fact: ServiceFact,
    addresses: tuple[str, ...] | None,
    conditions: Iterable[Condition] = (),
    dropped: tuple[str, ...] = (),
    *,
    finalizer: bool | None = None,
) -> ServicePatch | None:
    """Return the patch that makes the Service show these, None where it does. None leaves a part as it is."""
    shown = {condition.type: condition for condition in fact.conditions}
    changed = tuple(c for c in conditions if _content(shown.get(c.type)) != _content(c))
    if addresses == fact.ingress:
        addresses = None
    if finalizer == fact.has_finalizer:
        finalizer = None
    if addresses is None and finalizer is None and not changed and not dropped:
        return None
    after = {**shown, **{condition.type: condition for condition in changed}}
    update: dict[str, object] = {"conditions": tuple(after[name] for name in sorted(after) if name not in dropped)}
    if addresses is not None:
        update["ingress"] = addresses
    if finalizer is not None:
        update["has_finalizer"] = finalizer
    step: Step = "status" if finalizer is None else "publish" if finalizer else "release"
    write = service_write(fact, addresses, changed, dropped, finalizer=finalizer)
    return ServicePatch(step, write, fact.model_copy(update=update))


def _content(condition: Condition | None) -> tuple[object, ...]:
    """What a condition says, without the moment since which it does."""
    if condition is None:
        return ()
    return (condition.status, condition.reason, condition.message, condition.observed_generation)
