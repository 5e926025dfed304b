"""The measuring client: creates Services, and watches for their addresses like any other user of the API."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kubernetes_asyncio import client, config

from tests.bench import cpu

CREATE_AT_ONCE = 16
"""Create requests under way at a time: enough to outrun any controller here, few enough not to measure the client."""


@dataclass
class Run:
    """Seconds at which each Service's create request was sent, and at which its address was seen; seconds of CPU that
    each process took from the first request to the last address.
    """

    asked: dict[str, float] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    """MiB of each controller process after the stream."""

    def latencies(self) -> list[float]:
        """Create → address, in milliseconds, ascending."""
        return sorted(1000 * (self.served[name] - self.asked[name]) for name in self.served)

    def quantile(self, share: float) -> float:
        """A quantile of the latencies in milliseconds."""
        found = self.latencies()
        return found[min(len(found) - 1, int(len(found) * share))]

    def rate(self) -> float:
        """Services served per second, from the first request to the last address."""
        return len(self.served) / (max(self.served.values()) - min(self.asked.values()))


class Bench:
    """One API server, one namespace at a time. ``processes`` are those whose CPU time is told, by name."""

    def __init__(self, core: client.CoreV1Api, processes: Mapping[str, Sequence[int]]) -> None:
        self._core = core
        self._processes = {**processes, "client": [os.getpid()]}

    async def namespace(self, name: str) -> None:
        """Create a namespace (its absence afterwards would be an error of the server)."""
        await self._core.create_namespace({"metadata": {"name": name}})

    async def burst(self, namespace: str, count: int, timeout: float) -> Run:
        """Create ``count`` Services as fast as the server takes them, and wait until each has its address."""

        async def create(run: Run) -> None:
            gate = asyncio.Semaphore(CREATE_AT_ONCE)

            async def one(number: int) -> None:
                async with gate:
                    await self._create(run, namespace, f"b{number:04}")

            await asyncio.gather(*(one(number) for number in range(count)))

        return await self._measure(namespace, count, timeout, create)

    async def steady(self, namespace: str, rate: float, seconds: float, timeout: float) -> Run:
        """Create ``rate`` Services a second for ``seconds``, and wait until each has its address."""
        count = int(rate * seconds)

        async def create(run: Run) -> None:
            began = time.monotonic()
            tasks = []
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                tasks.append(asyncio.create_task(self._create(run, namespace, f"s{number:04}")))
            await asyncio.gather(*tasks)

        return await self._measure(namespace, count, timeout, create)

    async def _create(self, run: Run, namespace: str, name: str) -> None:
        run.asked[name] = time.monotonic()
        await self._core.create_namespaced_service(
            namespace,
            {
                "metadata": {"name": name},
                "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}]},
            },
            _preload_content=False,
        )

    async def _measure(self, namespace: str, count: int, timeout: float, create: Callable) -> Run:
        run = Run()
        async with self._watch(namespace, run, count) as done:
            before = cpu.read(self._processes)
            async with asyncio.timeout(timeout):
                await create(run)
                await done.wait()
            run.cpu = cpu.between(before, cpu.read(self._processes))
        assert len(set(run.addresses.values())) == count, "two Services show one address"
        return run

    @asynccontextmanager
    async def _watch(self, namespace: str, run: Run, count: int) -> AsyncIterator[asyncio.Event]:
        done = asyncio.Event()
        listed = await self._core.list_namespaced_service(namespace)
        response = await self._core.list_namespaced_service(
            namespace,
            watch=True,
            resource_version=listed.metadata.resource_version,
            _preload_content=False,
            _request_timeout=600,
        )

        async def follow() -> None:
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                now = time.monotonic()
                for line in lines:
                    service = json.loads(line)["object"]
                    name = service["metadata"]["name"]
                    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress")
                    if ingress and name not in run.served:
                        run.served[name] = now
                        run.addresses[name] = ingress[0]["ip"]
                        if len(run.served) == count:
                            done.set()

        task = asyncio.create_task(follow())
        try:
            yield done
        finally:
            task.cancel()
            response.close()

    @staticmethod
    @asynccontextmanager
    async def connect(kubeconfig: str, processes: Mapping[str, Sequence[int]]) -> AsyncIterator[Bench]:
        """A client of the API server that the kubeconfig file names."""
        await config.load_kube_config(kubeconfig)
        async with client.ApiClient() as api:
            yield Bench(client.CoreV1Api(api), processes)
