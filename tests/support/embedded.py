"""A real IPAM process, run in this one, on an embedded log of several networks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.core.intents.model import (
    AddressIntent,
    IntentRecord,
    IntentsSynced,
    Withdrawal,
    encode_intent,
    intent_key,
)
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import INTENTS
from ledgerlb.ipam.assemble import IpamPorts, assemble
from ledgerlb.ipam.processor import Ipam
from ledgerlb.runtime.serve import serve
from ledgerlb.runtime.settings import ProcessSettings
from tests.support.ledger import intent_of, offer

NETWORKS = ("net/one", "net/two", "net/three")


def offers(networks: Iterable[str] = NETWORKS) -> list[IntentRecord]:
    """An offer of 10.N.0.0/24 for each network, and the mark that all is said."""
    return [
        *(
            offer(f"10.{number}.0.0/24").model_copy(update={"network": network})
            for number, network in enumerate(networks)
        ),
        IntentsSynced(),
    ]


def wishes(
    *services: str, networks: Iterable[str] = NETWORKS, revision: int = 1, **more: object
) -> list[AddressIntent]:
    """Each Service wants an address of each network."""
    return [
        intent_of(f"{network.rpartition('/')[2]}-{service}", revision, **more).model_copy(update={"network": network})
        for network in networks
        for service in services
    ]


async def _until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


class IpamProcess:
    """See module. Use as an async context manager: entering starts it, leaving stops it in order."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.log = SqliteLog(path)
        parts = assemble(DomainSettings(), IpamPorts(decider="test"))
        (processor,) = parts.processors
        assert isinstance(processor, Ipam)
        self.ipam = processor
        process = ProcessSettings(log=f"sqlite://{path}", http_port=0, log_format="json", **settings)  # type: ignore[arg-type]
        self._stop = asyncio.Event()
        self._serve = serve("ipam", [parts], process, log=self.log, stop=self._stop)

    async def run(self) -> int:
        """Run until it ends by itself."""
        return await self._serve

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        assert await self._task == 0

    async def say(self, intents: Sequence[IntentRecord]) -> None:
        """Append intents, and wait until the process has decided what it can decide."""
        await _until(self._is_open, "the log is open")
        await self.log.append(INTENTS, [NewRecord(intent_key(one), encode_intent(one)) for one in intents])
        wanted = [one for one in intents if isinstance(one, AddressIntent | Withdrawal)]
        await _until(lambda: all(self._is_decided(one) for one in wanted), "everything is decided")

    def _is_open(self) -> bool:
        try:
            self.log.require_open()
        except LogUnavailable:
            return False
        return True

    def _is_decided(self, intent: AddressIntent | Withdrawal) -> bool:
        fold = self.ipam.fold
        if intent.network in fold.damage:
            return self.ipam.intents.synced
        state, queue = fold.network(intent.network), self.ipam.queues.get(intent.network)
        decided = state.revisions.get(intent.service, 0) >= intent.revision
        return decided and not state.releasing() and queue is not None and queue.awaiting is None

    def held(self, network: str) -> list[str]:
        """The Services that hold an address of the network."""
        return sorted(holding.service for holding in self.ipam.fold.network(network).holdings())
