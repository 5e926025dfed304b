"""Objects with values of every wrong kind, from an API server or a folder: a fact, nothing, or BadInput comes of them.

Each seed mutates one object of one kind: values are replaced, removed, wrapped, repeated. The same seeds run every time.
"""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import decode_fact, encode_fact, key_of
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.normalise.dispatch import fact_of, name_of, subject_of
from ledgerlb.kube.source import ClusterSource, ProblemLog, seen

SEEDS = 150
"""Rounds of each kind; every round mutates a fresh object several times."""

META = {
    "name": "x", "namespace": "a", "uid": "u1", "resourceVersion": "7", "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
    "labels": {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/skip-mirror": "true"},
    "annotations": {"juniper.net/networks": "{}", "k8s.v1.cni.cncf.io/network-status": "[]", "kube-manager.juniper.net/pod-name": "p"},
    "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    "ownerReferences": [{"kind": "X", "name": "y", "uid": "z"}],
    "managedFields": [{"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}],
}  # fmt: skip
OBJECTS: dict[str, dict[str, Any]] = {
    "Service": {
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "loadBalancerClass": "x/y", "loadBalancerIP": "192.0.2.1",
            "loadBalancerSourceRanges": ["192.0.2.0/24"], "externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}, "healthCheckNodePort": 31000,
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30000}],
            "selector": {"app": "x"},
        },
        "status": {
            "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]},
            "conditions": [{"type": "ledgerlb.io/Ready", "status": "True", "reason": "R", "message": "m", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    },
    "Namespace": {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
    "EndpointSlice": {
        "addressType": "IPv4", "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}, "nodeName": "n", "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "u"}}],
    },
    "Endpoints": {"subsets": [{"ports": [{"port": 80}], "addresses": [{"ip": "10.0.0.1", "nodeName": "n"}], "notReadyAddresses": [{"ip": "10.0.0.2"}]}]},
    "Pod": {"spec": {"nodeName": "n", "hostNetwork": False}, "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}},
    "Node": {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}], "conditions": [{"type": "Ready", "status": "True"}]}},
    "NetworkAttachmentDefinition": {"spec": {"config": "{}"}},
    "VirtualNetwork": {"spec": {"v4SubnetReference": {"namespace": "a", "name": "s"}, "routeTargetList": ["1:2"], "importRouteTargetList": ["1:2"], "exportRouteTargetList": "1:2,3:4"}},
    "Subnet": {"spec": {"cidr": "192.0.2.0/24", "defaultGateway": "192.0.2.1", "ranges": [{"ipRanges": [{"from": "192.0.2.2", "to": "192.0.2.9"}]}]}},
    "Kubemanager": {"spec": {"externalNetworkSelectors": {"default-external": {"networkSelector": {"matchLabels": {"a": "b"}}}}}},
    "VirtualMachineInterface": {"spec": {"virtualNetworkReference": {"name": "v"}}},
    "InstanceIP": {"spec": {"instanceIPAddress": "192.0.2.1", "virtualNetworkReference": {"name": "v"}}},
    "FloatingIP": {"spec": {"floatingIP": "192.0.2.1", "parent": {"kind": "VirtualNetwork", "name": "v"}}},
}  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, float("inf"), float("nan"), 10**30, 2**63, -(2**63) - 1, "", " ", "x", "\x00", "\x1b[31m", "é\u202e",
    "0001-01-01T00:00:00+14:00", "9" * 400, "null", [], [[]], [None], [1], ["x"], [{}], {}, {"": ""}, {"x": None}, {"x": {"x": []}},
]  # fmt: skip


def mutated(kind: str, chance: random.Random) -> Any:
    obj = copy.deepcopy({"apiVersion": "v1", "kind": kind, "metadata": META, **OBJECTS[kind]})
    for _ in range(chance.randrange(1, 5)):
        here: Any = obj
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(here[key], dict | list) and here[key] and chance.random() < 0.75:
                here = here[key]
                continue
            match chance.randrange(4):
                case 0:
                    del here[key]
                case 1:
                    here[key] = [here[key]]
                case _:
                    here[key] = copy.deepcopy(chance.choice(ODD))
            break
    return obj


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_unharmed_object_is_a_fact(kind):
    fact = fact_of({"kind": kind, "metadata": META, **OBJECTS[kind]}, every_pod=True)
    assert fact is not None
    assert decode_fact(key_of(fact), encode_fact(fact)) == fact


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_mutated_object_is_a_fact_or_bad_input(kind):
    refused = 0
    for seed in range(SEEDS):
        chance = random.Random(f"{kind}/{seed}")
        for _ in range(10):
            obj = mutated(kind, chance)
            try:
                subject_of(obj, kind)
                name_of(obj, kind)
                fact = fact_of(obj, kind, every_pod=True)
            except BadInput:
                refused += 1
                continue
            if fact is not None:
                assert decode_fact(key_of(fact), encode_fact(fact)).kind == fact.kind
            facts, _ = seen(kind, [obj], lambda _: None)
            for entry in facts:
                encode_fact(entry)
    assert refused > SEEDS // 10, "the mutations hit nothing"


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_mutated_object_of_a_folder_is_taken_or_bad_input(kind):
    cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    source = ClusterSource(cluster, ProblemLog())
    for seed in range(SEEDS):
        chance = random.Random(f"folder/{kind}/{seed}")
        obj = mutated(kind, chance)
        try:
            cluster.key_of(obj)
            fact_of(obj, kind, every_pod=True)
            cluster.apply(obj, manager="manifest x.yaml")
        except BadInput:
            continue
        source.pump(lambda batch: None)


@pytest.mark.parametrize(
    "status", [{"conditions": None}, {"loadBalancer": None}, {"loadBalancer": {"ingress": None}}, None], ids=str
)
def test_null_where_a_list_may_be(status):
    fact = fact_of({"kind": "Service", "metadata": META, "spec": {"ports": None}, "status": status})
    assert fact is not None


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {"name": []}}, {"kind": []}])
@pytest.mark.parametrize("kind", ["Service", "Node", ""])
def test_what_is_hardly_an_object(obj, kind):
    with pytest.raises(BadInput):
        name_of(obj, kind)
    subject_of(obj, kind)
