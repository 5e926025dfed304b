"""A cluster in facts, for tests of networks and selection: builders with short names, and the documented example."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from ledgerlb.core.cluster.facts import (
    AnyFact,
    Gone,
    KubemanagerFact,
    NamespaceFact,
    NetworkAttachmentDefinitionFact,
    ServiceFact,
    SubnetFact,
    VirtualNetworkFact,
    fact_key,
    key_of,
)
from ledgerlb.core.cluster.services import ANNOTATION_NETWORK, ANNOTATION_SELECTOR, basis_of
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks import ExternalNetwork, networks
from ledgerlb.core.selection import Choice, SelectionContext, select
from ledgerlb.core.settings import DomainSettings
from tests.builders import entries, facts
from tests.builders.facts import split

NETWORK = ANNOTATION_NETWORK
SELECTOR = ANNOTATION_SELECTOR
START = datetime(2026, 1, 1, tzinfo=UTC)

DEFAULT_LABEL = {"service.contrail.juniper.net/externalNetwork": "default-external"}
SELECTORS = {
    "default-external": {"networkSelector": {"matchLabels": DEFAULT_LABEL}},
    "custom-external": {
        "namespaceSelector": {"matchLabels": {"customNamespaceKey": "custom-namespace-value"}},
        "networkSelector": {"matchLabels": {"customNetworkKey": "custom-network-value"}},
    },
    "custom-external-in-service-namespace": {
        "networkSelector": {
            "matchLabels": {"customExternalInServiceNetworkKey": "custom-external-in-service-network-value"}
        }
    },
}


def at(day: int) -> str:
    return f"2026-01-{day:02d}T00:00:00Z"


service = functools.partial(facts.service, has_finalizer=True, ip_families=(4,), created=at(20))


def namespace(
    name: str, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> NamespaceFact:
    return NamespaceFact(name=name, uid=f"uid-{name}", labels=labels or {}, annotations=annotations or {})


def vn(
    name: str,
    *cidrs: str,
    day: int = 1,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    gateway: str = "",
    ranges: tuple[tuple[str, str], ...] = (),
    **more: object,
) -> list[AnyFact]:
    """A VirtualNetwork with a Subnet per prefix."""
    fields: dict = {"uid": f"uid-{name}", "created": at(day)} | more
    subnets: list[AnyFact] = []
    for cidr in cidrs:
        family = 6 if ":" in cidr else 4
        subnet = f"{name}-v{family}"
        fields[f"v{family}_subnet"] = subnet
        subnets.append(SubnetFact(**split(subnet), cidr=cidr, default_gateway=gateway, ranges=ranges))
    made = VirtualNetworkFact(**split(name), labels=labels or {}, annotations=annotations or {}, **fields)
    return [made, *subnets]


def nad(name: str, networks: object = None, *, day: int = 1, **more: object) -> NetworkAttachmentDefinitionFact:
    """A NAD; ``networks`` is its annotation, as data or as raw text."""
    raw = networks if isinstance(networks, str) or networks is None else json.dumps(networks)
    fields: dict = {"uid": f"uid-nad-{name}", "config": '{"type": "contrail-k8s-cni"}'} | more
    return NetworkAttachmentDefinitionFact(**split(name), created=at(day), networks=raw, **fields)


def kubemanager(selectors: dict | None = None) -> KubemanagerFact:
    return KubemanagerFact(
        namespace="contrail",
        name="contrail-k8s-kubemanager",
        external_network_selectors=SELECTORS if selectors is None else selectors,
    )


def flat(facts: Iterable[AnyFact | list[AnyFact]]) -> list[AnyFact]:
    return [fact for item in facts for fact in (item if isinstance(item, list) else [item])]


class World:
    """A view with shorthands; ``settings`` as in production unless given."""

    def __init__(self, *facts: AnyFact | list[AnyFact], settings: DomainSettings | None = None) -> None:
        self.settings = settings or DomainSettings()
        self.view = ClusterView()
        self.put(*facts)

    def put(self, *facts: AnyFact | list[AnyFact]) -> World:
        for fact in flat(facts):
            self.view.take(key_of(fact), fact)
        return self

    def drop(self, kind: str, name: str) -> World:
        gone = Gone(kind=kind, **split(name)) if "/" in name else Gone(kind=kind, namespace="", name=name)
        self.view.take(fact_key(kind, gone.namespace, gone.name), gone)
        return self

    def networks(self, *holders: str) -> dict[str, ExternalNetwork]:
        return networks(self.view, self.settings, set(holders))

    def network(self, name: str, *holders: str) -> ExternalNetwork:
        return self.networks(*holders)[name]

    def select(self, of: ServiceFact, anchor: object = None, holders: Iterable[str] = ()) -> Choice:
        return select(SelectionContext.of(self.view, self.settings, set(holders)), of, anchor)


def holding(of: ServiceFact, network: str, address: str = "192.0.2.2", **more: object) -> Holding:
    fields = {"uid": of.uid, "basis": basis_of(of)} | more
    return entries.holding(address, network, of.full_name, **fields)


def documented() -> list[AnyFact]:
    """The namespaces, networks and selectors of the documented examples."""
    return flat(
        [
            kubemanager(),
            namespace("contrail"),
            namespace("custom-namespace", {"customNamespaceKey": "custom-namespace-value"}),
            namespace("ns-of-service"),
            vn("contrail/default-external-vn", "192.168.102.0/24", labels=DEFAULT_LABEL),
            vn(
                "custom-namespace/external-vn-1",
                "192.168.103.0/24",
                labels={"customNetworkKey": "custom-network-value"},
            ),
            vn(
                "custom-namespace/external-vn-2",
                "192.168.104.0/24",
                labels={"customExternalInServiceNetworkKey": "custom-external-in-service-network-value"},
            ),
        ]
    )
