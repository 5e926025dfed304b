"""Create → address: LedgerLB in three arrangements beside a null controller, in one run on one API server and one broker.

Each side serves a warm-up, a burst and a steady stream, each in a namespace of its own, while no other side runs. The null
controller goes first and last: machines grow slower and faster within minutes. The hops of the pipeline come from the log:
the broker's timestamp of each record about a Service, beside the client's own clock (one machine, one clock). CPU time is
read from /proc, from the first create request to the last address.
"""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ledgerlb.core.ledger.entry import decode_entry
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER
from tests.bench import cpu, sides
from tests.bench.client import Bench, Run
from tests.bench.lab import Lab, Layout, lab
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView

WARM_UP: Final = 300
BURST: Final = 500
STEADY_RATE: Final = 20.0
STEADY_SECONDS: Final = 20.0
QUICK_STEADY_SECONDS: Final = 5.0
SHAPES: Final = ("burst", "steady")
BEFORE: Final = "null controller, before"
AFTER: Final = "null controller, after"
KAFKA: Final = "LedgerLB on Kafka"
RUN_KAFKA: Final = "`ledgerlb run`, Kafka"
RUN_SQLITE: Final = "`ledgerlb run`, SQLite"
HOPS: Final = (
    ("create request → fact", "asked", "fact"),
    ("fact → intent", "fact", "intent"),
    ("intent → ledger entry", "intent", "entry"),
    ("ledger entry → address seen by the client", "entry", "served"),
)

Processes = Mapping[str, Sequence[int]]
Start = Callable[[str], AbstractContextManager[sides.Running]]
"""Start the side for a namespace (which only the null controller needs to know)."""


def measure(layout: Layout, *, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure every side in one layout; takes two to four minutes. Milliseconds, Services per second, MiB."""
    steady = QUICK_STEADY_SECONDS if quick else STEADY_SECONDS
    say(f"{layout}: starting kube-apiserver, etcd and Kafka")
    with lab(layout) as place, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs: dict[str, dict[str, Run]] = {}
        for title, slug, start, fresh in _sides(place, folder):
            say(f"{layout}: {title}")
            runs[title] = measure_side(place, slug, start, steady, fresh=fresh)
        hops = {}
        if layout == "shared":
            log = LogView(f"kafka://{place.bootstrap}")
            hops = {shape: _hops(log, f"kafka-{shape}", runs[KAFKA][shape]) for shape in SHAPES}
    return {
        "shape": {"warm": WARM_UP, "burst": BURST, "rate": STEADY_RATE, "seconds": steady},
        **{shape: {side: summary(of_side[shape]) for side, of_side in runs.items()} for shape in SHAPES},
        "hops": hops,
        "cpu": {shape: _cpu_table({side: of_side[shape] for side, of_side in runs.items()}) for shape in SHAPES},
    }


def _sides(place: Lab, folder: Path) -> list[tuple[str, str, Start, bool]]:
    """(title, prefix of its namespaces, how to start it, whether each stream starts it afresh)."""
    null = functools.partial(sides.null, place, folder)
    return [
        (BEFORE, "null-before", null, True),
        (KAFKA, "kafka", lambda _: sides.five_processes(place, folder / "five"), False),
        (
            RUN_KAFKA,
            "run-kafka",
            lambda _: sides.one_process(place, folder / "one", f"kafka://{place.bootstrap}"),
            False,
        ),
        (
            RUN_SQLITE,
            "run-sqlite",
            lambda _: sides.one_process(place, folder / "sqlite", f"sqlite://{folder}/sqlite/ledger.db"),
            False,
        ),
        (AFTER, "null-after", null, True),
    ]


def measure_side(place: Lab, slug: str, start: Start, steady: float, *, fresh: bool) -> dict[str, Run]:
    """Run every stream of one side; returns them by shape."""
    amounts = {"warm": float(WARM_UP), "burst": float(BURST), "steady": steady}
    runs = {}
    for shape in amounts:
        _client(place, f"{slug}-{shape}", "namespace", 0, {})
    if fresh:
        for shape, amount in amounts.items():
            with start(f"{slug}-{shape}") as running:
                runs[shape] = _stream(place, running, f"{slug}-{shape}", shape, amount)
    else:
        with start(slug) as running:
            for shape, amount in amounts.items():
                runs[shape] = _stream(place, running, f"{slug}-{shape}", shape, amount)
    # The next side must not begin with a thousand Services that show addresses of another controller.
    with Cluster(place.server.kubeconfig) as cluster:
        for shape in amounts:
            namespace = f"{slug}-{shape}"
            names = [obj["metadata"]["name"] for obj in cluster.objects("Service", namespace)]
            bare = {"metadata": {"finalizers": None}}
            cluster.each(lambda name, ns=namespace: cluster.patch("Service", ns, name, bare), names)
            cluster.each(lambda name, ns=namespace: cluster.delete("Service", ns, name), names)
    return runs


def _stream(place: Lab, running: sides.Running, namespace: str, shape: str, amount: float) -> Run:
    processes = {
        **place.cluster_processes(),
        **(place.broker_processes() if running.with_broker else {}),
        **{name: [pid] for name, pid in running.pids.items()},
    }
    run = _client(place, namespace, shape, amount, processes)
    run.memory = {name: cpu.mebibytes(pid) for name, pid in running.pids.items()}
    running.quiet()
    return run


def _client(place: Lab, namespace: str, shape: str, amount: float, processes: Processes) -> Run:
    """Run the measuring client as a process of its own: its work must not queue behind this one's."""
    done = subprocess.run(
        [
            *place.as_client, sys.executable, "-m", "tests.bench.pipeline",
            str(place.kubeconfig), namespace, shape, str(amount), json.dumps(processes),
        ],
        stdout=subprocess.PIPE, check=True, text=True, timeout=400,
    )  # fmt: skip
    return Run(**json.loads(done.stdout))


def summary(run: Run) -> dict[str, float]:
    """The figures of one stream."""
    return {
        "services": len(run.served),
        "rate": run.rate(),
        "p50": run.quantile(0.5),
        "p99": run.quantile(0.99),
        "mib": sum(run.memory.values()),
    }


def cpu_of_one(run: Run) -> dict[str, float]:
    """Milliseconds of CPU for one Service, by process."""
    return {name: 1000 * seconds / len(run.served) for name, seconds in run.cpu.items()}


def _cpu_table(runs: Mapping[str, Run]) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU for one Service, by side and process; the null controller's two runs are averaged."""
    of_one = {side: cpu_of_one(run) for side, run in runs.items()}
    before, after = of_one.pop(BEFORE), of_one.pop(AFTER)
    return {"null controller": {name: (before[name] + after[name]) / 2 for name in before}, **of_one}


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
            note(record.key.removeprefix("Service/"), "fact", record.timestamp)
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
