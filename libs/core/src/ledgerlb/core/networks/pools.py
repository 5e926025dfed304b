"""An AddressPool as an external network.

A pool gives out every address that it lists: what should stay out is named in ``exclude``. The ledger knows networks
by prefixes, of which longer ones reserve their first two addresses and, in IPv4, the last. So a pool becomes the
prefixes that cover its items exactly, and beside each longer one its edges, which no reservation touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from ledgerlb.core.addresses import (
    BITS,
    Cidr,
    Family,
    Span,
    cidr_of,
    cidrs_in,
    parse_cidr,
    parse_item,
    parse_spans,
    to_text,
)
from ledgerlb.core.cluster.facts import AddressPoolFact, fact_key
from ledgerlb.core.cluster.labels import EVERYTHING, LabelSelector, parse_selector
from ledgerlb.core.cluster.services import (
    ANNOTATION_ALLOWED_NAMESPACES,
    ANNOTATION_FORCE_PREFIX,
    ANNOTATION_STRICT_QUARANTINE,
)
from ledgerlb.core.errors import BadInput
from ledgerlb.core.intents.model import PrefixOffer
from ledgerlb.core.ledger.intervals import Interval, intersect, normalise
from ledgerlb.core.networks.model import POOL_PREFIX, ExternalNetwork, PoolTerms
from ledgerlb.core.networks.terms import terms_of
from ledgerlb.core.networks.trust import why_not_external, why_unroutable
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings, parse_duration
from ledgerlb.core.text import MAX_LINE, shortened

_T = TypeVar("_T")
_FAMILIES: Final[tuple[Family, ...]] = (4, 6)
_ADDRESSES: Final = "spec.addresses"
_ANNOTATIONS: Final = (ANNOTATION_ALLOWED_NAMESPACES, ANNOTATION_STRICT_QUARANTINE)
"""Annotations of a network that an AddressPool has no field for."""
_EXCLUDE: Final = "spec.exclude"


def derive_pool(fact: AddressPoolFact, settings: DomainSettings) -> ExternalNetwork:
    """Return the network of a pool. What cannot be read becomes its problem, and nothing else is served from it."""
    return _Draft(fact, settings).network()


class _Draft:
    """One pool under construction. It collects all problems instead of stopping at the first."""

    def __init__(self, fact: AddressPoolFact, settings: DomainSettings) -> None:
        self._fact = fact
        self._settings = settings
        self._subject = f"AddressPool {fact.name}"
        self._problems: list[BadInput] = []
        self._warnings: list[str] = []

    def network(self) -> ExternalNetwork:
        fact = self._fact
        self._problems += [BadInput(self._subject, *wrong, "correct the object") for wrong in fact.malformed]
        spans = self._spans(fact.addresses, _ADDRESSES)
        if not fact.addresses and not fact.malformed:
            self._problems.append(BadInput(self._subject, _ADDRESSES, "is empty", "list prefixes or ranges a-b"))
        excluded = self._spans(fact.exclude, _EXCLUDE)
        self._warn(spans, excluded)
        prefixes = self._prefixes(spans, excluded)
        terms = PoolTerms(
            addresses=fact.addresses,
            priority=fact.priority,
            services=self._selector(fact.service_selector, "spec.serviceSelector"),
            namespaces=self._selector(fact.namespace_selector, "spec.namespaceSelector"),
            auto_assign=fact.auto_assign,
            spill_over=fact.spill_over,
        )
        annotated = {key: text for key, text in fact.annotations.items() if key in _ANNOTATIONS}
        carriers = [(self._subject, fact.model_copy(update={"annotations": annotated}))]
        by_annotation = terms_of(carriers, self._problems)
        quota = self._quota()
        quarantine, lease = self._duration("quarantine", fact.quarantine), self._duration("lease", fact.lease)
        forced = self._forced(spans, prefixes)
        problem, message = self._verdict(prefixes)
        return ExternalNetwork(
            name=f"{POOL_PREFIX}{fact.name}",
            source="pool",
            created=fact.created,
            uid=fact.uid,
            labels=dict(fact.labels),
            prefixes=prefixes,
            problem=problem,
            message=message,
            carrier=fact.kind,
            warnings=tuple(shortened(warning, MAX_LINE) for warning in self._warnings),
            allowed_namespaces=by_annotation.allowed_namespaces,
            quota_per_namespace=quota,
            quarantine=quarantine,
            lease=lease,
            strict_quarantine=by_annotation.strict_quarantine,
            force_prefix=forced,
            objects=(fact_key(fact.kind, "", fact.name),),
            admitted=True,
            pool=terms,
        )

    def _verdict(self, prefixes: tuple[PrefixOffer, ...]) -> tuple[str | None, str]:
        if self._problems:
            return Reason.INVALID_ANNOTATION, shortened("; also: ".join(str(problem) for problem in self._problems))
        for offer in prefixes:
            if why := why_not_external(cidr_of(offer.prefix), self._settings):
                return Reason.NETWORK_NOT_ADMITTED, f"{self._subject}: {why}; choose addresses inside, or extend it"
        if self._fact.disabled:
            return Reason.POOL_DISABLED, (
                f"{self._subject} is disabled and gives out nothing new; remove spec.disabled, or choose another one"
            )
        return None, ""

    def _read(self, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except BadInput as problem:
            self._problems.append(problem)
            return None

    # -- addresses ---------------------------------------------------------------------------------------------------

    def _spans(self, items: tuple[str, ...], field: str) -> tuple[Span, ...]:
        found: list[Span] = []
        for at, item in enumerate(items):
            span = self._read(partial(parse_item, item.strip(), self._subject, f"{field}[{at}]"))
            if span is None:
                continue
            if field == _ADDRESSES and (why := next(filter(None, map(why_unroutable, cidrs_in(span))), "")):
                remedy = "use addresses that routers can forward"
                self._problems.append(BadInput(self._subject, f"{field}[{at}]", why, remedy))
                continue
            if "/" in item and (cidr := parse_cidr(item, self._subject, field)).cleared:
                self._warnings.append(
                    f"{self._subject}, {field}[{at}]: {item.strip()} has host bits; {cidr.text} is used"
                )
            found.append(span)
        return tuple(found)

    def _warn(self, spans: tuple[Span, ...], excluded: tuple[Span, ...]) -> None:
        for family in _FAMILIES:
            listed = [(span.low, span.high) for span in spans if span.family == family]
            merged = normalise(listed)
            if sum(high - low + 1 for low, high in listed) > sum(high - low + 1 for low, high in merged):
                self._warnings.append(f"{self._subject}, {_ADDRESSES}: IPv{family} items overlap each other")
            for span in excluded:
                if span.family == family and intersect(((span.low, span.high),), merged) == ():
                    where = f"{to_text(span.low, family)}-{to_text(span.high, family)}"
                    self._warnings.append(f"{self._subject}, {_EXCLUDE}: {where} lies outside the pool's addresses")

    @staticmethod
    def _prefixes(spans: tuple[Span, ...], excluded: tuple[Span, ...]) -> tuple[PrefixOffer, ...]:
        found: list[PrefixOffer] = []
        for family in _FAMILIES:
            merged = normalise((span.low, span.high) for span in spans if span.family == family)
            holes = normalise((span.low, span.high) for span in excluded if span.family == family)
            for low, high in merged:
                for cidr in cidrs_in(Span(family, low, high)):
                    found += [_offer(part, holes) for part in (cidr, *_edges(cidr))]
        return tuple(found)

    def _forced(self, spans: tuple[Span, ...], prefixes: tuple[PrefixOffer, ...]) -> tuple[str, ...]:
        """Return the prefixes of the families of which the annotation repeats all addresses, and so forces a change."""
        text = self._fact.annotations.get(ANNOTATION_FORCE_PREFIX)
        if text is None:
            return ()
        field = f"annotation {ANNOTATION_FORCE_PREFIX}"
        listed = self._read(lambda: tuple(span for span, _ in parse_spans(text, self._subject, field))) or ()
        forced = [
            family for family in _FAMILIES if (wanted := _extent(spans, family)) and _extent(listed, family) == wanted
        ]
        return tuple(prefix.prefix for prefix in prefixes if prefix.family in forced)

    # -- the rest of the spec ----------------------------------------------------------------------------------------

    def _selector(self, raw: object, field: str) -> LabelSelector:
        return (
            EVERYTHING if raw is None else self._read(partial(parse_selector, raw, self._subject, field)) or EVERYTHING
        )

    def _duration(self, name: str, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            return parse_duration(text)
        except BadInput as error:
            self._problems.append(BadInput(self._subject, f"spec.{name}", error.problem, error.remedy))
            return None

    def _quota(self) -> int | None:
        quota = self._fact.quota
        if quota is not None and quota < 0:
            self._problems.append(BadInput(self._subject, "spec.quota", f"{quota} is negative", "write 0 or more"))
            return None
        return quota if quota is not None else self._settings.defaults.quota_per_namespace


def _extent(spans: tuple[Span, ...], family: Family) -> tuple[Interval, ...]:
    return normalise((span.low, span.high) for span in spans if span.family == family)


def _edges(cidr: Cidr) -> Iterator[Cidr]:
    """Yield prefixes for the addresses that the plan of a longer prefix reserves."""
    bits = BITS[cidr.family]
    if cidr.length > bits - 2:
        return
    yield cidr_of(f"{to_text(cidr.low, cidr.family)}/{bits - 1}")
    if cidr.family == 4:
        yield cidr_of(f"{to_text(cidr.high, cidr.family)}/{bits}")


def _offer(cidr: Cidr, holes: tuple[Interval, ...]) -> PrefixOffer:
    excluded = tuple(
        (to_text(low, cidr.family), to_text(high, cidr.family))
        for low, high in intersect(holes, ((cidr.low, cidr.high),))
    )
    return PrefixOffer(family=cidr.family, prefix=cidr.text, excluded=excluded)
