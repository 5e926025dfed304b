"""Turn Kubernetes objects (raw JSON of any served version) into facts. Pure; one object at a time.

A fact holds checked values only. An object with a value of the wrong type raises BadInput, which names object and
field, and affects no other object. The kinds behind external networks are an exception, since a CRD without a schema
lets such values through: they still become facts, and ``malformed`` names what is wrong outside their metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from ledgerlb.core.cluster.facts import AnyFact
from ledgerlb.core.decoding import first_problem
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.kinds import CLUSTER_SCOPED, OWN_GROUP
from ledgerlb.kube.normalise import cluster, networks, pools
from ledgerlb.kube.normalise.fields import Raw, WrongField, mapping, text
from ledgerlb.kube.normalise.meta import Meta

Normaliser = Callable[[Raw, Meta], AnyFact | None]

_NORMALISERS: Final[Mapping[str, Normaliser]] = {
    "Service": cluster.service,
    "Namespace": cluster.namespace,
    "EndpointSlice": cluster.endpoint_slice,
    "Endpoints": cluster.endpoints,
    "Pod": cluster.pod,
    "Node": cluster.node,
    "NetworkAttachmentDefinition": networks.network_attachment_definition,
    "VirtualNetwork": networks.virtual_network,
    "Subnet": networks.subnet,
    "Kubemanager": networks.kubemanager,
    "AddressPool": pools.address_pool,
    "VirtualNetworkRouter": networks.virtual_network_router,
    "VirtualMachineInterface": networks.virtual_machine_interface,
    "InstanceIP": networks.instance_ip,
    "FloatingIP": networks.floating_ip,
}


def fact_of(obj: Mapping[str, Any], kind: str = "", *, every_pod: bool = False) -> AnyFact | None:
    """Return the fact of an object, or None if no service needs it.

    That is a kind that we do not read, an EndpointSlice of no Service, Endpoints that the API server mirrors, or a Pod
    without secondary interfaces (unless ``every_pod``). ``kind`` names the kind of an item of a list, which leaves it
    out. Raises BadInput.
    """
    found = _kind_of(obj, kind)
    normaliser = _NORMALISERS.get(found)
    if normaliser is None or _is_namesake(obj, found):
        return None
    try:
        fact = normaliser(obj, Meta.of(obj, namespaced=found not in CLUSTER_SCOPED))
    except WrongField as wrong:
        raise BadInput(subject_of(obj, kind), wrong.field, wrong.problem, "correct the object") from wrong
    except ValidationError as error:
        raise BadInput(subject_of(obj, kind), *first_problem(error), "correct the object") from error
    if found == "Pod" and not every_pod and not getattr(fact, "network_status", ""):
        return None
    return fact


def _is_namesake(obj: Mapping[str, Any], kind: str) -> bool:
    """Return whether the object is of another group's kind of that name: MetalLB has AddressPools too."""
    group, slash, _ = str(obj.get("apiVersion", "")).partition("/")
    return kind == "AddressPool" and bool(slash) and group != OWN_GROUP


def name_of(obj: Mapping[str, Any], kind: str = "") -> tuple[str, str]:
    """Return (namespace, name) of an object; the namespace of cluster-scoped kinds is empty.

    Raises BadInput if there is no name.
    """
    try:
        meta = mapping(obj.get("metadata"), "metadata")
        name = text(meta.get("name"), "metadata.name")
        namespace = text(meta.get("namespace"), "metadata.namespace")
    except WrongField as wrong:
        raise BadInput(subject_of(obj, kind), wrong.field, wrong.problem, "correct the object") from wrong
    if not name:
        raise BadInput(subject_of(obj, kind), "metadata.name", "is missing", "give the object a name")
    return ("" if _kind_of(obj, kind) in CLUSTER_SCOPED else namespace, name)


def subject_of(obj: Mapping[str, Any], kind: str = "") -> str:
    """Return ``Kind namespace/name`` as far as the object has them."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = {}
    named = _kind_of(obj, kind) or "object"
    namespace = "" if named in CLUSTER_SCOPED else meta.get("namespace")
    name = meta.get("name") or "(without a name)"
    return f"{named} {namespace}/{name}" if namespace else f"{named} {name}"


def _kind_of(obj: Mapping[str, Any], kind: str) -> str:
    found = kind or obj.get("kind")
    return found if isinstance(found, str) else ""
