"""Where a measurement runs: one API server with its etcd, one broker, and which core each process gets.

- **shared**: every process shares all cores. Processes reach the containers through published loopback ports.
- **partitioned**: etcd, the API server and the client share core 0; the broker and the controller share core 1. That is how
  production looks, where the API server has a machine of its own. All processes share the network namespace of the API
  server's container, so that they reach each other over its loopback and the engine's proxy is not in between.
"""

from __future__ import annotations
from tests.builders import objects

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.bench import cpu
from tests.support import kube_objects as kube
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster

Layout = Literal["shared", "partitioned"]
LAYOUTS: Final[tuple[Layout, ...]] = ("shared", "partitioned")
HEAP: Final = "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1"
"""Memory of the broker's JVM, and its quick compiler only: the optimising one would compile for all of a run this short."""
API_CORE: Final = "0"
CONTROLLER_CORE: Final = "1"
_INSIDE_PORT: Final = 6443


@dataclass(frozen=True)
class Lab:
    """``kubeconfig`` and ``bootstrap`` as seen by the processes; ``as_controller`` and ``as_client`` are command prefixes."""

    layout: Layout
    server: KubeApiServer
    broker: KafkaBroker
    kubeconfig: Path
    bootstrap: str
    as_controller: Sequence[str]
    as_client: Sequence[str]

    def cluster_processes(self) -> dict[str, list[int]]:
        """The processes of the API server by name."""
        found = {name: cpu.family(pid) for name, pid in self.server.pids.items()}
        if self.layout == "shared":
            found["container engine's proxy (API)"] = cpu.published_by(_port(self.server.url))
        return found

    def broker_processes(self) -> dict[str, list[int]]:
        """The processes of the broker by name."""
        found = {"Kafka broker": cpu.family(self.broker.pid)}
        if self.layout == "shared":
            found["container engine's proxy (Kafka)"] = cpu.published_by(_port(self.bootstrap))
        return found


@contextlib.contextmanager
def lab(layout: Layout, broker: KafkaBroker | None = None) -> Iterator[Lab]:
    """Start the API server and the broker with one external network, namespace ``bench``. ``broker``, not started yet,
    replaces the one of the shared layout.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(KubeApiServer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ledgerlb-bench-")))
        with Cluster(server.kubeconfig) as cluster:
            cluster.install_definitions()
            cluster.ensure_namespaces(objects.namespace("contrail"), objects.namespace("bench", objects.ADMITTED))
            cluster.create_all([kube.kubemanager(), objects.default_nad("bench/external", "10.64.0.0/16")])
        if layout == "shared":
            broker = stack.enter_context(broker or KafkaBroker(heap=HEAP))
            yield Lab(layout, server, broker, server.kubeconfig_path, broker.bootstrap, (), ())
            return
        assert (os.cpu_count() or 1) >= 2, "the partitioned layout needs two cores"
        pid = server.pids["kube-apiserver"]
        server.pin(API_CORE)
        broker = stack.enter_context(KafkaBroker(heap=HEAP, beside=server))
        broker.pin(CONTROLLER_CORE)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            re.sub(r"https://127\.0\.0\.1:\d+", f"https://127.0.0.1:{_INSIDE_PORT}", server.kubeconfig), "utf-8"
        )
        enter = ("nsenter", "--target", str(pid), "--net")
        yield Lab(
            layout, server, broker, kubeconfig, broker.bootstrap,
            (*enter, "taskset", "--cpu-list", CONTROLLER_CORE), (*enter, "taskset", "--cpu-list", API_CORE),
        )  # fmt: skip


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
