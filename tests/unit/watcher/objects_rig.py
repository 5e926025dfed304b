"""The processors of objects beside a publisher, between a log in memory and a cluster in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ledgerlb.core.errors import ClusterRefused
from ledgerlb.eventlog.port import Reader
from ledgerlb.kube.writer import Write
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.objects.networks import NetworkObjectReconciler
from ledgerlb.watcher.objects.services import ServiceObjectReconciler
from tests.unit.watcher.publisher_rig import QUICK, FlakyWriter, Rig

GROUP = "core.contrail.juniper.net/v1alpha1"
OURS = {"app.kubernetes.io/managed-by": "ledgerlb"}
Object = dict[str, Any]


class ObjectsRig(Rig):
    """``objects`` writes what the processors of objects write; ``writer`` stays the publisher's. ``enabled`` is the
    setting of both.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        super().__init__()
        self.objects = FlakyWriter(self.cluster)
        self.restart_objects()

    def restart_objects(self) -> None:
        """New processors that know nothing."""
        more = {"limits": QUICK, "enabled": self.enabled}
        self.processors: list[ObjectProcessor] = [
            NetworkObjectReconciler(self.settings, self.objects, lambda: self.now, **more),
            ServiceObjectReconciler(self.settings, self.objects, lambda: self.now, **more),
        ]
        self.readers: dict[str, Reader] = {}

    async def fold_objects(self) -> float | None:
        """Everything in the log into the processors of objects, whose writes are then done; the soonest wake-up."""
        wakes = []
        for processor in self.processors:
            if processor.name not in self.readers:
                self.readers[processor.name] = await self.log.open(list(processor.reads))
            while records := await self.readers[processor.name].poll(0.0):
                for record in records:
                    processor.take(record)
            wake = await processor.settle(self.log)
            assert await processor.idle(5.0)
            wakes += [] if wake is None else [wake]
        return min(wakes, default=None)

    async def turn(self, rounds: int = 4) -> float | None:
        """Cluster → log → everybody → cluster, until nothing moves any more."""
        wake = None
        for _ in range(rounds):
            await self.observe()
            await self.fold()
            assert await self.publisher.idle(5.0)
            wake = await self.fold_objects()
        return wake

    def wrote(self) -> list[str]:
        """What the processors of objects wrote since the last call, without Events: ``verb Kind name``."""
        done, self.objects.done = self.objects.done, []
        return [f"{write.verb} {write.kind} {write.name}" for write in done if write.kind != "Event"]

    def events(self) -> list[tuple[str, str]]:
        """(object, reason) of the Events of the processors of objects."""
        return [(event["involvedObject"]["name"], event["reason"]) for event in self.objects.memory.events]

    def spec(self, kind: str, name: str, namespace: str = "") -> Object:
        found = self.cluster.get(kind, namespace, name)
        assert found is not None, f"{kind} {name} is not there"
        return found["spec"]

    def names(self, kind: str) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.cluster.list(kind)]

    def apply(self, kind: str, name: str, namespace: str = "", *, api_version: str = GROUP, **more: Any) -> None:
        meta = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
        self.cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": meta, **more})

    def dies_after(self, count: int) -> Callable[[Write], Awaitable[None] | None]:
        """For ``objects.before``: nothing but Events is written any more once ``count`` writes are done."""
        left = count

        async def die() -> None:
            raise ClusterRefused("the process is gone")

        def before(write: Write) -> Awaitable[None] | None:
            nonlocal left
            if write.kind == "Event":
                return None
            left -= 1
            return die() if left < 0 else None

        return before

    def foreign_edit(self, kind: str, name: str, namespace: str = "", **body: Any) -> None:
        self.cluster.patch(kind, namespace, name, body)

    def endpoints(self, *pods: str, service: str = "web") -> None:
        """Ready pods behind the Service, each with an interface of CN2 named like it."""
        found = [
            {
                "addresses": [f"10.0.0.{number}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": "a", "name": pod},
            }
            for number, pod in enumerate(pods, 1)
        ]
        self.apply(
            "EndpointSlice", f"{service}-1", "a", api_version="discovery.k8s.io/v1", addressType="IPv4",
            metadata={"labels": {"kubernetes.io/service-name": service}},
            ports=[{"port": 80, "protocol": "TCP"}], endpoints=found,
        )  # fmt: skip

    def interface(self, pod: str, network: str = "contrail/default-podnetwork") -> None:
        namespace, _, name = network.partition("/")
        notes = {"kube-manager.juniper.net/pod-name": pod, "kube-manager.juniper.net/pod-namespace": "a"}
        self.apply(
            "VirtualMachineInterface", f"{pod}-eth0", "a", metadata={"annotations": notes},
            spec={"virtualNetworkReference": {"kind": "VirtualNetwork", "namespace": namespace, "name": name}},
        )  # fmt: skip

    def nad(self, networks: str, name: str = "net", **metadata: Any) -> None:
        notes = {"juniper.net/networks": networks, **metadata.pop("annotations", {})}
        self.apply(
            "NetworkAttachmentDefinition", name, "a", api_version="k8s.cni.cncf.io/v1",
            metadata={"annotations": notes, **metadata}, spec={"config": '{"type": "contrail-k8s-cni"}'},
        )  # fmt: skip
