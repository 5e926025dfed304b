"""Facts of the network kinds: NetworkAttachmentDefinition and CN2's own, in any of their versions.

The versions differ in fields that we do not read, so one reader serves them all.
"""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.core.cn2.model import MANAGED_BY, MANAGED_BY_LABEL
from ledgerlb.core.facts import (
    CN2ObjectFact,
    KubemanagerFact,
    NetworkAttachmentDefinitionFact,
    SubnetFact,
    VirtualMachineInterfaceFact,
    VirtualNetworkFact,
)
from ledgerlb.kube.fields import Raw, mapping, mappings, text, texts
from ledgerlb.kube.meta import Meta

NETWORKS_ANNOTATION: Final = "juniper.net/networks"
NAD_NAME_ANNOTATION: Final = "juniper.net/nad-name"
NAD_NAMESPACE_ANNOTATION: Final = "juniper.net/nad-namespace"
CN2_FINALIZERS: Final = "kube-manager.juniper.net"
POD_NAME_ANNOTATION: Final = "kube-manager.juniper.net/pod-name"
POD_NAMESPACE_ANNOTATION: Final = "kube-manager.juniper.net/pod-namespace"


def network_attachment_definition(obj: Raw, meta: Meta) -> NetworkAttachmentDefinitionFact:
    """A NAD; its JSON stays raw."""
    return NetworkAttachmentDefinitionFact(
        **meta.common(),
        labels=meta.labels,
        networks=meta.annotations.get(NETWORKS_ANNOTATION),
        config=text(mapping(obj.get("spec"), "spec").get("config"), "spec.config"),
        has_finalizer=meta.has_our_finalizer,
        kept_by_cn2=any(CN2_FINALIZERS in entry for entry in meta.finalizers),
    )


def virtual_network(obj: Raw, meta: Meta) -> VirtualNetworkFact:
    """A VirtualNetwork."""
    spec = mapping(obj.get("spec"), "spec")
    nad = meta.annotations.get(NAD_NAME_ANNOTATION, "")
    nad_namespace = meta.annotations.get(NAD_NAMESPACE_ANNOTATION, "") or meta.namespace
    return VirtualNetworkFact(
        **meta.common(),
        labels=meta.labels,
        v4_subnet=_reference(spec.get("v4SubnetReference"), "spec.v4SubnetReference", meta.namespace),
        v6_subnet=_reference(spec.get("v6SubnetReference"), "spec.v6SubnetReference", meta.namespace),
        route_targets=_targets(spec, "routeTargetList"),
        import_route_targets=_targets(spec, "importRouteTargetList"),
        export_route_targets=_targets(spec, "exportRouteTargetList"),
        nad=f"{nad_namespace}/{nad}" if nad else "",
    )


def _reference(value: Any, field: str, namespace: str) -> str:
    """``namespace/name`` of an ObjectReference; the referring object's namespace where it names none, empty where
    it is absent.
    """
    reference = mapping(value, field)
    name = text(reference.get("name"), f"{field}.name")
    if not name:
        return ""
    return f"{text(reference.get('namespace'), f'{field}.namespace') or namespace}/{name}"


def _targets(spec: Raw, key: str) -> tuple[str, ...]:
    value = spec.get(key)
    if isinstance(value, str):  # NADs write several in one string; the same is taken here
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return texts(value, f"spec.{key}")


def subnet(obj: Raw, meta: Meta) -> SubnetFact:
    """A Subnet; addresses stay as written."""
    spec = mapping(obj.get("spec"), "spec")
    return SubnetFact(
        **meta.common(),
        cidr=text(spec.get("cidr"), "spec.cidr"),
        default_gateway=text(spec.get("defaultGateway"), "spec.defaultGateway"),
        ranges=tuple(
            (text(entry.get("from"), f"{at}.from"), text(entry.get("to"), f"{at}.to"))
            for group, field in mappings(spec.get("ranges"), "spec.ranges")
            for entry, at in mappings(group.get("ipRanges"), f"{field}.ipRanges")
        ),
        ours=meta.labels.get(MANAGED_BY_LABEL) == MANAGED_BY,
    )


def kubemanager(obj: Raw, meta: Meta) -> KubemanagerFact:
    """A Kubemanager; the selectors stay raw."""
    spec = mapping(obj.get("spec"), "spec")
    field = "spec.externalNetworkSelectors"
    selectors = mapping(spec.get("externalNetworkSelectors"), field)
    for name in selectors:
        text(name, f"{field} (name of a selector)")
    return KubemanagerFact(**meta.common(), external_network_selectors=dict(selectors))


def virtual_machine_interface(obj: Raw, meta: Meta) -> VirtualMachineInterfaceFact:
    """A CN2 interface; ``pod`` comes from CN2's annotations."""
    spec = mapping(obj.get("spec"), "spec")
    pod = meta.annotations.get(POD_NAME_ANNOTATION, "")
    namespace = meta.annotations.get(POD_NAMESPACE_ANNOTATION, "") or meta.namespace
    return VirtualMachineInterfaceFact(
        **meta.common(),
        pod=f"{namespace}/{pod}" if pod else "",
        network=_reference(spec.get("virtualNetworkReference"), "spec.virtualNetworkReference", meta.namespace),
    )


def _object(obj: Raw, meta: Meta, kind: Any) -> CN2ObjectFact:
    return CN2ObjectFact(
        **meta.common(),
        kind=kind,
        ours=meta.labels.get(MANAGED_BY_LABEL) == MANAGED_BY,
        spec=dict(mapping(obj.get("spec"), "spec")),
    )


def instance_ip(obj: Raw, meta: Meta) -> CN2ObjectFact:
    """An InstanceIP."""
    return _object(obj, meta, "InstanceIP")


def floating_ip(obj: Raw, meta: Meta) -> CN2ObjectFact:
    """A FloatingIP."""
    return _object(obj, meta, "FloatingIP")
