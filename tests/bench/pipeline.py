"""Create → address through the real pipeline, beside a null controller, in one run on one API server and one broker.

Each side serves a warm-up, a burst and a steady stream, each in a namespace of its own, while the other is not running. The null
controller does so twice, before the pipeline and after it: machines grow slower and faster within minutes. The hops of the pipeline come from what the log says: the broker's timestamp of each record about a Service, beside the client's own clock (one
machine, one clock). CPU time is read from /proc, from the first create request to the last address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER
from tests.bench import cpu
from tests.bench.client import Bench, Run
from tests.support import kube_objects as kube
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

WARM_UP: Final = 300
BURST: Final = 500
STEADY_RATE: Final = 20.0
STEADY_SECONDS: Final = 20.0
QUICK_STEADY_SECONDS: Final = 5.0
HEAP: Final = "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1"
"""Memory of the broker's JVM, and its quick compiler only: the optimising one would compile for all of a run this short."""
QUIET_SECONDS: Final = 120.0
"""How long the Events of one stream may take, before the next begins."""
HOPS: Final = (
    ("create request → fact with finalizer", "asked", "fact_ready"),
    ("fact with finalizer → intent", "fact_ready", "intent"),
    ("intent → ledger entry", "intent", "entry"),
    ("ledger entry → address seen by the client", "entry", "served"),
)

Processes = Mapping[str, Sequence[int]]


def measure(*, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything of this benchmark; runs for two to four minutes. Milliseconds, and Services per second. ``say`` is told
    what is being measured.
    """
    steady = QUICK_STEADY_SECONDS if quick else STEADY_SECONDS
    say("starting kube-apiserver, etcd and Kafka")
    with KubeApiServer() as server, KafkaBroker(heap=HEAP) as broker, tempfile.TemporaryDirectory() as folder:
        with Cluster(server.kubeconfig) as cluster:
            cluster.install_definitions()
            cluster.ensure_namespaces(*(kube.namespace(name) for name in ("contrail", "bench")))
            cluster.create_all([kube.kubemanager(), kube.nad("bench", "external", "10.64.0.0/16")])
        say("the null controller")
        found = {"before": _measure_null(server, steady, "before")}
        say("LedgerLB")
        found["ledgerlb"], hops = _measure_pipeline(server, broker, Path(folder), steady)
        say("the null controller again")
        found["after"] = _measure_null(server, steady, "after")
    return {
        "shape": {"warm": WARM_UP, "burst": BURST, "rate": STEADY_RATE, "seconds": steady},
        **{shape: {side: _summary(runs[shape]) for side, runs in found.items()} for shape in ("burst", "steady")},
        "hops": hops,
        "cpu": {
            shape: {
                "null": _mean(_cpu_of_one(found["before"][shape]), _cpu_of_one(found["after"][shape])),
                "ledgerlb": _cpu_of_one(found["ledgerlb"][shape]),
            }
            for shape in ("burst", "steady")
        },
    }


def _mean(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: (value + other[name]) / 2 for name, value in one.items()}


def _measure_null(server: KubeApiServer, steady: float, when: str) -> dict[str, Run]:
    kubeconfig = str(server.kubeconfig_path)
    runs = {}
    for shape, amount in (("warm", WARM_UP), ("burst", BURST), ("steady", steady)):
        namespace = f"null-{when}-{shape}"
        with _null(kubeconfig, namespace) as pid:
            processes = {**_processes_of(server), "null controller": [pid]}
            runs[shape] = _run(kubeconfig, namespace, shape, amount, processes)
    # The pipeline must not begin with a thousand Services that show somebody else's addresses.
    with Cluster(server.kubeconfig) as cluster:
        for namespace in (f"null-{when}-{shape}" for shape in runs):
            names = [obj["metadata"]["name"] for obj in cluster.objects("Service", namespace)]
            cluster.each(lambda name, ns=namespace: cluster.delete("Service", ns, name), names)
    return runs


def _measure_pipeline(
    server: KubeApiServer, broker: KafkaBroker, folder: Path, steady: float
) -> tuple[dict[str, Run], dict[str, dict[str, tuple[float, float]]]]:
    url = f"kafka://{broker.bootstrap}"
    kubeconfig = str(server.kubeconfig_path)
    # Nobody programs a kernel, and nobody keeps InstanceIPs and FloatingIPs: the null controller does neither.
    bare = {
        "agent": {"LEDGERLB_BACKEND": "record"},
        "watcher": {"LEDGERLB_CN2_OBJECTS": "off", "LEDGERLB_NAD_OBJECTS": "off"},
    }
    runs = {}
    with Pipeline(folder, url, kubeconfig=server.kubeconfig_path, environment=bare) as pipeline:
        port = int(broker.bootstrap.rpartition(":")[2])
        processes = {
            **_processes_of(server),
            "Kafka broker": cpu.family(broker.pid),
            "container engine's proxy (Kafka)": cpu.published_by(port),
            **{name: [pid] for name, pid in pipeline.pids().items()},
        }
        for shape, amount in (("warm", WARM_UP), ("burst", BURST), ("steady", steady)):
            runs[shape] = _run(kubeconfig, f"own-{shape}", shape, amount, processes)
            _wait_for_quiet(pipeline)
    log = LogView(url)
    return runs, {shape: _hops(log, f"own-{shape}", runs[shape]) for shape in ("burst", "steady")}


def _wait_for_quiet(pipeline: Pipeline) -> None:
    """Until the Events of what was measured are written: they belong to no other stream."""
    waiting = "ledgerlb_cluster_writes_waiting"
    eventually(lambda: pipeline["watcher"].metric(waiting) == 0, "every write is done", QUIET_SECONDS)


def _processes_of(server: KubeApiServer) -> dict[str, list[int]]:
    port = int(server.url.rpartition(":")[2])
    return {
        **{name: cpu.family(pid) for name, pid in server.pids.items()},
        "container engine's proxy (API)": cpu.published_by(port),
    }


@contextlib.contextmanager
def _null(kubeconfig: str, namespace: str) -> Iterator[int]:
    _client(kubeconfig, namespace, "namespace", 0, {})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.null_controller", kubeconfig, namespace], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _run(kubeconfig: str, namespace: str, shape: str, amount: float, processes: Processes) -> Run:
    if not namespace.startswith("null"):
        _client(kubeconfig, namespace, "namespace", 0, {})
    return _client(kubeconfig, namespace, shape, amount, processes)


def _client(kubeconfig: str, namespace: str, shape: str, amount: float, processes: Processes) -> Run:
    """The measuring client, as a process of its own: its work must not queue behind this one's."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.pipeline", kubeconfig, namespace, shape, str(amount), json.dumps(processes)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=400,
    )  # fmt: skip
    return Run(**json.loads(done.stdout))


