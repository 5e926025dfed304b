"""Many Services: how long each service takes to come up from the log, how much it holds, and what one more Service costs.

A folder of manifests stands for the cluster, so that the figures are those of LedgerLB and not of an API server. The
Services are spread over 200 namespaces and 100 networks. The log is one SQLite file.
"""

from __future__ import annotations
from tests.support.environment import without_settings

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench import cpu
from tests.support.pipeline import ServiceProcess, program
from tests.support.waiting import eventually

NAMESPACES: Final = 200
NETWORKS: Final = 100
SIZES: Final = (1_000,)
LARGE_SIZES: Final = (10_000, 50_000)
"""What ``--large`` measures too; it adds ten minutes or more."""
SERVICES: Final = ("watcher", "network-selector", "ipam", "planner")
SECONDS: Final = 900.0
PER_FILE: Final = 1000


def measure(*, large: bool = False, say: Callable[[str], None] = lambda _: None) -> dict[str, dict[str, float]]:
    """By number of Services: ``settle`` (seconds until all have addresses, from an empty log), ``<service> seconds`` and
    ``<service> mib`` of a cold start from the log, ``one more ms``.
    """
    found = {}
    for size in (*SIZES, *(LARGE_SIZES if large else ())):
        say(f"{size:,} Services")
        with tempfile.TemporaryDirectory() as folder:
            found[str(size)] = _measure(size, Path(folder))
    return found


def _measure(size: int, folder: Path) -> dict[str, float]:
    manifests = folder / "manifests"
    manifests.mkdir()
    _write(manifests, size)
    log = f"sqlite:///{folder / 'ledger.db'}"
    began = time.monotonic()
    subprocess.run(
        [program("ledgerlb"), "run", "--manifests", str(manifests), "--log", log, "--until-settled",
         "--timeout", str(SECONDS), "-o", "json"],
        stdout=subprocess.DEVNULL, check=True, timeout=SECONDS + 60, env=without_settings(),
    )  # fmt: skip
    figures = {"settle": time.monotonic() - began}
    for service in SERVICES:
        figures |= _cold_start(service, manifests, log, folder)
    return figures | _one_more(manifests, log, folder, size)


def _cold_start(service: str, manifests: Path, log: str, folder: Path) -> dict[str, float]:
    name = "ecmp-programmer" if service == "planner" else service
    variables = {**without_settings(), "LEDGERLB_LOG": log, "LEDGERLB_LOG_FORMAT": "json", "LEDGERLB_ROLES": "planner"}
    if service == "watcher":
        variables["LEDGERLB_MANIFESTS"] = str(manifests)
    if service != "planner":
        del variables["LEDGERLB_ROLES"]
    process = ServiceProcess(service, [program(f"ledgerlb-{name}")], variables, folder)
    began = time.monotonic()
    process.start()
    try:
        eventually(lambda: not process.problems(), f"{service} is ready", SECONDS, every=0.02)
        return {f"{service} seconds": time.monotonic() - began, f"{service} mib": cpu.mebibytes(process.pid)}
    finally:
        process.clean_up()


def _one_more(manifests: Path, log: str, folder: Path, size: int) -> dict[str, float]:
    """Milliseconds from writing one more manifest to the Service's address in the log, all services in one process."""
    command = [program("ledgerlb"), "run", "--manifests", str(manifests), "--log", log]
    process = ServiceProcess("run", command, {**without_settings(), "LEDGERLB_LOG_FORMAT": "json"}, folder)
    process.start()
    try:
        eventually(lambda: not process.problems(), "ledgerlb run is ready", SECONDS)
        before = process.metric("ledgerlb_ipam_events_total", type="AddressAllocated")
        began = time.monotonic()
        (manifests / "zz-one-more.json").write_text(json.dumps(_service(size)), "utf-8")
        eventually(
            lambda: process.metric("ledgerlb_ipam_events_total", type="AddressAllocated") > before,
            "one more Service has its address", 120, every=0.02,
        )  # fmt: skip
        return {"one more ms": 1000 * (time.monotonic() - began), "run mib": cpu.mebibytes(process.pid)}
    finally:
        process.clean_up()


def _write(folder: Path, size: int) -> None:
    objects: list[Mapping[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{n}"}} for n in range(NAMESPACES)
    ]
    objects += [
        {
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {
                "name": f"net-{n}", "namespace": f"team-{n}",
                "annotations": {"juniper.net/networks": json.dumps({"ipamV4Subnet": f"10.{n}.0.0/16"})},
            },
            "spec": {"config": json.dumps({"cniVersion": "0.3.1", "type": "contrail-k8s-cni"})},
        }
        for n in range(NETWORKS)
    ]  # fmt: skip
    objects += [_service(n) for n in range(size)]
    for start in range(0, len(objects), PER_FILE):
        items = objects[start : start + PER_FILE]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        (folder / f"{start:06}.json").write_text(text, "utf-8")


def _service(number: int) -> dict[str, Any]:
    network = number % NETWORKS
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": f"svc-{number}", "namespace": f"team-{number % NAMESPACES}", "uid": f"uid-{number}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"service.contrail.juniper.net/externalNetwork": f"team-{network}/net-{network}"},
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}",
            "selector": {"app": "x"}, "ports": [{"port": 80}],
        },
    }  # fmt: skip
