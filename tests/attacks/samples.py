"""Honest input to begin with: objects of every kind, and the records, files and logs that come of them."""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from ledgerlb.core.ledger.heads import encode_head
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.embedded.heads import heads_path, read_file, write_file
from ledgerlb.eventlog.port import NewRecord, Record
from ledgerlb.eventlog.topics import ALL_TOPICS, DEAD_LETTERS, FACTS, HEADS
from tests.builders.objects import ADDRESSES, NETWORK, backends, nad, service
from tests.support.simulate import apply, base, delete, document, simulation_of

META: Final[dict[str, Any]] = {
    "name": "x", "namespace": "a", "uid": "u1", "resourceVersion": "7", "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
    "labels": {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/skip-mirror": "true"},
    "annotations": {"juniper.net/networks": "{}", "k8s.v1.cni.cncf.io/network-status": "[]", "kube-manager.juniper.net/pod-name": "p"},
    "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    "ownerReferences": [{"kind": "X", "name": "y", "uid": "z"}],
    "managedFields": [{"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}],
}  # fmt: skip
OBJECTS: Final[dict[str, dict[str, Any]]] = {
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
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
LETTER: Final = {"topic": FACTS.name, "offset": 1, "key": "k", "service": "ipam", "sha256": "", "message": ""}
MERGES: Final = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 8)
)
"""471 bytes that are a billion keys."""
SETTINGS: Final = {
    "contrailNamespace": "contrail",
    "kubemanager": {"namespace": "contrail", "name": "k"},
    "externalNetworkSelectors": {"default-external": {"networkSelector": {"matchLabels": {"a": "b"}}}},
    "networkNamespaces": "tier=edge",
    "externalPrefixes": ["192.0.2.0/24"],
    "restrictNetworks": False,
    "defaults": {"quarantine": "5m", "lease": "24h", "quotaPerNamespace": 3},
    "agentTimeout": "5m",
}
STEPS: Final = [
    apply(
        *base(
            nad("net/two", "198.51.100.0/24", "2001:db8::/64"),
            service("a/s"),
            service("a/asks", {ADDRESSES: "192.168.102.9"}),
            service("a/both", {NETWORK: "net/two"}, ipFamilyPolicy="RequireDualStack"),
            service("a/none", {NETWORK: "net/none"}),
            backends("a/s", n1=["10.1.1.1"]),
        )
    ),
    {"advance": "1m"},
    apply(service("a/s", {NETWORK: "net/two"})),
    delete("Service", "a/asks"),
    {"advance": "10m"},
]


def whole(kind: str) -> dict[str, Any]:
    """An object of the kind with every part that LedgerLB reads."""
    return {"apiVersion": "v1", "kind": kind, "metadata": META, **OBJECTS[kind]}


@functools.cache
def records() -> tuple[Record, ...]:
    """What a cluster wrote, in the order of the log: allocations, a move, a release; and a dead letter."""
    simulation = simulation_of(STEPS)

    async def run() -> None:
        async for _ in simulation.run():
            pass

    asyncio.run(run())
    engine = simulation.engine
    written = [record for topic in ALL_TOPICS for record in engine.records(topic)]
    heads = [
        Record(HEADS.name, 0, name, encode_head(name, state.head, NOW), 0)
        for name, state in engine.view.ledger.networks.items()
    ]
    letter = Record(DEAD_LETTERS.name, 0, "k", json.dumps(LETTER).encode(), 0)
    return (*written, *heads, letter)


def of_topic(name: str) -> tuple[Record, ...]:
    """The records of one topic that have a value, each key's last one."""
    return tuple({record.key: record for record in records() if record.topic == name and record.value}.values())


def manifest() -> bytes:
    """Every object of the samples in one YAML file, and the YAML that bites."""
    return (
        yaml.safe_dump_all([whole(kind) for kind in OBJECTS]).encode()
        + f"---\n{MERGES[:200]}\n---\nx: &x [1, *x]\n".encode()
    )


def scenario() -> bytes:
    """A scenario file."""
    return json.dumps(document(STEPS, SETTINGS)).encode()


@functools.cache
def log_file() -> bytes:
    """An embedded log as a file: what ``ledgerlb backup`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        asyncio.run(_write_log(path))
        return path.read_bytes()


def heads_files() -> list[bytes]:
    """The file of remembered heads beside a log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "ledger.db"
        write_file(log, of_topic(HEADS.name))
        assert read_file(log)
        return [heads_path(log).read_bytes()]


async def _write_log(path: Path) -> None:
    async with connect(f"sqlite://{path}") as log:
        await log.provision()
        await log.remember_heads([NewRecord(head.key, head.value) for head in of_topic(HEADS.name)])
        for topic in ALL_TOPICS:
            found = [NewRecord(record.key, record.value) for record in records() if record.topic == topic.name]
            await log.append(topic, found)
