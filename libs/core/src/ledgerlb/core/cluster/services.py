"""What a Service asks for, according to its fact: whether it is ours, which families, which addresses."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Final

from ledgerlb.core.addresses import Family, parse, parse_address, source_ranges
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.errors import BadInput
from ledgerlb.core.settings import DomainSettings

ANNOTATION_NETWORK: Final = "service.contrail.juniper.net/externalNetwork"
ANNOTATION_SELECTOR: Final = "service.contrail.juniper.net/externalNetworkSelector"
ANNOTATION_ADDRESSES: Final = "ledgerlb.io/addresses"
ANNOTATION_SHARING_KEY: Final = "ledgerlb.io/sharing-key"
ANNOTATION_RESELECT: Final = "ledgerlb.io/reselect"
"""When an operator last ordered a fresh choice of network: an RFC 3339 time."""
ANNOTATION_SOURCE_RANGES: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
"""The predecessor of ``spec.loadBalancerSourceRanges``; it counts if that field is empty."""
ANNOTATION_EXCLUDE: Final = "ledgerlb.io/exclude"
ANNOTATION_ALLOWED_NAMESPACES: Final = "ledgerlb.io/allowed-namespaces"
ANNOTATION_QUOTA: Final = "ledgerlb.io/quota-per-namespace"
ANNOTATION_QUARANTINE: Final = "ledgerlb.io/quarantine"
ANNOTATION_LEASE: Final = "ledgerlb.io/lease"
ANNOTATION_STRICT_QUARANTINE: Final = "ledgerlb.io/strict-quarantine"
ANNOTATION_FORCE_PREFIX: Final = "ledgerlb.io/force-prefix"

ANNOTATION_IMPORTED_FROM: Final = "ledgerlb.io/imported-from"
"""On an AddressPool: the foreign object that it was made of. For people."""

KNOWN_ANNOTATIONS: Final = (
    ANNOTATION_NETWORK,
    ANNOTATION_SELECTOR,
    ANNOTATION_ADDRESSES,
    ANNOTATION_SHARING_KEY,
    ANNOTATION_RESELECT,
    ANNOTATION_EXCLUDE,
    ANNOTATION_ALLOWED_NAMESPACES,
    ANNOTATION_QUOTA,
    ANNOTATION_QUARANTINE,
    ANNOTATION_LEASE,
    ANNOTATION_STRICT_QUARANTINE,
    ANNOTATION_FORCE_PREFIX,
    ANNOTATION_IMPORTED_FROM,
)
"""Every annotation of LedgerLB and of CN2's Services that a person sets."""
KNOWN_DOMAINS: Final = ("ledgerlb.io/", "service.contrail.juniper.net/")
"""Another annotation of these domains is a slip."""

SUPPORTED_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")


def is_ours(service: ServiceFact, settings: DomainSettings) -> bool:
    """Return whether this instance serves the Service: its type is LoadBalancer and its class is the one we serve."""
    return has_our_class(service, settings) and not settings.is_releasing


def has_our_class(service: ServiceFact, settings: DomainSettings) -> bool:
    """Return whether no other controller serves the Service, even while LedgerLB itself leaves all of them."""
    return service.type == "LoadBalancer" and service.load_balancer_class == settings.load_balancer_class


def families_of(service: ServiceFact) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """Return the families that the Service wants, in order, and those that it requires.

    Where an API server gave the Service cluster addresses, its answer counts: a single-stack cluster leaves
    PreferDualStack with one family, and an external address of the other one would lead nowhere. Otherwise the wish
    counts as it is written.
    """
    wanted, required = _wished_families(service)
    answered = _answered_families(service)
    if not answered:
        return wanted, required
    optional = len(answered) > 1 and not required
    return answered, () if optional else answered


def _answered_families(service: ServiceFact) -> tuple[Family, ...]:
    """Return the families of a Service that has cluster addresses, () where it has none."""
    given = [found.family for text in service.cluster_ips if (found := parse(text)) is not None]
    return tuple(dict.fromkeys(service.ip_families or given)) if given else ()


def _wished_families(service: ServiceFact) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """Return the families that the manifest asks for, and those that it requires.

    SingleStack and RequireDualStack need what they list; PreferDualStack, and two families without a policy, need one
    and take both.
    """
    listed = service.ip_families or (4,)
    first = listed[0]
    other: Family = 6 if first == 4 else 4
    if service.ip_family_policy == "RequireDualStack":
        both = (first, other)
        return both, both
    if service.ip_family_policy == "PreferDualStack" or (len(listed) > 1 and not service.ip_family_policy):
        return (first, other), ()
    return (first,), (first,)


