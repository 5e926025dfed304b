"""Facts of the network kinds: NetworkAttachmentDefinition and CN2's own, in any of their versions.

The versions differ in fields that we do not read, so one reader serves them all. A ``spec`` that cannot be read makes a
fact that says so: the object exists, and what depends on it must not go by what it said before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from ledgerlb.kube.fields import Raw, WrongField, mapping, mappings, text, texts
from ledgerlb.kube.meta import Meta

NETWORKS_ANNOTATION: Final = "juniper.net/networks"
NAD_NAME_ANNOTATION: Final = "juniper.net/nad-name"
NAD_NAMESPACE_ANNOTATION: Final = "juniper.net/nad-namespace"
CN2_FINALIZERS: Final = "kube-manager.juniper.net"
POD_NAME_ANNOTATION: Final = "kube-manager.juniper.net/pod-name"
POD_NAMESPACE_ANNOTATION: Final = "kube-manager.juniper.net/pod-namespace"


def _read(read: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What ``read`` takes from the ``spec``, or only what is wrong with it."""
    try:
        return dict(read())
    except WrongField as wrong:
        return {"malformed": (wrong.field, wrong.problem)}


def network_attachment_definition(obj: Raw, meta: Meta) -> NetworkAttachmentDefinitionFact:
    """A NAD; its JSON stays raw."""

    def spec() -> Mapping[str, Any]:
        return {"config": text(mapping(obj.get("spec"), "spec").get("config"), "spec.config")}

    return NetworkAttachmentDefinitionFact(
        **meta.common(),
        labels=meta.labels,
        networks=meta.annotations.get(NETWORKS_ANNOTATION),
        has_finalizer=meta.has_our_finalizer,
        kept_by_cn2=any(CN2_FINALIZERS in entry for entry in meta.finalizers),
        **_read(spec),
    )


def virtual_network(obj: Raw, meta: Meta) -> VirtualNetworkFact:
    """A VirtualNetwork."""
    nad = meta.annotations.get(NAD_NAME_ANNOTATION, "")
    nad_namespace = meta.annotations.get(NAD_NAMESPACE_ANNOTATION, "") or meta.namespace

    def spec() -> Mapping[str, Any]:
        found = mapping(obj.get("spec"), "spec")
        return {
            "v4_subnet": _reference(found.get("v4SubnetReference"), "spec.v4SubnetReference", meta.namespace),
            "v6_subnet": _reference(found.get("v6SubnetReference"), "spec.v6SubnetReference", meta.namespace),
            "route_targets": _targets(found, "routeTargetList"),
            "import_route_targets": _targets(found, "importRouteTargetList"),
            "export_route_targets": _targets(found, "exportRouteTargetList"),
        }

    return VirtualNetworkFact(
        **meta.common(), labels=meta.labels, nad=f"{nad_namespace}/{nad}" if nad else "", **_read(spec)
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

    def spec() -> Mapping[str, Any]:
        found = mapping(obj.get("spec"), "spec")
        return {
            "cidr": text(found.get("cidr"), "spec.cidr"),
            "default_gateway": text(found.get("defaultGateway"), "spec.defaultGateway"),
            "ranges": tuple(
                (text(entry.get("from"), f"{at}.from"), text(entry.get("to"), f"{at}.to"))
                for group, field in mappings(found.get("ranges"), "spec.ranges")
                for entry, at in mappings(group.get("ipRanges"), f"{field}.ipRanges")
            ),
        }

    return SubnetFact(**meta.common(), ours=meta.labels.get(MANAGED_BY_LABEL) == MANAGED_BY, **_read(spec))


def kubemanager(obj: Raw, meta: Meta) -> KubemanagerFact:
    """A Kubemanager; the selectors stay raw."""

    def spec() -> Mapping[str, Any]:
        field = "spec.externalNetworkSelectors"
        selectors = mapping(mapping(obj.get("spec"), "spec").get("externalNetworkSelectors"), field)
        for name in selectors:
            text(name, f"{field} (name of a selector)")
        return {"external_network_selectors": dict(selectors)}

    return KubemanagerFact(**meta.common(), **_read(spec))


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
