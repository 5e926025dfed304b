"""Facts: what the watcher tells about the cluster, one normalised object per record.

Topic ``ledgerlb.facts.v1``, key ``Kind/namespace/name`` (cluster-scoped kinds leave the namespace empty: ``Node//n1``).
Value: the JSON of one class below; an empty value (tombstone) means that the object is gone. After each full list of a
kind the watcher appends a ``Synced`` marker under ``Synced//<Kind>``: every object of the kind comes before it.

A fact holds only what some decision reads, so an edit of anything else makes no record. Text that a person typed
(annotations, NAD JSON, selectors) stays verbatim: whether it parses is a decision, made and explained downstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ledgerlb.core.addresses import Family
from ledgerlb.core.decoding import first_problem
from ledgerlb.core.errors import UndecodableRecord

Protocol = str
"""``TCP``, ``UDP``, ``SCTP``; anything else stays in the fact, so that a decision can refuse it visibly."""

FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
OWN_CONDITIONS: Final = "ledgerlb.io/"
"""Prefix of the types of our own Service conditions."""
PORTS_ERROR: Final = "LoadBalancerPortsError"
"""The Service API's own condition type for ports that a load balancer cannot serve."""
EXCLUDE_NODE_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"


Number = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""A number that every JSON reader reads alike."""
PortNumber = Annotated[int, Field(ge=0, le=65535)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fact(_Frozen):
    """Fields of every object. ``created`` is the RFC 3339 creationTimestamp (UTC, seconds), so text order is time
    order.
    """

    namespace: str = ""
    name: str
    uid: str = ""
    created: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    """Only annotations that LedgerLB or CN2 define, verbatim."""
    deleting: bool = False

    @property
    def full_name(self) -> str:
        """``namespace/name``, or ``name`` for a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


Malformed = tuple[tuple[str, str], ...]
"""Values of the wrong type in a custom resource, which an API server may accept: (field, problem) pairs. The fact holds
what can be read; a decision determines what the rest means.
"""


class ServicePort(_Frozen):
    """One entry of ``spec.ports``; ``target_port`` is a number or a port name."""

    name: str = ""
    protocol: Protocol = "TCP"
    port: PortNumber
    target_port: Number | str = 0


class Condition(_Frozen):
    """One entry of a Service's ``status.conditions``; ``since`` is its RFC 3339 lastTransitionTime (UTC, seconds)."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: Number = 0
    since: str = ""


class ServiceFact(Fact):
    """A Service of any type, because LedgerLB must clean up after one that stops being a LoadBalancer."""

    kind: Literal["Service"] = "Service"
    generation: Number = 0
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    ip_families: tuple[Family, ...] = ()
    ip_family_policy: str = ""
    load_balancer_class: str | None = None
    load_balancer_ip: str = ""
    source_ranges: tuple[str, ...] = ()
    external_traffic_policy: str = ""
    session_affinity: str = ""
    session_affinity_timeout: Number = 0
    """Seconds; 0 where affinity is off."""
    ports: tuple[ServicePort, ...] = ()
    has_selector: bool = True
    selector: Mapping[str, str] = {}
    has_finalizer: bool = False
    ingress: tuple[str, ...] = ()
    """Addresses in ``status.loadBalancer.ingress``."""
    conditions: tuple[Condition, ...] = ()
    """Entries of ``status.conditions`` with type ``ledgerlb.io/…`` or ``LoadBalancerPortsError``, sorted by type."""
    requester: str = ""
    """The field manager that first wrote the spec (``managedFields``): the API names the requester nowhere else."""
    too_large: str = ""
    """Why the Service is larger than a record may be; the other fields are then those of its last good state (see
    ``stub``)."""


class NamespaceFact(Fact):
    """A Namespace: its labels (selectors) and annotations (priority rungs)."""

    kind: Literal["Namespace"] = "Namespace"


class EndpointPort(_Frozen):
    """A port of an EndpointSlice; ``port`` 0 means "all ports"."""

    name: str = ""
    protocol: Protocol = "TCP"
    port: PortNumber = 0


class Endpoint(_Frozen):
    """One endpoint with Kubernetes' defaults for nil conditions already applied."""

    addresses: tuple[str, ...]
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    target_kind: str = ""
    target_namespace: str = ""
    target_name: str = ""


