"""Runs a back end where it is started and does what standard input says. See ``lab.Driver``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ledgerlb.core.errors import LedgerLBError
from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.ecmp_programmer.backends.base import DataPath, Outcome
from ledgerlb.ecmp_programmer.backends.fabric_linux import FabricLinux
from ledgerlb.ecmp_programmer.backends.node import Node
from ledgerlb.ecmp_programmer.backends.record import RecordBackend

BACKENDS: dict[str, Callable[..., DataPath]] = {"fabric-linux": FabricLinux, "node": Node, "record": RecordBackend}


def _plain(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {
        address: {"state": one.state, "weights": dict(one.weights), "message": one.message}
        for address, one in outcomes.items()
    }


async def _answer(backend: DataPath, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "open":
        await backend.open()
        return {}
    if request["do"] == "stale":
        return {"stale": backend.stale()}
    wanted = {
        address: None if one is None else PathSet.model_validate(one) for address, one in request["wanted"].items()
    }
    began = time.perf_counter()
    outcomes = await (backend.apply(wanted) if request["do"] == "apply" else backend.reconcile(wanted))
    return {"outcomes": _plain(outcomes), "seconds": time.perf_counter() - began}


async def _main() -> None:
    backend = BACKENDS[sys.argv[1]](**json.loads(sys.argv[2]))
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = await _answer(backend, json.loads(line))
        except LedgerLBError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if Path("/proc/self/net/dev").stat().st_ino == Path("/proc/1/net/dev").stat().st_ino:
        sys.exit("refusing to run in the machine's own network namespace")
    asyncio.run(_main())
