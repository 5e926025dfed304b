"""``select``: the walk over the rungs, and what a holder keeps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import check_reselect, families_of, requested_addresses
from ledgerlb.core.errors import BadInput
from ledgerlb.core.intents.model import CandidateResult, RungResult
from ledgerlb.core.networks import ExternalNetwork, why_absent
from ledgerlb.core.reasons import Reason
from ledgerlb.core.selection.candidates import Needs, first_usable, missing_families, obstacle
from ledgerlb.core.selection.choice import Choice, Verdict
from ledgerlb.core.selection.context import NamedSelector, SelectionContext
from ledgerlb.core.selection.pools import choose_pool
from ledgerlb.core.selection.rungs import DEFAULT_SELECTOR, DEFAULT_SELECTOR_RUNG, RUNGS, Rung
from ledgerlb.core.selection.stick import Anchor
from ledgerlb.core.text import MAX_LINE, shortened

_NETWORK_NAME: Final = re.compile(r"(?:[^\s/]+/)?[^\s/]+\Z")
_SELECTOR_NAME: Final = re.compile(r"\S+\Z")
_ABSENT: Final = {rung.name: RungResult(rung=rung.name, present=False, outcome="absent") for rung in RUNGS}
_MAX_HINTS: Final = 5


def select(
    context: SelectionContext, service: ServiceFact, anchor: Anchor | None = None, held: Collection[str] = ()
) -> Choice:
    """Choose the network of a Service. ``held``: the networks that it holds addresses of.

    A Service with an anchor keeps that network as long as it exists and has the families that the Service needs. Any
    other Service gets the verdict of the rungs. Never raises: an invalid value becomes the choice's ``reason``.
    """
    families, required = families_of(service)
    labels = context.view.namespace_labels(service.namespace)
    needs = Needs(service.namespace, labels, families, required)
    verdict = _walk(context, service, needs, (anchor.network,) if anchor is not None else held)
    try:
        requested = requested_addresses(service)
        check_reselect(service)
    except BadInput as problem:
        requested = ()
        verdict = replace(verdict, network=None, reason=Reason.INVALID_ANNOTATION, message=str(problem))
        anchor = None
    if service.too_large and anchor is None:
        text = f"Service {service.full_name} {service.too_large}"
        verdict = replace(verdict, network=None, reason=Reason.OBJECT_TOO_LARGE, message=text)
    choice = Choice(
        service=service.full_name,
        uid=service.uid,
        network=verdict.network,
        rung=verdict.rung,
        reason=verdict.reason,
        message=shortened(verdict.message),
        families=families,
        required=required,
        requested=requested,
        rungs=verdict.rungs,
        candidates=verdict.candidates,
        objects=verdict.objects,
        by_room=verdict.by_room,
    )
    if anchor is not None and anchor.network != verdict.network and _still_serves(context, anchor, needs):
        choice = _kept(choice, anchor)
    return _with_warnings(choice, context)


def _still_serves(context: SelectionContext, anchor: Anchor, needs: Needs) -> bool:
    network = context.networks.get(anchor.network)
    if network is None:
        return False
    # While its annotations do not parse, the families of a network are unknown, so holders keep their addresses.
    return network.problem == Reason.INVALID_ANNOTATION or not missing_families(network, needs)


def _kept(choice: Choice, anchor: Anchor) -> Choice:
    fresh = choice.network
    instead = f"would take {fresh}" if fresh is not None else f"would find none ({choice.reason}: {choice.message})"
    return replace(
        choice,
        network=anchor.network,
        rung=anchor.rung or choice.rung,
        reason=None,
        message=shortened(f"keeps network {anchor.network}, of which it holds an address; a fresh choice {instead}"),
        drift=fresh,
        drift_reason=choice.reason,
    )


def _with_warnings(choice: Choice, context: SelectionContext) -> Choice:
    network = context.networks.get(choice.network) if choice.network is not None else None
    return replace(choice, warnings=network.warnings) if network is not None and network.warnings else choice


# -- the walk ----------------------------------------------------------------------------------------------------------


def _walk(context: SelectionContext, service: ServiceFact, needs: Needs, held: Collection[str]) -> Verdict:
    """Look at every rung. The first that is present decides, even if its value cannot be used; only the default
    selector, if it matches nothing, leaves the decision to AddressPools.
    """
    verdict: Verdict | None = None
    results: list[RungResult] = []
    for rung in RUNGS:
        value = context.place(rung.place, service.namespace, service.annotations).get(rung.key)
        if value is None:
            results.append(_ABSENT[rung.name])
        elif rung.meaning == "pool":
            if verdict is None or _is_open(verdict):
                found = choose_pool(context, service, needs, held)
                results.append(_pool_result(rung, value, found))
                verdict = found or (_without_pools(verdict, value) if verdict is not None else None)
            else:
                results.append(_outranked(rung, value, verdict))
        elif verdict is None:
            verdict = _decide(context, service, needs, rung, value)
            results.append(
                RungResult(rung=rung.name, present=True, value=shortened(value, MAX_LINE), outcome=_outcome(verdict))
            )
        elif rung.meaning != "nothing":
            results.append(_outranked(rung, value, verdict))
    assert verdict is not None, "the last rung is always present"
    return replace(verdict, rungs=tuple(results))


def _outcome(verdict: Verdict) -> str:
    if _is_open(verdict):
        return f"matches no network: {verdict.reason}"
    return f"takes {verdict.network}" if verdict.network is not None else f"decides: {verdict.reason}"


def _is_open(verdict: Verdict) -> bool:
    """Return whether AddressPools may serve a Service with this verdict: the default selector matches no network."""
    nothing = (Reason.NO_NETWORK_MATCHES, Reason.NO_DEFAULT_NETWORK)
    return verdict.rung == DEFAULT_SELECTOR_RUNG and verdict.reason in nothing


def _without_pools(verdict: Verdict, value: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message}; none of {value} takes part for this Service")


def _pool_result(rung: Rung, value: str, found: Verdict | None) -> RungResult:
    outcome = _outcome(found) if found is not None else "none takes part"
    return RungResult(rung=rung.name, present=found is not None, value=value, outcome=outcome)


def _outranked(rung: Rung, value: str, verdict: Verdict) -> RungResult:
    outcome = f"outranked by {verdict.rung}"
    return RungResult(rung=rung.name, present=True, value=shortened(value, MAX_LINE), outcome=outcome)


def _decide(context: SelectionContext, service: ServiceFact, needs: Needs, rung: Rung, value: str) -> Verdict:
    if unclear := _unclear(context, rung, value):
        return unclear
    match rung.meaning:
        case "network":
            return _by_name(context, service, needs, rung, value)
        case "selector":
            return _by_selector(context, service, needs, rung, value)
        case _:
            return Verdict(
                None,
                None,
                Reason.NO_DEFAULT_NETWORK,
                f"nothing chooses a network for Service {service.full_name}: no annotation, no selector "
                f"default-external in {context.source}, and no AddressPool that takes it; annotate the Service or its "
                "Namespace, define the selector, or create a pool",
            )


def _unclear(context: SelectionContext, rung: Rung, value: str) -> Verdict | None:
    """Return the verdict on a rung that depends on the contrail namespace, where it is unclear which one that is."""
    why = context.home.why_unclear
    if not why:
        return None
    selector = context.selector(value) if rung.meaning == "selector" and value == DEFAULT_SELECTOR else None
    searches_home = isinstance(selector, NamedSelector) and selector.namespaces is None
    if rung.place == "contrail-namespace" or searches_home:
        return Verdict(None, rung.name, Reason.CONTRAIL_NAMESPACE_UNCLEAR, why)
    return None


def _by_name(context: SelectionContext, service: ServiceFact, needs: Needs, rung: Rung, value: str) -> Verdict:
    carrier, key = _carrier(context, service, rung)
    objects = (key,) if key is not None else ()
    if not _NETWORK_NAME.match(value):
        problem = BadInput(
            carrier,
            f"annotation {rung.key}",
            f"{value!r} is not the name of a network",
            "write namespace/name, or a name alone",
        )
        return Verdict(None, rung.name, Reason.INVALID_ANNOTATION, str(problem), objects=objects)
    home = context.home.namespace if rung.place == "contrail-namespace" else service.namespace
    name = value if "/" in value else f"{home}/{value}"
    network = context.networks.get(name)
    if network is None:
        message = f"{why_absent(context.view, name)}, but {carrier} names it (annotation {rung.key}); "
        return Verdict(
            None, rung.name, Reason.NETWORK_NOT_FOUND, message + _remedy_for_missing(context, name), objects=objects
        )
    found = obstacle(network, needs)
    objects = (*objects, *network.objects)
    if found is not None:
        result = CandidateResult(network=name, taken=False, why=shortened(f"{found.reason}: {found.message}", MAX_LINE))
        return Verdict(None, rung.name, found.reason, found.message, candidates=(result,), objects=objects)
    message = f"{rung.name} of {carrier} names {name}"
    result = CandidateResult(network=name, taken=True, why="named by the annotation")
    return Verdict(name, rung.name, None, message, candidates=(result,), objects=objects)


def _remedy_for_missing(context: SelectionContext, name: str) -> str:
    bare = name.partition("/")[2]
    alike = [other for other in context.networks if other.partition("/")[2] == bare][:_MAX_HINTS]
    if alike:
        return f"create it, or name {' or '.join(alike)}"
    return "create it, or correct the annotation"


def _by_selector(context: SelectionContext, service: ServiceFact, needs: Needs, rung: Rung, value: str) -> Verdict:
    carrier, key = _carrier(context, service, rung)
    objects = tuple(dict.fromkeys(part for part in (key, context.source_key) if part is not None))
    if not _SELECTOR_NAME.match(value):
        problem = BadInput(
            carrier,
            f"annotation {rung.key}",
            f"{value!r} is not the name of a selector",
            "write the name of a defined selector",
        )
        return Verdict(None, rung.name, Reason.INVALID_ANNOTATION, str(problem), objects=objects)
    selector = context.selector(value)
    if selector is None:
        message = (
            f"there is no selector {value!r} in {context.source}, but {carrier} names it (annotation {rung.key}); "
            f"define it, or name one of: {_known(context)}"
        )
        return Verdict(None, rung.name, Reason.SELECTOR_NOT_FOUND, message, objects=objects)
    if isinstance(selector, BadInput):
        return Verdict(None, rung.name, Reason.INVALID_ANNOTATION, str(selector), objects=objects)
    matches = context.matches(selector, service.namespace)
    if not matches.networks:
        more = f" ({matches.elsewhere} elsewhere match)" if matches.elsewhere else ""
        message = (
            f"selector {value} ({context.source}) matches no network: none in {matches.scope} has labels "
            f"{str(selector.networks) or '{}'}{more}; label a network so, or correct the selector"
        )
        reason = Reason.NO_NETWORK_MATCHES if context.defines_default else Reason.NO_DEFAULT_NETWORK
        return Verdict(None, rung.name, reason, message, objects=objects)
    taken, first, results = first_usable(matches.networks, needs)
    if taken is None:
        assert first is not None, "every candidate was passed over for some reason"
        return Verdict(None, rung.name, first.reason, first.message, candidates=results, objects=objects)
    message = f"{rung.name}: selector {value} takes {taken.name}, {_why(results)} in {matches.scope}"
    return Verdict(taken.name, rung.name, None, message, candidates=results, objects=(*objects, *_new(taken, objects)))


def _why(results: tuple[CandidateResult, ...]) -> str:
    return next(result.why for result in results if result.taken)


def _new(network: ExternalNetwork, known: tuple[str, ...]) -> Iterator[str]:
    return (key for key in network.objects if key not in known)


def _known(context: SelectionContext) -> str:
    names = list(context.selectors)
    more = f" and {len(names) - _MAX_HINTS} more" if len(names) > _MAX_HINTS else ""
    return ", ".join(names[:_MAX_HINTS]) + more if names else "(none is defined)"


def _carrier(context: SelectionContext, service: ServiceFact, rung: Rung) -> tuple[str, str | None]:
    """Return the object that holds a rung's value, for messages, and the record key of its fact."""
    match rung.place:
        case "service":
            return f"Service {service.full_name}", None
        case "namespace":
            return f"Namespace {service.namespace}", f"Namespace//{service.namespace}"
        case "contrail-namespace":
            name = context.home.namespace
            return f"Namespace {name}", f"Namespace//{name}"
        case _:
            return context.source, None
