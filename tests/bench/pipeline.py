"""Create → address through the real pipeline, beside a null controller, in one run on one API server and one broker.

Each side serves a warm-up, a burst and a steady stream, each in a namespace of its own, while the other is not running. The hops of
the pipeline come from what the log says: the broker's timestamp of each record about a Service, beside the client's own clock (one
machine, one clock).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER
from tests.bench.client import Bench, Run
from tests.support import kube_objects as kube
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline

BURST = 500
STEADY_RATE = 20.0
HOPS = (
    ("client → first fact", "asked", "fact"),
    ("first fact → fact with finalizer", "fact", "fact_ready"),
    ("fact → intent", "fact_ready", "intent"),
    ("intent → ledger entry", "intent", "entry"),
    ("ledger entry → address seen by the client", "entry", "served"),
)


def measure(*, quick: bool = False) -> dict:
    """Everything of this benchmark; runs for about two minutes."""
    with KubeApiServer() as server, KafkaBroker() as broker, tempfile.TemporaryDirectory() as folder:
        with Cluster(server.kubeconfig) as cluster:
            cluster.install_definitions()
            cluster.ensure_namespaces(*(kube.namespace(name) for name in ("contrail", "bench")))
            cluster.create_all([kube.kubemanager(), kube.nad("bench", "external", "10.64.0.0/16")])
        kubeconfig = str(server.kubeconfig_path)
        with _null(kubeconfig, "null-warm"):
            _run(kubeconfig, "null-warm", "burst", 100)
        with _null(kubeconfig, "null-burst"):
            null_burst = _run(kubeconfig, "null-burst", "burst", BURST)
        with _null(kubeconfig, "null-steady"):
            null_steady = _run(kubeconfig, "null-steady", "steady", 5 if quick else 20)
        _retype(server, ("null-warm", "null-burst", "null-steady"))
        pipeline = Pipeline(
            Path(folder), f"kafka://{broker.bootstrap}", kubeconfig=server.kubeconfig_path,
            environment={"agent": {"LEDGERLB_BACKEND": "record"}},
        )  # fmt: skip
        with pipeline:
            _run(kubeconfig, "own-warm", "burst", 100)
            own_burst = _run(kubeconfig, "own-burst", "burst", BURST)
            own_steady = _run(kubeconfig, "own-steady", "steady", 5 if quick else 20)
        log = LogView(f"kafka://{broker.bootstrap}")
        hops = {"burst": _hops(log, "own-burst", own_burst), "steady": _hops(log, "own-steady", own_steady)}
    return {
        "burst": {"null": _summary(null_burst), "ledgerlb": _summary(own_burst)},
        "steady": {"null": _summary(null_steady), "ledgerlb": _summary(own_steady)},
        "hops": hops,
    }


@contextlib.contextmanager
def _null(kubeconfig: str, namespace: str) -> Iterator[None]:
    _client(kubeconfig, namespace, "namespace", 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.null_controller", kubeconfig, namespace], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield
    finally:
        process.kill()
        process.wait()


def _retype(server: KubeApiServer, namespaces: tuple[str, ...]) -> None:
    """Make the null controller's Services none of ours: the pipeline must not start with a thousand adoptions."""
    with Cluster(server.kubeconfig) as cluster:
        for namespace in namespaces:
            names = [obj["metadata"]["name"] for obj in cluster.list("Service", namespace)]
            cluster.each(lambda name, ns=namespace: cluster.delete("Service", ns, name), names)


def _run(kubeconfig: str, namespace: str, shape: str, amount: float) -> Run:
    if not namespace.startswith("null"):
        _client(kubeconfig, namespace, "namespace", 0)
    return _client(kubeconfig, namespace, shape, amount)


def _client(kubeconfig: str, namespace: str, shape: str, amount: float) -> Run:
    """The measuring client, as a process of its own: its work must not queue behind this one's."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.pipeline", kubeconfig, namespace, shape, str(amount)],
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
            service = record.key.removeprefix("Service/")
            note(service, "fact", record.timestamp)
            if b'"has_finalizer":true' in record.value:
                note(service, "fact_ready", record.timestamp)
    for record in log.records(INTENTS):
        if record.value and b'"type":"want"' in record.value[:40]:
            note(record.key.partition("|")[2], "intent", record.timestamp)
    for record in log.records(LEDGER):
        for event in decode_entry(record.key, record.value).events:
            note(getattr(event, "service", ""), "entry", record.timestamp)
    found = {}
    for title, before, after in HOPS:
        spans = sorted(1000 * (m[after] - m[before]) for m in moments.values() if before in m and after in m)
        assert spans, f"no record tells of the hop {title}"
        found[title] = (spans[len(spans) // 2], spans[min(len(spans) - 1, int(len(spans) * 0.99))])
    return found


async def _client_main(kubeconfig: str, namespace: str, shape: str, amount: float) -> None:
    async with Bench.connect(kubeconfig) as bench:
        run = Run()
        if shape == "namespace":
            await bench.namespace(namespace)
        elif shape == "burst":
            run = await bench.burst(namespace, int(amount), 300)
        else:
            run = await bench.steady(namespace, STEADY_RATE, amount, 300)
    shift = time.time() - time.monotonic()
    data = {
        "asked": {name: at + shift for name, at in run.asked.items()},
        "served": {name: at + shift for name, at in run.served.items()},
        "addresses": run.addresses,
    }
    print(json.dumps(data))


if __name__ == "__main__":
    import asyncio

    asyncio.run(_client_main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