class EndpointSliceFact(Fact):
    """An EndpointSlice of the Service named ``service`` (label ``kubernetes.io/service-name``) in the same
    namespace.
    """

    kind: Literal["EndpointSlice"] = "EndpointSlice"
    service: str
    address_type: str = "IPv4"
    managed_by: str = ""
    ports: tuple[EndpointPort, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


class EndpointsSubset(_Frozen):
    """One subset of raw Endpoints: addresses that share ports."""

    ports: tuple[EndpointPort, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


class EndpointsFact(Fact):
    """Raw Endpoints that the API server does not mirror into slices (label
    ``endpointslice.kubernetes.io/skip-mirror``).
    """

    kind: Literal["Endpoints"] = "Endpoints"
    subsets: tuple[EndpointsSubset, ...] = ()


class PodFact(Fact):
    """A Pod that has secondary interfaces or is behind a watched Service. ``network_status`` is the raw annotation
    ``k8s.v1.cni.cncf.io/network-status`` (empty where absent).
    """

    kind: Literal["Pod"] = "Pod"
    node: str = ""
    ips: tuple[str, ...] = ()
    phase: str = ""
    network_status: str = ""


class NodeFact(Fact):
    """A Node; ``addresses`` are its InternalIPs, in the order of ``status.addresses``, ``other_addresses`` those of
    other types (host names among them).
    """

    kind: Literal["Node"] = "Node"
    addresses: tuple[str, ...] = ()
    other_addresses: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    excluded: bool = False
    """Labelled ``node.kubernetes.io/exclude-from-external-load-balancers``."""


class NetworkAttachmentDefinitionFact(Fact):
    """A NAD. ``networks`` is the raw annotation ``juniper.net/networks`` (None where absent), ``config`` the raw
    ``spec.config`` (as JSON, if it is not a string).
    """

    kind: Literal["NetworkAttachmentDefinition"] = "NetworkAttachmentDefinition"
    networks: str | None = None
    config: str = ""
    has_finalizer: bool = False
    kept_by_cn2: bool = False
    """Whether CN2's own controller added its finalizer, which means that CN2 creates the NAD's network."""
    malformed: Malformed = ()


class VirtualNetworkFact(Fact):
    """A VirtualNetwork. Subnet references are ``namespace/name`` (empty where absent); route targets are those of
    its spec.
    """

    kind: Literal["VirtualNetwork"] = "VirtualNetwork"
    v4_subnet: str = ""
    v6_subnet: str = ""
    route_targets: tuple[str, ...] = ()
    import_route_targets: tuple[str, ...] = ()
    export_route_targets: tuple[str, ...] = ()
    nad: str = ""
    """``namespace/name`` of the NAD that created it (annotations ``juniper.net/nad-name`` and ``-namespace``), or
    empty."""
    malformed: Malformed = ()


class SubnetFact(Fact):
    """A Subnet, its strings verbatim; ``ranges`` are (from, to) pairs."""

    kind: Literal["Subnet"] = "Subnet"
    cidr: str = ""
    default_gateway: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    ours: bool = False
    """Whether LedgerLB created it (label ``app.kubernetes.io/managed-by``)."""
    malformed: Malformed = ()


class KubemanagerFact(Fact):
    """A Kubemanager: ``external_network_selectors`` is the raw mapping ``spec.externalNetworkSelectors``. Anything
    ``malformed`` means that the mapping as a whole could not be read.
    """

    kind: Literal["Kubemanager"] = "Kubemanager"
    external_network_selectors: Mapping[str, Any] = {}
    malformed: Malformed = ()


class AddressPoolFact(Fact):
    """An AddressPool, LedgerLB's own kind, cluster-scoped. Text and selectors are verbatim; None where absent."""

    kind: Literal["AddressPool"] = "AddressPool"
    generation: Number = 0
    addresses: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    priority: Number = 0
    service_selector: Mapping[str, Any] | None = None
    namespace_selector: Mapping[str, Any] | None = None
    quota: Number | None = None
    quarantine: str | None = None
    lease: str | None = None
    disabled: bool = False
    auto_assign: bool = True
    spill_over: bool = False
    status: Mapping[str, Any] = {}
    """What the pool shows, as LedgerLB or another client wrote it."""
    malformed: Malformed = ()


class VirtualNetworkRouterFact(Fact):
    """A VirtualNetworkRouter, which joins networks of its namespace. ``type`` is ``mesh``, ``hub`` or ``spoke``,
    ``network_selector`` the raw ``spec.virtualNetworkSelector`` (None where absent), and ``imports`` the raw entries of
    ``spec.import.virtualNetworkRouters``.
    """

    kind: Literal["VirtualNetworkRouter"] = "VirtualNetworkRouter"
    type: str = ""
    network_selector: Mapping[str, Any] | None = None
    imports: tuple[Mapping[str, Any], ...] = ()
    malformed: Malformed = ()


class VirtualMachineInterfaceFact(Fact):
    """A CN2 interface of a pod on a network (both ``namespace/name``)."""

    kind: Literal["VirtualMachineInterface"] = "VirtualMachineInterface"
    pod: str = ""
    network: str = ""
    address: str = ""


class CN2ObjectFact(Fact):
    """An InstanceIP or FloatingIP in the cluster; ``ours`` tells whether LedgerLB created it, ``spec`` is raw."""

    kind: Literal["InstanceIP", "FloatingIP"]
    ours: bool = False
    spec: Mapping[str, Any] = {}


class SourceFact(Fact):
    """Where the facts of this log come from. One record, under ``Source//identity``.

    ``identity`` is ``cluster:UID`` (the uid of Namespace ``kube-system``), ``folder:UUID`` (the identity file of a
    folder of manifests) or ``path:PATH`` (a folder that cannot be written, or a single file). A watcher with another
    source refuses to write. ``replaces`` is the identity before an adoption, ``by`` who recorded this one, ``created``
    when.
    """

    kind: Literal["Source"] = "Source"
    name: str = "identity"
    identity: str
    replaces: str = ""
    by: str = ""


class WithheldFact(Fact):
    """A mass deletion that the watcher holds back: ``gone`` of ``held`` Services are missing from the source, or hold
    an address of a network that is. One record, under ``Withheld//deletions``; ``uid`` names the incident, ``until`` is
    the end of the grace period (RFC 3339), ``services`` are the first of the Services, ``networks`` of the networks.
    """

    kind: Literal["Withheld"] = "Withheld"
    name: str = "deletions"
    gone: Number
    held: Number
    until: str = ""
    services: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """What is lost, in words."""
        if not self.networks:
            return f"{self.gone} Services are missing"
        return f"{self.gone} Services are missing or hold addresses of missing networks ({', '.join(self.networks)})"


class ConfirmedFact(Fact):
    """An administrator's confirmation that a mass deletion is meant.

    One record, under ``Confirmed//deletions``; ``uid`` is the incident's, ``by`` who confirmed it, ``created`` when.
    """

    kind: Literal["Confirmed"] = "Confirmed"
    name: str = "deletions"
    by: str = ""


class Synced(_Frozen):
    """Marker: every object of kind ``of`` that exists at this point of the topic comes before it."""

    kind: Literal["Synced"] = "Synced"
    of: str
    present: bool = True
    """False where the cluster does not serve the kind (its CRD is absent): known to be empty."""
    version: str = ""
    """The API version under which it was listed; empty for a folder of manifests."""


class Gone(_Frozen):
    """The object under ``Kind/namespace/name`` no longer exists (decoded from a tombstone)."""

    kind: str
    namespace: str
    name: str

    @property
    def full_name(self) -> str:
        """``namespace/name``, or ``name`` for a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


AnyFact = (
    ServiceFact
    | NamespaceFact
    | EndpointSliceFact
    | EndpointsFact
    | PodFact
    | NodeFact
    | NetworkAttachmentDefinitionFact
    | VirtualNetworkFact
    | SubnetFact
    | KubemanagerFact
    | AddressPoolFact
    | VirtualNetworkRouterFact
    | VirtualMachineInterfaceFact
    | CN2ObjectFact
    | SourceFact
    | WithheldFact
    | ConfirmedFact
)
FactRecord = AnyFact | Synced | Gone

KINDS: Final = (
    "Service",
    "Namespace",
    "EndpointSlice",
    "Endpoints",
    "Pod",
    "Node",
    "NetworkAttachmentDefinition",
    "VirtualNetwork",
    "Subnet",
    "Kubemanager",
    "AddressPool",
    "VirtualNetworkRouter",
)
"""The kinds that must be ``Synced`` before LedgerLB decides anything, in the order in which they are listed."""

_FACT: Final[TypeAdapter[AnyFact | Synced]] = TypeAdapter(
    Annotated[AnyFact | Synced, Field(discriminator="kind")],
)


def fact_key(kind: str, namespace: str, name: str) -> str:
    """Return the record key of an object."""
    return f"{kind}/{namespace}/{name}"


def key_of(fact: AnyFact | Synced) -> str:
    """Return the record key of a fact or marker."""
    if isinstance(fact, Synced):
        return fact_key("Synced", "", fact.of)
    return fact_key(fact.kind, fact.namespace, fact.name)


def encode_fact(fact: AnyFact | Synced) -> bytes:
    """Return canonical JSON bytes: equal facts have equal bytes. Defaults are left out, ``kind`` is not."""
    body = fact.model_dump_json(exclude_defaults=True, exclude={"kind"})
    head = f'{{"kind":"{fact.kind}"'
    return (head + ("}" if body == "{}" else "," + body[1:])).encode()


def decode_fact(key: str, value: bytes | None) -> FactRecord:
    """Decode one record; raises UndecodableRecord with key and field."""
    kind, _, rest = key.partition("/")
    namespace, slash, name = rest.partition("/")
    if not slash or not name:
        raise UndecodableRecord(f"fact {key!r}", "key", "is not Kind/namespace/name", "drop the record")
    if not value:
        return Gone(kind=kind, namespace=namespace, name=name)
    try:
        fact = _FACT.validate_json(value)
    except ValidationError as error:
        raise UndecodableRecord(f"fact {key!r}", *first_problem(error), "the watcher must write it again") from error
    if key_of(fact) != key:
        raise UndecodableRecord(
            f"fact {key!r}", "value", f"describes {key_of(fact)}", "the watcher must write it again"
        )
    return fact
