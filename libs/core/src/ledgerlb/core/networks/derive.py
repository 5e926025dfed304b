"""One network out of its NetworkAttachmentDefinition, VirtualNetwork and Subnets.

A NAD defines the VirtualNetwork of its own name: the network exists as long as the NAD does, also while its
VirtualNetwork is deleted and created again. A VirtualNetwork without a NAD is a network of its own, defined by its
Subnets. An object with a deletion timestamp counts as gone: the network takes no new Services, and holders move while
the finalizer delays the deletion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.core.addresses import Cidr, Family, Span, cidr_of, parse_cidr, parse_range, parse_span, to_text
from ledgerlb.core.cluster.contrail import contrail_home
from ledgerlb.core.cluster.facts import Fact, NetworkAttachmentDefinitionFact, SubnetFact, VirtualNetworkFact, fact_key
from ledgerlb.core.cluster.reachability import RouteTargets
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.errors import BadInput
from ledgerlb.core.intents.model import PrefixOffer
from ledgerlb.core.ledger.intervals import intersect, normalise
from ledgerlb.core.networks.model import POOL_PREFIX, ExternalNetwork, pool_of
from ledgerlb.core.networks.pools import derive_pool
from ledgerlb.core.networks.targets import TARGET_KEYS, listed, together, with_routers
from ledgerlb.core.networks.terms import NetworkTerms, terms_of
from ledgerlb.core.networks.trust import ADMITTING_LABEL, is_admitted, why_not_external, why_unroutable
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.text import MAX_LINE, load_json, shortened

NETWORKS_ANNOTATION: Final = "juniper.net/networks"
CNI_TYPE: Final = "contrail-k8s-cni"
_PREFIX_KEYS: Final[tuple[tuple[Family, str], ...]] = ((4, "ipamV4Subnet"), (6, "ipamV6Subnet"))
_KNOWN_KEYS: Final = frozenset((*(key for _, key in _PREFIX_KEYS), *TARGET_KEYS, "fabricSNAT", "podNetwork"))


def derive_all(view: ClusterView, settings: DomainSettings) -> dict[str, ExternalNetwork]:
    """Return every network by name, in the order of names, before conflicts are marked."""
    names = {fact.full_name for fact in view.virtual_networks()} | {fact.full_name for fact in view.nads()}
    names |= {f"{POOL_PREFIX}{fact.name}" for fact in view.pools()}
    derived = ((name, derive(view, name, settings)) for name in sorted(names))
    return {name: network for name, network in derived if network is not None}


def derive(view: ClusterView, name: str, settings: DomainSettings) -> ExternalNetwork | None:
    """Return the network of a name, None if there is none."""
    if (pool_name := pool_of(name)) is not None:
        pool = view.pool(pool_name)
        return None if pool is None or pool.deleting else derive_pool(pool, settings)
    nad, vn = view.nad(name), view.virtual_network(name)
    if nad is not None and (is_network(nad) or (vn.nad == name if vn is not None else _is_unreadable(nad))):
        return None if nad.deleting else _Draft(view, settings, nad, vn).network()
    if vn is None or vn.deleting or _orphaned(view, vn):
        return None
    return _Draft(view, settings, None, vn).network()


def why_absent(view: ClusterView, name: str) -> str:
    """Explain why no network of that name exists, although some of its objects may."""
    if (pool_name := pool_of(name)) is not None:
        return _why_no_pool(view, pool_name)
    nad, vn = view.nad(name), view.virtual_network(name)
    if (nad is not None and nad.deleting) or (nad is None and vn is not None and vn.deleting):
        return f"network {name} is being deleted"
    if vn is not None:
        return f"VirtualNetwork {name} was made by NetworkAttachmentDefinition {vn.nad}, which is gone"
    if nad is not None:
        return f"NetworkAttachmentDefinition {name} defines no network (it has no annotation {NETWORKS_ANNOTATION})"
    return f"there is no VirtualNetwork or NetworkAttachmentDefinition {name}"


def _why_no_pool(view: ClusterView, name: str) -> str:
    network = f"{POOL_PREFIX}{name}"
    if view.pool(name) is not None:
        return f"AddressPool {name} is being deleted"
    if view.nad(network) is not None or view.virtual_network(network) is not None:
        return (
            f"there is no AddressPool {name}, and networks in a Namespace called pool cannot be external networks, "
            f"because {network} names an AddressPool"
        )
    return f"there is no AddressPool {name}"


def is_network(nad: NetworkAttachmentDefinitionFact) -> bool:
    """Return whether the NAD is CN2's. LedgerLB ignores the NADs of other plug-ins."""
    if nad.networks is not None:
        return True
    config = _config_of(nad)
    return config is not None and config.get("type") == CNI_TYPE


