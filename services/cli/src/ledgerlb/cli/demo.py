"""The demo: the quickstart's manifests through the whole pipeline, on the embedded log, in a few seconds.

It copies the manifests to a temporary folder, runs all services in this process until nothing moves, and prints every
Service. Then it removes an endpoint, shows how the weights follow, prints the history of one address and verifies the
ledger. The exit status is 0 only if every Service is as expected.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer
import yaml

from ledgerlb.cli.commands.history import as_text, tenures_of
from ledgerlb.cli.commands.run import report
from ledgerlb.cli.commands.verify import audit, print_report
from ledgerlb.cli.console import Output, guarded, one_line, say
from ledgerlb.cli.follower import Follower
from ledgerlb.cli.pipeline import BackendName, open_pipeline
from ledgerlb.core.errors import InvalidManifest
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.settings import process_settings

TIME_LIMIT: Final = 45.0
"""Seconds for each wait, which usually takes one or two."""
WEB: Final = "shop/web"
EXPECTED: Final[dict[str, dict[str, Any]]] = {
    "edge/dns": {
        "state": "Ready",
        "network": "ecmp-project/ecmp-default",
        "rung": "namespace-annotation:externalNetwork",
        "weights": {"node-2": 1},
    },
    "shop/api": {
        "state": "Ready",
        "network": "ecmp-project/ecmp-default",
        "rung": "service-annotation:externalNetwork",
        "addresses": ["192.168.102.50"],
        "weights": {"node-1": 2, "node-3": 1},
    },
    "shop/billing": {"state": "Pending", "network": None, "reason": Reason.NETWORK_NOT_FOUND, "addresses": []},
    "shop/portal": {
        "state": "Ready",
        "network": "custom-namespace/dual-stack",
        "rung": "service-annotation:externalNetworkSelector",
        "addresses": ["192.168.103.2", "2001:db8:103::2"],
        "weights": {"node-1": 1, "node-2": 1},
    },
    WEB: {
        "state": "Ready",
        "network": "ecmp-project/ecmp-default",
        "rung": "default-selector",
        "weights": {"node-1": 1, "node-2": 2, "node-3": 3},
    },
}
AFTER: Final = {"node-1": 1, "node-2": 2, "node-3": 2}


@dataclass
class _Demo:
    """The script and its findings. ``wrong`` lists every difference from the expectations."""

    folder: Path
    follower: Follower
    wrong: list[str] = field(default_factory=list)
    address: str = ""

    async def script(self, log: EventLog, health: Health, stop: asyncio.Event) -> None:
        """Run beside the services, and end them when done."""
        del log, health
        try:
            await self._script()
        finally:
            stop.set()

    async def _script(self) -> None:
        began = time.monotonic()
        if not await self._settle():
            return
        _heading(f"Every Service, {time.monotonic() - began:.1f} s after the start")
        report(self.follower, Output.text)
        self._check(EXPECTED)
        if self.wrong:
            return
        _heading(f"A pod of {WEB} on node-3 goes: the weights follow, the address stays")
        before = self._service(WEB)
        say(f"before  {_hops(before)}")
        await asyncio.to_thread(take_an_endpoint_away, self.folder)
        await self._until(lambda: _weights(self._service(WEB)) == AFTER)
        if not await self._settle():
            return
        after = self._service(WEB)
        say(f"after   {_hops(after)}")
        self._check({**EXPECTED, WEB: {**EXPECTED[WEB], "weights": AFTER, "addresses": before["addresses"]}})
        self.address = next(iter(after["addresses"]), "")

    async def _settle(self) -> bool:
        waiting = await self.follower.settled(TIME_LIMIT)
        self.wrong += [f"after {TIME_LIMIT:g} s: {line}" for line in waiting]
        return not waiting

    async def _until(self, condition: Any) -> None:
        """Wait for the condition, bounded; the next check shows whether it came true."""
        deadline = time.monotonic() + TIME_LIMIT
        while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - a fold has no event for one line
            await asyncio.sleep(0.05)

    def _service(self, name: str) -> dict[str, Any]:
        for line in self.follower.lines():
            if line.name == name:
                return line.as_json()
        return {"addresses": [], "path_set": {}}

    def _check(self, expected: dict[str, dict[str, Any]]) -> None:
        found = {line.name: line.as_json() for line in self.follower.lines()}
        self.wrong += [f"{name}: is not expected" for name in found if name not in expected]
        for name, wanted in expected.items():
            actual = found.get(name)
            if actual is None:
                self.wrong.append(f"{name}: is missing")
                continue
            shown = {**actual, "weights": _weights(actual)}
            self.wrong += [
                f"{name}: {key} is {shown[key]!r}, expected {value!r}"
                for key, value in wanted.items()
                if shown[key] != value
            ]
        self.wrong += [f"dead letter: {line}" for line in self.follower.dead_letters]


def _weights(service: dict[str, Any]) -> dict[str, int]:
    """Return weights by node; all addresses of a Service have the same in this demo."""
    return {node: hop["weight"] for hops in service["path_set"].values() for node, hop in hops.items() if hop["weight"]}


def _hops(service: dict[str, Any]) -> str:
    hops = ", ".join(f"{node} x{weight}" for node, weight in _weights(service).items())
    return f"{', '.join(service['addresses'])}  next hops {hops}"


def take_an_endpoint_away(folder: Path) -> None:
    """Remove the last endpoint of the web Service from its manifest, as if its pod had gone."""
    path = folder / "50-endpoints.yaml"
    documents = [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]
    for document in documents:
        if document["metadata"]["labels"]["kubernetes.io/service-name"] == "web":
            document["endpoints"].pop()
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), "utf-8")


def quickstart_folder() -> Path:
    """Return the folder of the quickstart in the checkout of this module; raises InvalidManifest."""
    for parent in Path(__file__).resolve().parents:
        folder = parent / "examples" / "quickstart"
        if folder.is_dir():
            return folder
    raise InvalidManifest("examples/quickstart", "", "does not exist", "run the demo from a checkout of LedgerLB")


def _heading(text: str) -> None:
    say()
    say(text, bold=True)


@guarded
async def demo() -> int:
    """Run the demo; see module."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ledgerlb-demo-") as temporary:
        folder = Path(temporary) / "manifests"
        await asyncio.to_thread(_copy, quickstart_folder(), folder)
        url = f"sqlite://{temporary}/ledger.db"
        say("Starting all services in one process: embedded log, a folder of manifests in place of a cluster …")
        found = await _run(folder, url)
        if found.address:
            _heading(f"ledgerlb history {found.address}")
            for tenure in await tenures_of(url, found.address):
                for line in as_text(tenure):
                    say(line)
        _heading("ledgerlb verify")
        checked = await audit(url)
        print_report(checked)
    if not checked.clean:
        found.wrong.append("the ledger does not verify")
    _heading(f"Demo {'FAILED' if found.wrong else 'done'} in {time.monotonic() - began:.1f} s")
    for line in found.wrong:
        say(f"  {line}", err=True)
    return 1 if found.wrong else 0


async def _run(folder: Path, url: str) -> _Demo:
    process = process_settings(log=url, http_port=0, log_level="error")
    async with open_pipeline(
        DomainSettings(), manifests=folder, kubeconfig=None, backend=BackendName.record
    ) as pipeline:
        found = _Demo(folder, pipeline.follower)
        status = await pipeline.serve(process, found.script)
    if status:
        found.wrong.append("a service ended with an error")
    return found


def _copy(source: Path, target: Path) -> None:
    """Copy the manifests without the scenario beside them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("scenario.yaml"))


def main() -> int:
    """Run the demo and return its exit status."""
    try:
        demo()
    except typer.Exit as ended:
        return ended.exit_code
    except Exception as error:
        say(f"unexpected: {one_line(error)}", err=True)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
