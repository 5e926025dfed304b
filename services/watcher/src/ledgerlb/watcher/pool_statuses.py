"""The status of AddressPools: how large, how full, and what is wrong.

A pool's status changes with every address of it, so one write waits until ``Limits.between`` seconds after the last
one of that pool. A write is due only while the pool shows something else: a restart writes nothing.

Concurrency: like the publisher, which owns this. Writes are tasks of a queue; they read the state between their waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from ledgerlb.core.cluster.facts import AddressPoolFact
from ledgerlb.core.errors import ClusterRefused
from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.reasons import Reason
from ledgerlb.kube.kinds import POOL_VERSION
from ledgerlb.kube.writer import ClusterWriter, Write
from ledgerlb.watcher.state import PublisherState
from ledgerlb.watcher.work import Limits, WorkQueue

FIELDS: Final = ("size", "held", "quarantined", "free", "problem", "message", "observedGeneration")

_logger = structlog.get_logger(__name__)


class PoolStatuses:
    """See module. ``counts`` gets ``pools`` and ``refused``."""

    def __init__(self, writer: ClusterWriter, counts: Counter[str], limits: Limits) -> None:
        self.queue = WorkQueue(self._work, limits)
        self._writer = writer
        self._counts = counts
        self._between = limits.between
        self._state: PublisherState | None = None
        self._written: dict[str, float] = {}
        """When each pool was last written, by the event loop's clock."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._refused: dict[str, tuple[AddressPoolFact, Mapping[str, Any]]] = {}
        """The pool and the status that the server refused; the same is not sent again."""

    def follow(self, state: PublisherState) -> None:
        """Take statuses from this state from now on."""
        self._state = state
        self._clear()

    def look_at(self, networks: Iterable[str]) -> None:
        """Bring the status of these pools up to date."""
        for network in networks:
            if network not in self._later:
                self.queue.add(network)

    async def close(self) -> None:
        """Finish the writes under way within a bound, and begin no others."""
        self._clear()
        await self.queue.close()

    def _clear(self) -> None:
        self.queue.clear()
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()
        self._refused.clear()

    async def _work(self, network: str) -> None:
        state = self._state
        fact = state.pools.get(network) if state is not None else None
        if state is None or fact is None or fact.deleting:
            return
        wanted = status_of(fact, state.intents.offers.get(network), state.fold.network(network))
        if wanted is None or _shown(fact) == wanted or self._refused.get(network) == (fact, wanted):
            return
        loop = asyncio.get_running_loop()
        rest = self._written.get(network, float("-inf")) + self._between - loop.time()
        if rest > 0:
            self._later[network] = loop.call_later(rest, self._resume, network)
            return
        await self._write(state, network, fact, wanted)
        self._written[network] = loop.time()

    def _resume(self, network: str) -> None:
        del self._later[network]
        self.queue.add(network)

    async def _write(
        self, state: PublisherState, network: str, fact: AddressPoolFact, wanted: Mapping[str, Any]
    ) -> None:
        status = {field: wanted.get(field) for field in FIELDS}  # null removes
        write = Write("AddressPool", "", fact.name, "patch-status", {"status": status}, fact.uid, POOL_VERSION)
        try:
            result = await self._writer.write(write)
        except ClusterRefused as refused:
            self._counts["refused"] += 1
            self._refused[network] = (fact, wanted)
            self._say(fact.name, str(refused))
            return
        self._counts["pools"] += 1
        if result is not None and state.pools.get(network) is fact:
            state.pools[network] = fact.model_copy(update={"status": {**fact.status, **wanted}})

    @staticmethod
    def _say(pool: str, problem: str) -> None:
        _logger.error("the API server refused a write", pool=pool, error=problem)


def status_of(fact: AddressPoolFact, offer: NetworkOffer | None, state: NetworkState) -> dict[str, Any] | None:
    """Return what the pool shows; None while the selector has not looked at it. Numbers of addresses that JSON readers
    would round are text, as are all sizes.
    """
    if offer is None or offer.gone or offer.uid != fact.uid:
        return None
    size = state.size() if state.plan and not state.gone else 0
    problem, message = offer.problem or "", offer.message or offer.reserved
    if state.damage is not None:
        problem, message = state.damage.reason, state.damage.text()
    elif not problem and state.change_refused is not None:
        holders = ", ".join(f"{address} ({holder})" for address, holder in state.change_refused.holders)
        problem = Reason.PREFIX_CHANGE_REFUSED
        message = f"the new addresses would cut off {holders}; the old ones stay in force for them"
    held, quarantined = state.allocated(), state.quarantined()
    return {
        "size": str(size),
        "held": held,
        "quarantined": quarantined,
        "free": str(max(0, size - held - quarantined)),
        "problem": str(problem),
        "message": message,
        "observedGeneration": fact.generation,
    }


def _shown(fact: AddressPoolFact) -> dict[str, Any]:
    return {field: fact.status[field] for field in FIELDS if field in fact.status}
