"""Facts of Kubernetes' own kinds: Service, Namespace, EndpointSlice, Endpoints, Pod, Node."""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import (
    EXCLUDE_NODE_LABEL,
    FINALIZER,
    OWN_CONDITIONS,
    PORTS_ERROR,
    Condition,
    Endpoint,
    EndpointPort,
    EndpointsFact,
    EndpointSliceFact,
    EndpointsSubset,
    NamespaceFact,
    NodeFact,
    PodFact,
    ServiceFact,
    ServicePort,
)
from ledgerlb.core.cluster.services import ANNOTATION_SOURCE_RANGES, split_ranges
from ledgerlb.kube.normalise.fields import (
    Raw,
    WrongField,
    flag,
    items,
    mapping,
    mappings,
    number,
    port_number,
    text,
    text_map,
    texts,
)
from ledgerlb.kube.normalise.meta import Meta

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
SLICE_MANAGED_BY_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR_LABEL: Final = "endpointslice.kubernetes.io/skip-mirror"
NETWORK_STATUS_ANNOTATIONS: Final = ("k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status")
AFFINITY_SECONDS: Final = 10800
_FAMILIES: Final[dict[str, Family]] = {"IPv4": 4, "IPv6": 6}


def service(obj: Raw, meta: Meta) -> ServiceFact:
    """Normalise a Service of any type."""
    spec = mapping(obj.get("spec"), "spec")
    affinity = text(spec.get("sessionAffinity"), "spec.sessionAffinity")
    return ServiceFact(
        **meta.common(),
        labels=meta.labels,
        generation=number(meta.raw.get("generation"), "metadata.generation"),
        type=text(spec.get("type"), "spec.type") or "ClusterIP",
        cluster_ips=_cluster_ips(spec),
        ip_families=tuple(
            _family(entry, f"spec.ipFamilies[{at}]")
            for at, entry in enumerate(items(spec.get("ipFamilies"), "spec.ipFamilies"))
        ),
        ip_family_policy=text(spec.get("ipFamilyPolicy"), "spec.ipFamilyPolicy"),
        load_balancer_class=_optional_text(spec.get("loadBalancerClass"), "spec.loadBalancerClass"),
        load_balancer_ip=text(spec.get("loadBalancerIP"), "spec.loadBalancerIP"),
        source_ranges=_source_ranges(spec, meta),
        external_traffic_policy=text(spec.get("externalTrafficPolicy"), "spec.externalTrafficPolicy"),
        session_affinity=affinity,
        session_affinity_timeout=_affinity_seconds(spec) if affinity == "ClientIP" else 0,
        ports=tuple(_service_port(entry, at) for entry, at in mappings(spec.get("ports"), "spec.ports")),
        has_selector=bool(mapping(spec.get("selector"), "spec.selector")),
        selector=text_map(spec.get("selector"), "spec.selector"),
        has_finalizer=FINALIZER in meta.finalizers,
        ingress=_ingress(obj),
        conditions=_shown_conditions(obj),
        requester=meta.first_spec_manager(),
    )


def _shown_conditions(obj: Raw) -> tuple[Condition, ...]:
    """Return the conditions of the types that LedgerLB writes."""
    status = mapping(obj.get("status"), "status")
    found = [
        Condition(
            type=kind,
            status=text(entry.get("status"), f"{at}.status"),
            reason=text(entry.get("reason"), f"{at}.reason"),
            message=text(entry.get("message"), f"{at}.message"),
            observed_generation=number(entry.get("observedGeneration"), f"{at}.observedGeneration"),
            since=text(entry.get("lastTransitionTime"), f"{at}.lastTransitionTime"),
        )
        for entry, at in mappings(status.get("conditions"), "status.conditions")
        if (kind := text(entry.get("type"), f"{at}.type")).startswith(OWN_CONDITIONS) or kind == PORTS_ERROR
    ]
    return tuple(sorted(found, key=lambda condition: condition.type))