def _config_of(nad: NetworkAttachmentDefinitionFact) -> Mapping[str, Any] | None:
    """Return the JSON object of ``spec.config``: {} if that is empty, None if it is not a JSON object."""
    try:
        config = json.loads(nad.config) if nad.config.strip() else {}
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _is_unreadable(nad: NetworkAttachmentDefinitionFact) -> bool:
    """Return whether it is unknown whose NAD this is. Such a NAD counts as a network that serves nothing, so Services
    that reference it get the reason. A VirtualNetwork of its name takes precedence.
    """
    config = _config_of(nad)
    return config is None or (bool(nad.malformed) and "type" not in config)


def _orphaned(view: ClusterView, vn: VirtualNetworkFact) -> bool:
    """Return whether the NAD that created it is gone, so that it will go too."""
    return bool(vn.nad) and view.nad(vn.nad) is None and view.served("NetworkAttachmentDefinition")


class _Draft:
    """One network under construction. It collects all problems instead of stopping at the first."""

    def __init__(
        self,
        view: ClusterView,
        settings: DomainSettings,
        nad: NetworkAttachmentDefinitionFact | None,
        vn: VirtualNetworkFact | None,
    ) -> None:
        self._view = view
        self._settings = settings
        self._nad = nad
        self._vn = vn
        self._problems: list[BadInput] = []
        self._warnings: list[str] = []
        self._objects: list[str] = []
        self._unreadable = False

    def network(self) -> ExternalNetwork:
        carriers = [(_called(fact), fact) for fact in (self._nad, self._vn) if fact is not None]
        self._objects += [_key_of(fact) for _, fact in carriers]
        owner = carriers[0][1]
        declared = self._nad_annotation() if self._nad is not None else None
        terms = terms_of(carriers, self._problems)
        prefixes = self._prefixes(declared, terms)
        targets = self._targets(declared)
        problem, message = self._verdict(owner, prefixes)
        wrong = self._problems[0].subject if self._problems else ""
        carrier = next((fact for called, fact in carriers if called == wrong), owner)
        return ExternalNetwork(
            name=owner.full_name,
            source="vn" if self._nad is None else "nad",
            created=owner.created,
            uid=owner.uid,
            labels={key: value for _, fact in reversed(carriers) for key, value in fact.labels.items()},
            prefixes=prefixes,
            targets=targets,
            problem=problem,
            message=message,
            carrier=carrier.kind,
            warnings=tuple(shortened(warning, MAX_LINE) for warning in self._warnings),
            allowed_namespaces=terms.allowed_namespaces,
            quota_per_namespace=self._quota(terms),
            quarantine=terms.quarantine,
            lease=terms.lease,
            strict_quarantine=terms.strict_quarantine,
            force_prefix=terms.force_prefix,
            objects=tuple(self._objects),
            admitted=self._admitted(owner),
        )

    def _admitted(self, owner: Fact) -> bool:
        home = contrail_home(self._view, self._settings).namespace
        return is_admitted(owner.namespace, self._view.namespace_labels(owner.namespace), self._settings, home)

    def _quota(self, terms: NetworkTerms) -> int | None:
        own = terms.quota_per_namespace
        return own if own is not None else self._settings.defaults.quota_per_namespace

    def _verdict(self, owner: Fact, prefixes: tuple[PrefixOffer, ...]) -> tuple[str | None, str]:
        if self._settings.multus and self._nad is None:
            return Reason.MULTUS_REQUIRES_NAD, (
                f"VirtualNetwork {owner.full_name} cannot be an external network: with Multus only "
                "NetworkAttachmentDefinitions define them; create a NetworkAttachmentDefinition for it"
            )
        if self._problems:
            return Reason.INVALID_ANNOTATION, shortened("; also: ".join(str(problem) for problem in self._problems))
        why = self._not_admitted(owner, prefixes)
        return (Reason.NETWORK_NOT_ADMITTED, why) if why else (None, "")

    def _not_admitted(self, owner: Fact, prefixes: tuple[PrefixOffer, ...]) -> str:
        """Return why an administrator's settings refuse the network; empty where they allow it."""
        name = owner.full_name
        if self._settings.restrict_networks and not self._admitted(owner):
            return (
                f"network {name} is not admitted, and the setting restrictNetworks serves admitted networks only; "
                f'have an administrator label Namespace {owner.namespace} with {ADMITTING_LABEL}: "true"'
            )
        for offer in prefixes:
            if why := why_not_external(cidr_of(offer.prefix), self._settings):
                return f"network {name}: {why}; choose a prefix inside, or have an administrator add it"
        return ""

    # -- the NAD's annotation ----------------------------------------------------------------------------------------

    def _nad_annotation(self) -> Mapping[str, Any] | None:
        """Return the JSON object of the NAD's annotation: None without annotation, {} if it cannot be read."""
        assert self._nad is not None
        text = self._nad.networks
        if text is None:
            return None
        try:
            raw = load_json(text)
        except (ValueError, RecursionError) as error:
            detail = f" ({error})" if isinstance(error, ValueError) else ""
            raw, problem = None, f"is not valid JSON{detail}"
        else:
            problem = "" if isinstance(raw, dict) else "is not a JSON object"
        if problem:
            self._unreadable = True
            self._refuse(problem, 'write {"ipamV4Subnet": "192.0.2.0/24"}')
            return {}
        declared: dict[str, Any] = raw
        unknown = sorted(key for key in declared if key not in _KNOWN_KEYS)
        if unknown:
            self._warnings.append(f"{_called(self._nad)}: unknown keys in {NETWORKS_ANNOTATION}: {', '.join(unknown)}")
        return declared

    def _refuse(self, problem: str, remedy: str, key: str = "") -> None:
        assert self._nad is not None
        field = f"annotation {NETWORKS_ANNOTATION}" + (f", {key}" if key else "")
        self._problems.append(BadInput(_called(self._nad), field, problem, remedy))

    # -- prefixes ----------------------------------------------------------------------------------------------------

    def _prefixes(self, declared: Mapping[str, Any] | None, terms: NetworkTerms) -> tuple[PrefixOffer, ...]:
        found: list[PrefixOffer] = []
        problems = len(self._problems)
        self._check_objects()
        for family, key in _PREFIX_KEYS:
            subnet = self._subnet(family, required=declared is None)
            cidr = self._cidr_of_nad(declared[key], key, family) if declared and declared.get(key) is not None else None
            if cidr is not None:
                found.append(self._by_nad(cidr, subnet, terms))
            elif declared is None and subnet is not None:
                offer = self._by_subnet(subnet, family, terms)
                found += [offer] if offer is not None else []
        if not found and not self._unreadable and len(self._problems) == problems:
            self._no_prefix()
        for span, text in terms.excluded:
            if not any(parse_cidr(offer.prefix, "", "").holds(span) for offer in found):
                self._warnings.append(f"excluded {text} does not lie inside the network's prefixes as a whole")
        return tuple(found)

    def _check_objects(self) -> None:
        """Collect the problems in the fields of the NAD and the VirtualNetwork."""
        for fact in (self._nad, self._vn):
            if fact is not None:
                self._problems += _wrong_fields(fact)
        if self._nad is not None and not self._nad.malformed and _config_of(self._nad) is None:
            remedy = f'write {{"cniVersion": "0.3.1", "type": "{CNI_TYPE}"}}'
            self._problems.append(BadInput(_called(self._nad), "spec.config", "is not a JSON object", remedy))

    def _no_prefix(self) -> None:
        if self._nad is not None:
            self._refuse("names no prefix", "set ipamV4Subnet, ipamV6Subnet or both")
        elif self._vn is not None:
            place = "spec.v4SubnetReference, spec.v6SubnetReference"
            remedy = "refer to a Subnet with a cidr"
            self._problems.append(BadInput(_called(self._vn), place, "give the network no prefix", remedy))

    def _cidr_of_nad(self, value: Any, key: str, family: Family) -> Cidr | None:
        assert self._nad is not None
        subject, field = _called(self._nad), f"annotation {NETWORKS_ANNOTATION}, {key}"
        if not isinstance(value, str):
            self._refuse(f"{value!r} is not a prefix", "write it as a string, or null", key)
            return None
        if not value.strip():
            return None
        return self._cidr(value, subject, field, family)

    def _cidr(self, text: str, subject: str, field: str, family: Family) -> Cidr | None:
        try:
            cidr = parse_cidr(text, subject, field, family)
        except BadInput as problem:
            self._problems.append(problem)
            return None
        if why := why_unroutable(cidr):
            self._problems.append(BadInput(subject, field, why, "use a prefix that routers can forward"))
            return None
        if cidr.cleared:
            self._warnings.append(
                f"{subject}, {field}: the host bits of {text.strip()} are cleared; {cidr.text} counts"
            )
        return cidr

    def _subnet(self, family: Family, *, required: bool) -> SubnetFact | None:
        """Return the Subnet that the VirtualNetwork references, or the NAD's own."""
        name = ""
        if self._vn is not None:
            name = self._vn.v4_subnet if family == 4 else self._vn.v6_subnet
        if not name and self._nad is not None:
            name, required = f"{self._nad.full_name}-v{family}", False
        if not name:
            return None
        subnet = self._view.subnet(name)
        if subnet is not None:
            self._objects.append(_key_of(subnet))
        elif required and self._vn is not None:
            self._problems.append(
                BadInput(
                    _called(self._vn),
                    f"spec.v{family}SubnetReference",
                    f"names Subnet {name}, which does not exist",
                    "create it, or correct the reference",
                )
            )
        return subnet

    def _by_nad(self, cidr: Cidr, subnet: SubnetFact | None, terms: NetworkTerms) -> PrefixOffer:
        """Return the NAD's prefix with the gateway and ranges of its Subnet, as far as they fit. The Subnet follows the
        NAD and may be behind.
        """
        if subnet is None:
            return _offer(cidr, "", (), terms)
        problems: list[BadInput] = []
        problems += _wrong_fields(subnet)
        gateway, ranges = self._plan_of(subnet, cidr, problems)
        self._warnings += [str(problem) for problem in problems]
        return _offer(cidr, gateway, ranges, terms)

    def _by_subnet(self, subnet: SubnetFact, family: Family, terms: NetworkTerms) -> PrefixOffer | None:
        self._problems += _wrong_fields(subnet)
        if not subnet.cidr.strip():
            if _lacks_cidr(subnet):
                return None
            self._problems.append(BadInput(_called(subnet), "spec.cidr", "is empty", "write a prefix"))
            return None
        cidr = self._cidr(subnet.cidr, _called(subnet), "spec.cidr", family)
        if cidr is None:
            return None
        gateway, ranges = self._plan_of(subnet, cidr, self._problems)
        return _offer(cidr, gateway, ranges, terms)

    @staticmethod
    def _plan_of(subnet: SubnetFact, cidr: Cidr, problems: list[BadInput]) -> tuple[str, tuple[Span, ...]]:
        """Return gateway and usable ranges of a Subnet; whatever is outside the prefix goes to ``problems``."""
        subject = _called(subnet)
        gateway, ranges = "", []
        if subnet.default_gateway.strip():
            field = "spec.defaultGateway"
            try:
                span = parse_span(subnet.default_gateway, subject, field)
                _inside(span, cidr, subnet.default_gateway, subject, field)
                gateway = to_text(span.low, span.family)
            except BadInput as problem:
                problems.append(problem)
        for low, high in subnet.ranges:
            field = "spec.ranges"
            try:
                span = parse_range(low, high, subject, field)
                _inside(span, cidr, f"{low}-{high}", subject, field)
                ranges.append(span)
            except BadInput as problem:
                problems.append(problem)
        return gateway, tuple(ranges)

    # -- route targets -----------------------------------------------------------------------------------------------

    def _targets(self, declared: Mapping[str, Any] | None) -> RouteTargets:
        own = together([self._listed(declared, key) for key in TARGET_KEYS], self._vn)
        owner = self._nad or self._vn
        assert owner is not None
        routers = self._view.routers_of(owner.full_name)
        self._warnings += routers.problems
        return with_routers(own, routers)

    def _listed(self, declared: Mapping[str, Any] | None, key: str) -> tuple[str, ...]:
        value = declared.get(key) if declared is not None else None
        found = listed(value)
        if found is None:
            self._refuse(f"{value!r} is not a list of route targets", 'write ["target:64512:100"], or null', key)
        return found or ()


