"""Declare every kind that LedgerLB reads or writes: group, plural, scope and version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ledgerlb.cn2.model import GROUP, MANAGED_BY, MANAGED_BY_LABEL

CORE_CONTRAIL: Final = GROUP
CONFIGPLANE: Final = "configplane.juniper.net"
OWN_GROUP: Final = "ledgerlb.io"
POOL_VERSION: Final = "v1alpha1"
"""The version of AddressPools in which this version of LedgerLB writes their status."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of the API. Without a ``version``, we ask the server and take the newest that it serves. ``selector`` is a
    label selector that limits what we watch.
    """

    kind: str
    group: str
    plural: str
    namespaced: bool
    version: str | None = None
    selector: str = ""

    @property
    def optional(self) -> bool:
        """Whether the kind comes from a CustomResourceDefinition, which may be absent."""
        return self.version is None

    def path(self, version: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, object or subresource.

        An empty ``namespace`` means all namespaces.
        """
        root = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        parts = [root]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def api_version(self, version: str) -> str:
        """Return the ``apiVersion`` of its objects."""
        return f"{self.group}/{version}" if self.group else version


_OURS: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"

WATCHED: Final = (
    Kind("Service", "", "services", namespaced=True, version="v1"),
    Kind("Namespace", "", "namespaces", namespaced=False, version="v1"),
    Kind("EndpointSlice", "discovery.k8s.io", "endpointslices", namespaced=True, version="v1"),
    Kind(
        "Endpoints", "", "endpoints", namespaced=True, version="v1",
        selector="endpointslice.kubernetes.io/skip-mirror=true",
    ),
    Kind("Pod", "", "pods", namespaced=True, version="v1"),
    Kind("Node", "", "nodes", namespaced=False, version="v1"),
    Kind("NetworkAttachmentDefinition", "k8s.cni.cncf.io", "network-attachment-definitions", namespaced=True),
    Kind("VirtualNetwork", CORE_CONTRAIL, "virtualnetworks", namespaced=True),
    Kind("Subnet", CORE_CONTRAIL, "subnets", namespaced=True),
    Kind("Kubemanager", CONFIGPLANE, "kubemanagers", namespaced=True),
    Kind("AddressPool", OWN_GROUP, "addresspools", namespaced=False),
    Kind("VirtualNetworkRouter", CORE_CONTRAIL, "virtualnetworkrouters", namespaced=True),
    Kind("VirtualMachineInterface", CORE_CONTRAIL, "virtualmachineinterfaces", namespaced=True),
    Kind("InstanceIP", CORE_CONTRAIL, "instanceips", namespaced=False, selector=_OURS),
    Kind("FloatingIP", CORE_CONTRAIL, "floatingips", namespaced=False, selector=_OURS),
)  # fmt: skip
"""Kinds that the watcher lists and watches, in the order in which it begins."""

WRITTEN: Final = (Kind("Event", "", "events", namespaced=True, version="v1"),)
"""Kinds that LedgerLB only writes."""

BY_KIND: Final = {entry.kind: entry for entry in (*WATCHED, *WRITTEN)}
CLUSTER_SCOPED: Final = frozenset(
    {entry.kind for entry in BY_KIND.values() if not entry.namespaced}
    | {
        "RouteTarget",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "PersistentVolume",
        "IngressClass",
    },
)

_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?\Z")
_STAGE: Final = {"alpha": 0, "beta": 1, None: 2}


def newest_first(versions: list[str]) -> list[str]:
    """Sort API versions by Kubernetes' preference: v2, v1, v1beta1, v1alpha2, v1alpha1, then anything else by name."""

    def rank(version: str) -> tuple[int, int, int]:
        found = _VERSION.match(version)
        if found is None:
            return (-1, 0, 0)
        return (_STAGE[found[2]], int(found[1]), int(found[3] or 0))

    return sorted(sorted(versions), key=rank, reverse=True)
