"""Remember the heads of the ledger's chains, and know them at the next start.

At start, ``HeadKeeper`` reads the heads that the log keeps, and the folds of the process compare the ledger with them.
While the process runs it keeps the heads that were folded, every ``SAVE_INTERVAL`` seconds where there are new ones,
and at the stop. A head is kept only once its entry was read from the log, so what is kept is never ahead of the log.

A SIGKILL loses the heads of the last ``SAVE_INTERVAL`` seconds. The next start folds their entries and keeps them.

Concurrency: one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from ledgerlb.core.errors import LedgerLBError
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.heads import encode_head
from ledgerlb.eventlog.heads import forget_heads, highest_heads, read_heads
from ledgerlb.eventlog.port import EventLog, NewRecord
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.projection import Projection
from ledgerlb.runtime.stopping import sleep_or_stop

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys  # loads cryptography, which only those need who use keys

SAVE_INTERVAL: Final = 5.0
"""Seconds between two writes of heads while entries are folded."""

_logger = structlog.get_logger(__name__)


class HeadKeeper:
    """See module. ``projections`` are those of the process; ``writes``: this process keeps what they fold. ``keys``:
    nothing counts that they did not sign.
    """

    def __init__(
        self,
        projections: Sequence[Projection],
        clock: Callable[[], datetime],
        keys: TrustedKeys | None = None,
        *,
        writes: bool,
    ) -> None:
        self._projections = projections
        self._clock = clock
        self._keys = keys
        self._writes = writes
        self._saved: dict[str, Head] = {}

    async def load(self, log: EventLog, *, new_ledger: bool = False) -> None:
        """Let every projection know the heads that the log keeps. Raises LogUnavailable.

        ``new_ledger``: forget them where the ledger is empty, because a new one begins.
        """
        if new_ledger and self._writes and await log.end(LEDGER) == 0:
            await forget_heads(log, [head.network for head in await highest_heads(log)])
        for projection in self._projections:
            if self._keys is not None:
                projection.trust(self._keys)
            for problem in await read_heads(log, projection.heads, self._keys):
                _logger.error("a remembered head cannot be used", problem=problem)
            pinned = {} if self._keys is None else self._keys.pinned()
            self._saved.update((name, head) for name, head in projection.heads.items() if pinned.get(name) != head)

    async def save(self, log: EventLog) -> int:
        """Keep the heads that were folded since the last call; return how many. Raises LogUnavailable."""
        if not self._writes:
            return 0
        new: dict[str, Head] = {}
        for projection in self._projections:
            for name, state in projection.ledger.networks.items():
                if state.head.seq > self._saved.get(name, Head()).seq and name not in projection.ledger.damage:
                    new[name] = state.head
        if new:
            now = self._clock()
            await log.remember_heads([NewRecord(name, encode_head(name, head, now)) for name, head in new.items()])
            self._saved.update(new)
        return len(new)

    async def run(self, log: EventLog, stop: asyncio.Event) -> None:
        """Keep heads until ``stop``. The caller saves once more when everything has stopped."""
        while not stop.is_set():
            await sleep_or_stop(stop, SAVE_INTERVAL)
            await self.try_to_save(log)

    async def try_to_save(self, log: EventLog) -> None:
        """Save; a failure is logged, and the next call tries again."""
        try:
            await self.save(log)
        except (LedgerLBError, OSError) as error:
            _logger.warning("cannot keep the heads of the ledger", error=str(error))
