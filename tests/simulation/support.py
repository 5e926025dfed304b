"""Builders for small scenarios, and a way to run them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledgerlb.cli.simulation.faults import Fault
from ledgerlb.cli.simulation.runner import Simulation
from ledgerlb.cli.simulation.scenario import load_scenario
from ledgerlb.core.ledger.audit import Audit, AuditReport
from ledgerlb.eventlog.topics import LEDGER

NETWORK = "service.contrail.juniper.net/externalNetwork"
SELECTOR = "service.contrail.juniper.net/externalNetworkSelector"
ADDRESSES = "ledgerlb.io/addresses"
SHARING = "ledgerlb.io/sharing-key"
DEFAULT_LABELS = {NETWORK: "default-external"}

Object = dict[str, Any]


def meta(full_name: str, **more: Any) -> Object:
    namespace, _, name = full_name.rpartition("/")
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def namespace(
    name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})},
    }


def kubemanager(selectors: Mapping[str, Any] | None = None) -> Object:
    found = selectors or {"default-external": {"networkSelector": {"matchLabels": DEFAULT_LABELS}}}
    return {
        "apiVersion": "configplane.juniper.net/v1",
        "kind": "Kubemanager",
        "metadata": meta("contrail/contrail-k8s-kubemanager"),
        "spec": {"externalNetworkSelectors": found},
    }


def nad(
    full_name: str,
    v4: str | None = "192.0.2.0/24",
    v6: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    raw: str | None = None,
) -> Object:
    networks = raw if raw is not None else json.dumps({"ipamV4Subnet": v4, "ipamV6Subnet": v6})
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": meta(
            full_name,
            labels=dict(DEFAULT_LABELS if labels is None else labels),
            annotations={"juniper.net/networks": networks, **(annotations or {})},
        ),
        "spec": {"config": '{"cniVersion": "0.3.1", "type": "contrail-k8s-cni"}'},
    }


def node(name: str, address: str = "10.10.0.1") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(full_name: str, annotations: Mapping[str, str] | None = None, port: int = 80, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(full_name, annotations=dict(annotations or {})),
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": full_name.rpartition("/")[2]},
            "ports": [{"name": "http", "protocol": "TCP", "port": port, "targetPort": 8080}],
            **spec,
        },
    }


def endpoints(service_name: str, **pods: list[str]) -> Object:
    """One slice; keyword arguments are nodes (``_`` for ``-``) with the addresses of their ready pods."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(f"{service_name}-1", labels={"kubernetes.io/service-name": service_name.rpartition("/")[2]}),
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": [
            {"addresses": [pod], "nodeName": name.replace("_", "-"), "conditions": {"ready": True}}
            for name, found in pods.items()
            for pod in found
        ],
    }


def base(*more: Object) -> list[Object]:
    """A namespace ``a``, the default selector, one /24 that it chooses, one node; and more."""
    return [namespace("contrail"), namespace("a"), kubemanager(), nad("net/ext"), node("n1"), *more]


def apply(*objects: Object) -> Object:
    return {"apply": list(objects)}


def delete(kind: str, full_name: str) -> Object:
    namespace_of, _, name = full_name.rpartition("/")
    return {"delete": [{"kind": kind, "name": name, **({"namespace": namespace_of} if namespace_of else {})}]}


def document(steps: list[Object], settings: Mapping[str, Any] | None = None) -> Object:
    return {
        "apiVersion": "ledgerlb.io/v1alpha1",
        "kind": "Scenario",
        **({"settings": dict(settings)} if settings else {}),
        "steps": steps,
    }


def simulation_of(
    steps: list[Object], settings: Mapping[str, Any] | None = None, *, fault: Fault | None = None
) -> Simulation:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.yaml"
        file.write_text(json.dumps(document(steps, settings)), "utf-8")
        return Simulation(load_scenario(file), fault=fault)


def run(
    steps: list[Object], settings: Mapping[str, Any] | None = None, *, fault: Fault | None = None
) -> list[dict[str, Any]]:
    """The JSON object of each step."""
    return run_simulation(simulation_of(steps, settings, fault=fault))


def run_simulation(simulation: Simulation) -> list[dict[str, Any]]:
    """Run it; whatever the scenario is about, its ledger must verify."""

    async def steps() -> list[dict[str, Any]]:
        return [step async for step in simulation.run()]

    found = asyncio.run(steps())
    report = audit_of(simulation)
    assert report.clean, report.findings
    return found


def audit_of(simulation: Simulation) -> AuditReport:
    audit = Audit()
    for record in simulation.engine.records(LEDGER):
        audit.take(record.key, record.value)
    return audit.report()


def events(step: Mapping[str, Any]) -> list[str]:
    """Types of the ledger events of a step, in order."""
    return [event["type"] for entry in step["entries"] for event in entry["events"]]


def events_of(step: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for entry in step["entries"] for event in entry["events"] if event["type"] == kind]