def _summary(run: Run) -> dict[str, float]:
    return {
        "services": len(run.served),
        "rate": run.rate(),
        "p50": run.quantile(0.5),
        "p99": run.quantile(0.99),
        "create_rate": len(run.asked) / max(0.001, max(run.asked.values()) - min(run.asked.values())),
    }


def _cpu_of_one(run: Run) -> dict[str, float]:
    """Milliseconds of CPU for one Service, by process."""
    return {name: 1000 * seconds / len(run.served) for name, seconds in run.cpu.items()}


def _hops(log: LogView, namespace: str, run: Run) -> dict[str, tuple[float, float]]:
    """p50 and p99 in milliseconds of each hop."""
    moments: dict[str, dict[str, float]] = {
        name: {"asked": run.asked[name], "served": run.served[name]} for name in run.asked
    }

    def note(service: str, what: str, timestamp: int) -> None:
        owner, _, name = service.partition("/")
        if owner == namespace and name in moments:
            moments[name].setdefault(what, timestamp / 1000)

    for record in log.records(FACTS):
        if record.key.startswith("Service/") and record.value:
            if b'"has_finalizer":true' in record.value:
                note(record.key.removeprefix("Service/"), "fact_ready", record.timestamp)
    for record in log.records(INTENTS):
        if record.value and b'"type":"want"' in record.value[:40]:
            note(record.key.partition("|")[2], "intent", record.timestamp)
    for record in log.records(LEDGER):
        for event in decode_entry(record.key, record.value or b"").events:
            note(getattr(event, "service", ""), "entry", record.timestamp)
    found = {}
    for title, before, after in HOPS:
        spans = sorted(1000 * (m[after] - m[before]) for m in moments.values() if before in m and after in m)
        assert spans, f"no record tells of the hop {title}"
        found[title] = (spans[len(spans) // 2], spans[min(len(spans) - 1, int(len(spans) * 0.99))])
    return found


async def _client_main(kubeconfig: str, namespace: str, shape: str, amount: float, processes: Processes) -> None:
    async with Bench.connect(kubeconfig, processes) as bench:
        run = Run()
        if shape == "namespace":
            await bench.namespace(namespace)
        elif shape == "steady":
            run = await bench.steady(namespace, STEADY_RATE, amount, 300)
        else:
            run = await bench.burst(namespace, int(amount), 300)
    shift = time.time() - time.monotonic()
    run.asked = {name: at + shift for name, at in run.asked.items()}
    run.served = {name: at + shift for name, at in run.served.items()}
    print(json.dumps(asdict(run)))


if __name__ == "__main__":
    asyncio.run(_client_main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), json.loads(sys.argv[5])))