def requested_addresses(service: ServiceFact) -> tuple[str, ...]:
    """Return the addresses that the Service requests, canonical, at most one per family. Our annotation takes
    precedence over ``spec.loadBalancerIP``.

    Raises BadInput naming the field.
    """
    annotation = service.annotations.get(ANNOTATION_ADDRESSES)
    field = f"annotation {ANNOTATION_ADDRESSES}" if annotation is not None else "spec.loadBalancerIP"
    text = annotation if annotation is not None else service.load_balancer_ip
    if annotation is None and not text:
        return ()
    found: dict[int, str] = {}
    for part in text.split(","):
        address = parse_address(part, f"Service {service.full_name}", field)
        if address.family in found:
            raise BadInput(
                f"Service {service.full_name}",
                field,
                f"asks for two IPv{address.family} addresses",
                "name one per family",
            )
        found[address.family] = address.text
    return tuple(found.values())


def sharing_key(service: ServiceFact) -> str:
    """Return the Service's sharing key, empty if it shares no address."""
    return service.annotations.get(ANNOTATION_SHARING_KEY, "").strip()


def split_ranges(annotation: str) -> tuple[str, ...]:
    """Return the entries of the annotation that lists source ranges; () if it is blank."""
    return tuple(part.strip() for part in annotation.split(",")) if annotation.strip() else ()


def source_ranges_problem(service: ServiceFact) -> str | None:
    """Describe the source ranges of the Service that are invalid: field, entries, consequence and remedy; None if
    all are valid.
    """
    invalid = source_ranges(service.source_ranges).invalid
    if not invalid:
        return None
    annotated = split_ranges(service.annotations.get(ANNOTATION_SOURCE_RANGES, ""))
    by_annotation = annotated and annotated == service.source_ranges
    field = f"annotation {ANNOTATION_SOURCE_RANGES}" if by_annotation else "spec.loadBalancerSourceRanges"
    what = "is not a CIDR" if len(invalid) == 1 else "are not CIDRs"
    return f"{field}: {', '.join(map(repr, invalid))} {what}, so no client is admitted; write it like 192.0.2.0/24"


def check_reselect(service: ServiceFact) -> None:
    """Check the order for a fresh choice, if there is one; raises BadInput if it is not a time."""
    text = service.annotations.get(ANNOTATION_RESELECT)
    if text is None:
        return
    try:
        dated = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        dated = False
    if not dated:
        raise BadInput(
            f"Service {service.full_name}",
            f"annotation {ANNOTATION_RESELECT}",
            f"{text!r} is not an RFC 3339 time",
            "write the present time, like 2026-11-17T14:00:00Z",
        )


def frontends(service: ServiceFact) -> tuple[tuple[str, int], ...]:
    """Return (protocol, port) pairs, sorted, without unsupported protocols."""
    return tuple(sorted({(p.protocol, p.port) for p in service.ports if p.protocol in SUPPORTED_PROTOCOLS}))


def is_local(service: ServiceFact) -> bool:
    """Return whether only nodes with a backend of the Service take its traffic."""
    return service.external_traffic_policy == "Local"


def selector_text(service: ServiceFact) -> str:
    """Return the Service's selector as one text; equal for equal selectors, empty if there is none."""
    return ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))


def basis_of(service: ServiceFact) -> str:
    """Return a fingerprint of what the Service asks for.

    It has one part for the network and the addresses and, behind a dash, one for how they are shared, if the Service
    has a sharing key. A holder moves only if the first part changes (see ``chose_alike``) or its network goes. A
    Service without a key has the fingerprint that earlier versions gave it.
    """
    alone = _fingerprint(service, "")
    key = sharing_key(service)
    if not key:
        return alone
    sharing = json.dumps([key, is_local(service), selector_text(service)])
    return f"{alone}-{hashlib.sha256(sharing.encode()).hexdigest()[:8]}"


def chose_alike(basis: str, service: ServiceFact) -> bool:
    """Return whether a fingerprint is of the same choice of network and addresses as the Service makes now.

    Earlier versions counted the sharing key among it.
    """
    return basis.partition("-")[0] in {_fingerprint(service, ""), _fingerprint(service, sharing_key(service))}


def _fingerprint(service: ServiceFact, key: str) -> str:
    """The order for a fresh choice is included only if there is one, so older fingerprints stay valid.

    Of the families the wish counts, not the API server's answer: a cluster that becomes dual-stack moves no Service.
    """
    families, required = _wished_families(service)
    terms = [
        service.annotations.get(ANNOTATION_NETWORK),
        service.annotations.get(ANNOTATION_SELECTOR),
        list(families),
        list(required),
        service.annotations.get(ANNOTATION_ADDRESSES, service.load_balancer_ip),
        key,
    ]
    if (reselect := service.annotations.get(ANNOTATION_RESELECT)) is not None:
        terms.append(reselect)
    return hashlib.sha256(json.dumps(terms).encode()).hexdigest()[:16]
