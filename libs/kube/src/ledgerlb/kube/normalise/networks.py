"""Facts of the network kinds: NetworkAttachmentDefinition and CN2's own, in any of their versions.

The versions differ in fields that we do not read, so one reader serves them all. A value of the wrong type does not
hide the object: the kinds behind external networks note it in ``malformed``, and Services that need it get the reason.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ledgerlb.cn2.model import MANAGED_BY, MANAGED_BY_LABEL
from ledgerlb.core.cluster.facts import (
    CN2ObjectFact,
    KubemanagerFact,
    NetworkAttachmentDefinitionFact,
    SubnetFact,
    VirtualMachineInterfaceFact,
    VirtualNetworkFact,
    VirtualNetworkRouterFact,
)
from ledgerlb.kube.normalise.fields import Lenient, Raw, WrongField, mapping, mappings, text, texts, tree
from ledgerlb.kube.normalise.meta import Meta

NETWORKS_ANNOTATION: Final = "juniper.net/networks"
NAD_NAME_ANNOTATION: Final = "juniper.net/nad-name"
NAD_NAMESPACE_ANNOTATION: Final = "juniper.net/nad-namespace"
CN2_FINALIZERS: Final = "kube-manager.juniper.net"
POD_NAME_ANNOTATION: Final = "kube-manager.juniper.net/pod-name"
POD_NAMESPACE_ANNOTATION: Final = "kube-manager.juniper.net/pod-namespace"


def network_attachment_definition(obj: Raw, meta: Meta) -> NetworkAttachmentDefinitionFact:
    """Normalise a NAD; its JSON stays raw."""
    lenient = Lenient()
    config = lenient.read({}, mapping, obj.get("spec"), "spec").get("config")
    config = lenient.read("", tree, config, "spec.config")
    return NetworkAttachmentDefinitionFact(
        **meta.common(),
        labels=meta.labels,
        networks=meta.annotations.get(NETWORKS_ANNOTATION),
        # JSON written as YAML is a frequent slip; it still shows which network was meant.
        config=lenient.read(json.dumps(config, default=str), text, config, "spec.config"),
        has_finalizer=meta.has_our_finalizer,
        kept_by_cn2=any(CN2_FINALIZERS in entry for entry in meta.finalizers),
        malformed=tuple(lenient.wrong),
    )


def virtual_network(obj: Raw, meta: Meta) -> VirtualNetworkFact:
    """Normalise a VirtualNetwork."""
    lenient = Lenient()
    spec = lenient.read({}, mapping, obj.get("spec"), "spec")
    nad = meta.annotations.get(NAD_NAME_ANNOTATION, "")
    nad_namespace = meta.annotations.get(NAD_NAMESPACE_ANNOTATION, "") or meta.namespace
    return VirtualNetworkFact(
        **meta.common(),
        labels=meta.labels,
        v4_subnet=lenient.read("", _reference, spec.get("v4SubnetReference"), "spec.v4SubnetReference", meta.namespace),
        v6_subnet=lenient.read("", _reference, spec.get("v6SubnetReference"), "spec.v6SubnetReference", meta.namespace),
        route_targets=lenient.read((), _targets, spec.get("routeTargetList"), "spec.routeTargetList"),
        import_route_targets=lenient.read(
            (), _targets, spec.get("importRouteTargetList"), "spec.importRouteTargetList"
        ),
        export_route_targets=lenient.read(
            (), _targets, spec.get("exportRouteTargetList"), "spec.exportRouteTargetList"
        ),
        nad=f"{nad_namespace}/{nad}" if nad else "",
        malformed=tuple(lenient.wrong),
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


def _targets(value: Any, field: str) -> tuple[str, ...]:
    # NADs write several in one string, so we accept that here too.
    listed = value.split(",") if isinstance(value, str) else texts(value, field)
    return tuple(part.strip() for part in listed if part.strip())


def subnet(obj: Raw, meta: Meta) -> SubnetFact:
    """Normalise a Subnet; addresses stay as written."""
    lenient = Lenient()
    spec = lenient.read({}, mapping, obj.get("spec"), "spec")
    return SubnetFact(
        **meta.common(),
        cidr=lenient.read("", text, spec.get("cidr"), "spec.cidr"),
        default_gateway=lenient.read("", text, spec.get("defaultGateway"), "spec.defaultGateway"),
        ranges=lenient.read((), _ranges, spec.get("ranges"), "spec.ranges"),
        ours=meta.labels.get(MANAGED_BY_LABEL) == MANAGED_BY,
        malformed=tuple(lenient.wrong),
    )


def _ranges(value: Any, field: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (text(entry.get("from"), f"{at}.from"), text(entry.get("to"), f"{at}.to"))
        for group, place in mappings(value, field)
        for entry, at in mappings(group.get("ipRanges"), f"{place}.ipRanges")
    )


def kubemanager(obj: Raw, meta: Meta) -> KubemanagerFact:
    """Normalise a Kubemanager; the selectors stay raw."""
    lenient = Lenient()
    spec = lenient.read({}, mapping, obj.get("spec"), "spec")
    selectors = lenient.read({}, _selectors, spec.get("externalNetworkSelectors"), "spec.externalNetworkSelectors")
    return KubemanagerFact(**meta.common(), external_network_selectors=dict(selectors), malformed=tuple(lenient.wrong))


def _selectors(value: Any, field: str) -> Raw:
    found = mapping(value, field)
    for name in found:
        if not isinstance(name, str):
            raise WrongField(field, f"{name!r} is not the name of a selector (quote it)")
    tree(found, field)
    return found


def virtual_network_router(obj: Raw, meta: Meta) -> VirtualNetworkRouterFact:
    """Normalise a VirtualNetworkRouter; its selectors stay raw."""
    lenient = Lenient()
    spec = lenient.read({}, mapping, obj.get("spec"), "spec")
    selector = lenient.read({}, mapping, spec.get("virtualNetworkSelector"), "spec.virtualNetworkSelector")
    imported = lenient.read({}, mapping, spec.get("import"), "spec.import")
    listed = lenient.read((), _entries, imported.get("virtualNetworkRouters"), "spec.import.virtualNetworkRouters")
    return VirtualNetworkRouterFact(
        **meta.common(),
        labels=meta.labels,
        type=lenient.read("", text, spec.get("type"), "spec.type"),
        network_selector=None if spec.get("virtualNetworkSelector") is None else dict(selector),
        imports=listed,
        malformed=tuple(lenient.wrong),
    )


def _entries(value: Any, field: str) -> tuple[Raw, ...]:
    return tuple(dict(entry) for entry, _ in mappings(value, field))


def virtual_machine_interface(obj: Raw, meta: Meta) -> VirtualMachineInterfaceFact:
    """Normalise a CN2 interface; ``pod`` comes from CN2's annotations."""
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
        spec=dict(tree(mapping(obj.get("spec"), "spec"), "spec")),
    )


def instance_ip(obj: Raw, meta: Meta) -> CN2ObjectFact:
    """Normalise an InstanceIP."""
    return _object(obj, meta, "InstanceIP")


def floating_ip(obj: Raw, meta: Meta) -> CN2ObjectFact:
    """Normalise a FloatingIP."""
    return _object(obj, meta, "FloatingIP")