def _cluster_ips(spec: Raw) -> tuple[str, ...]:
    listed = texts(spec.get("clusterIPs"), "spec.clusterIPs")
    if listed:
        return listed
    single = text(spec.get("clusterIP"), "spec.clusterIP")
    return (single,) if single else ()


def _family(value: Any, field: str) -> Family:
    family = _FAMILIES.get(text(value, field))
    if family is None:
        raise WrongField(field, f"{value!r} is neither IPv4 nor IPv6")
    return family


def _optional_text(value: Any, field: str) -> str | None:
    return None if value is None else text(value, field)


def _source_ranges(spec: Raw, meta: Meta) -> tuple[str, ...]:
    listed = texts(spec.get("loadBalancerSourceRanges"), "spec.loadBalancerSourceRanges")
    if listed:
        return tuple(entry.strip() for entry in listed)
    return split_ranges(meta.annotations.get(ANNOTATION_SOURCE_RANGES, ""))


def _affinity_seconds(spec: Raw) -> int:
    config = mapping(spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig")
    client = mapping(config.get("clientIP"), "spec.sessionAffinityConfig.clientIP")
    return number(client.get("timeoutSeconds"), "spec.sessionAffinityConfig.clientIP.timeoutSeconds", AFFINITY_SECONDS)


def _service_port(entry: Raw, field: str) -> ServicePort:
    port = port_number(entry.get("port"), f"{field}.port")
    if not port:
        raise WrongField(f"{field}.port", "is missing")
    target = entry.get("targetPort")
    if not isinstance(target, str):
        target = port_number(target, f"{field}.targetPort")
    return ServicePort(
        name=text(entry.get("name"), f"{field}.name"),
        protocol=text(entry.get("protocol"), f"{field}.protocol") or "TCP",
        port=port,
        target_port=target or port,
    )


def _ingress(obj: Raw) -> tuple[str, ...]:
    balancer = mapping(mapping(obj.get("status"), "status").get("loadBalancer"), "status.loadBalancer")
    field = "status.loadBalancer.ingress"
    found = (text(entry.get("ip"), f"{at}.ip") for entry, at in mappings(balancer.get("ingress"), field))
    return tuple(address for address in found if address)


def namespace(obj: Raw, meta: Meta) -> NamespaceFact:  # noqa: ARG001 - all normalisers have one shape
    """Normalise a Namespace."""
    return NamespaceFact(**meta.common(), labels=meta.labels)


def endpoint_slice(obj: Raw, meta: Meta) -> EndpointSliceFact | None:
    """Normalise an EndpointSlice; None if it belongs to no Service."""
    owner = meta.labels.get(SERVICE_NAME_LABEL, "")
    if not owner:
        return None
    return EndpointSliceFact(
        **meta.common(),
        service=owner,
        address_type=text(obj.get("addressType"), "addressType") or "IPv4",
        managed_by=meta.labels.get(SLICE_MANAGED_BY_LABEL, ""),
        ports=tuple(_endpoint_port(entry, at) for entry, at in mappings(obj.get("ports"), "ports")),
        endpoints=tuple(_endpoint(entry, at) for entry, at in mappings(obj.get("endpoints"), "endpoints")),
    )


def _endpoint_port(entry: Raw, field: str) -> EndpointPort:
    return EndpointPort(
        name=text(entry.get("name"), f"{field}.name"),
        protocol=text(entry.get("protocol"), f"{field}.protocol") or "TCP",
        port=port_number(entry.get("port"), f"{field}.port"),
    )


def _endpoint(entry: Raw, field: str) -> Endpoint:
    conditions = mapping(entry.get("conditions"), f"{field}.conditions")
    target = mapping(entry.get("targetRef"), f"{field}.targetRef")
    return Endpoint(
        addresses=texts(entry.get("addresses"), f"{field}.addresses"),
        # Unknown counts as ready and serving, and as not terminating: that is how the API defines absent conditions.
        ready=flag(conditions.get("ready"), f"{field}.conditions.ready", default=True),
        serving=flag(conditions.get("serving"), f"{field}.conditions.serving", default=True),
        terminating=flag(conditions.get("terminating"), f"{field}.conditions.terminating", default=False),
        node=text(entry.get("nodeName"), f"{field}.nodeName"),
        target_kind=text(target.get("kind"), f"{field}.targetRef.kind"),
        target_namespace=text(target.get("namespace"), f"{field}.targetRef.namespace"),
        target_name=text(target.get("name"), f"{field}.targetRef.name"),
    )


def endpoints(obj: Raw, meta: Meta) -> EndpointsFact | None:
    """Normalise Endpoints; None if the API server mirrors them into slices."""
    if meta.labels.get(SKIP_MIRROR_LABEL) != "true":
        return None
    return EndpointsFact(
        **meta.common(),
        subsets=tuple(
            EndpointsSubset(
                ports=tuple(_endpoint_port(entry, at) for entry, at in mappings(subset.get("ports"), f"{field}.ports")),
                endpoints=(
                    *_raw_endpoints(subset.get("addresses"), f"{field}.addresses", ready=True),
                    *_raw_endpoints(subset.get("notReadyAddresses"), f"{field}.notReadyAddresses", ready=False),
                ),
            )
            for subset, field in mappings(obj.get("subsets"), "subsets")
        ),
    )


def _raw_endpoints(value: Any, field: str, *, ready: bool) -> list[Endpoint]:
    found = []
    for entry, at in mappings(value, field):
        address = text(entry.get("ip"), f"{at}.ip")
        if not address:
            raise WrongField(f"{at}.ip", "is missing")
        conditions = {"ready": ready, "serving": ready}
        found.append(_endpoint({**entry, "addresses": [address], "conditions": conditions}, at))
    return found


def pod(obj: Raw, meta: Meta) -> PodFact:
    """Normalise a Pod, whether or not a Service needs it."""
    spec = mapping(obj.get("spec"), "spec")
    status = mapping(obj.get("status"), "status")
    return PodFact(
        **meta.common(),
        node=text(spec.get("nodeName"), "spec.nodeName"),
        ips=_pod_ips(status),
        phase=text(status.get("phase"), "status.phase"),
        network_status=next((meta.annotations[k] for k in NETWORK_STATUS_ANNOTATIONS if k in meta.annotations), ""),
    )


def _pod_ips(status: Raw) -> tuple[str, ...]:
    listed = tuple(
        address
        for entry, at in mappings(status.get("podIPs"), "status.podIPs")
        if (address := text(entry.get("ip"), f"{at}.ip"))
    )
    if listed:
        return listed
    single = text(status.get("podIP"), "status.podIP")
    return (single,) if single else ()


def node(obj: Raw, meta: Meta) -> NodeFact:
    """Normalise a Node."""
    spec = mapping(obj.get("spec"), "spec")
    status = mapping(obj.get("status"), "status")
    listed = [
        (entry.get("type") == "InternalIP", text(entry.get("address"), f"{at}.address"))
        for entry, at in mappings(status.get("addresses"), "status.addresses")
    ]
    pod_cidr = text(spec.get("podCIDR"), "spec.podCIDR")
    return NodeFact(
        **meta.common(),
        addresses=tuple(address for internal, address in listed if internal),
        other_addresses=tuple(address for internal, address in listed if address and not internal),
        pod_cidrs=texts(spec.get("podCIDRs"), "spec.podCIDRs") or ((pod_cidr,) if pod_cidr else ()),
        excluded=_is_set(meta.labels.get(EXCLUDE_NODE_LABEL)),
    )


def _is_set(label: str | None) -> bool:
    """Return whether a label that counts by its presence is set; ``false`` in any spelling unsets it."""
    return label is not None and label.strip().lower() != "false"
