"""The wanted form of a CN2 object, its name, and how objects refer to one another.

A reference is a Kubernetes ObjectReference plus ``fqName``, the list of names that CN2 knows the object by:
``[default-domain, namespace, name]`` for a namespaced object, ``[name]`` for a cluster-scoped one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledgerlb.core.cluster.facts import Fact

GROUP: Final = "core.contrail.juniper.net"
DEFAULT_VERSION: Final = "v1alpha1"
"""The API version for a cluster that does not report which one it serves (a folder of manifests, a scenario)."""
DOMAIN: Final = "default-domain"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "ledgerlb"
OWNER_ANNOTATION: Final = "ledgerlb.io/service"
"""On InstanceIPs and FloatingIPs: ``namespace/name`` of the Service; several, comma-separated, where Services share
the address."""
CARRIED_ANNOTATION: Final = "ledgerlb.io/carried-labels"
"""On a NAD's VirtualNetwork: which of its labels come from the NAD, comma-separated, so that they go with it."""

MAX_NAME: Final = 253
"""Characters of the name of an object."""
_HASH: Final = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """A wanted object: the cluster must have every field that is set here, and may have any others."""

    kind: str
    namespace: str
    name: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    version: str = DEFAULT_VERSION

    @property
    def key(self) -> tuple[str, str]:
        """Kind and full name."""
        return self.kind, f"{self.namespace}/{self.name}" if self.namespace else self.name

    def body(self) -> dict[str, Any]:
        """Return the whole object, ready to create."""
        place = {"namespace": self.namespace} if self.namespace else {}
        return {
            "apiVersion": f"{GROUP}/{self.version}",
            "kind": self.kind,
            "metadata": {
                **place,
                "name": self.name,
                "labels": {**self.labels, MANAGED_BY_LABEL: MANAGED_BY},
                "annotations": dict(self.annotations),
            },
            "spec": dict(self.spec),
        }


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about an object's owner: a reason and a sentence."""

    reason: str
    message: str


def object_name(*parts: str) -> str:
    """Return a name made of ``parts``; cut one that is too long, and make it unique by a digest of the whole."""
    name = ".".join(("ledgerlb", *parts))
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
    return f"{name[: MAX_NAME - _HASH - 1].rstrip('.-')}.{digest}"


def reference(kind: str, full_name: str, version: str) -> dict[str, Any]:
    """Return the reference to an object (``namespace/name``, or ``name`` of a cluster-scoped one)."""
    namespace, _, name = full_name.rpartition("/")
    found: dict[str, Any] = {"apiVersion": f"{GROUP}/{version}", "kind": kind}
    if namespace:
        found["namespace"] = namespace
    return {**found, "name": name, "fqName": fq_name(full_name)}


def owners_of(fact: Fact) -> tuple[str, ...]:
    """Return the Services (``namespace/name``) that an InstanceIP or FloatingIP serves, from its annotation."""
    names = (name.strip() for name in fact.annotations.get(OWNER_ANNOTATION, "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def fq_name(full_name: str) -> list[str]:
    """See module."""
    namespace, _, name = full_name.rpartition("/")
    return [DOMAIN, namespace, name] if namespace else [name]