def _offer(cidr: Cidr, gateway: str, ranges: tuple[Span, ...], terms: NetworkTerms) -> PrefixOffer:
    whole = ((cidr.low, cidr.high),)
    excluded = [(span.low, span.high) for span, _ in terms.excluded if span.family == cidr.family]
    return PrefixOffer(
        family=cidr.family,
        prefix=cidr.text,
        gateway=gateway,
        ranges=_texts(normalise((span.low, span.high) for span in ranges), cidr.family),
        excluded=_texts(intersect(excluded, whole), cidr.family),
    )


def _texts(pairs: tuple[tuple[int, int], ...], family: Family) -> tuple[tuple[str, str], ...]:
    return tuple((to_text(low, family), to_text(high, family)) for low, high in pairs)


def _inside(span: Span, cidr: Cidr, text: str, subject: str, field: str) -> None:
    if not cidr.holds(span):
        raise BadInput(subject, field, f"{text} is outside {cidr.text}", "write addresses inside the prefix")


def _wrong_fields(fact: NetworkAttachmentDefinitionFact | VirtualNetworkFact | SubnetFact) -> list[BadInput]:
    return [BadInput(_called(fact), field, problem, "correct the object") for field, problem in fact.malformed]


def _lacks_cidr(subnet: SubnetFact) -> bool:
    """Return whether the prefix is missing because it could not be read, which is reported already."""
    return any(field in {"spec", "spec.cidr"} for field, _ in subnet.malformed)


def _called(fact: Fact) -> str:
    return f"{getattr(fact, 'kind', 'object')} {fact.full_name}"


def _key_of(fact: NetworkAttachmentDefinitionFact | VirtualNetworkFact | SubnetFact) -> str:
    return fact_key(fact.kind, fact.namespace, fact.name)
