"""Health of a process: what its parts last did, and the HTTP server that shows it.

``/healthz`` (live): every part's loop has turned within its bound; if not, restart the process.
``/readyz``: every part has read the log to its end and heard from it in the last seconds.
``/metrics``: Prometheus.

Concurrency: one event loop updates and reads the parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.runtime.http import Answer, ProbeServer
from ledgerlb.runtime.metrics import Metrics

CONTACT_BOUND: Final = 5.0
"""Seconds without an answer of the log after which a process is not ready."""
TURN_BOUND: Final = 120.0
"""Seconds without a turn of its loop after which a process is not live. More than the slowest bounded step takes:
several appends of 20 s each."""


MAX_TROUBLE: Final = 3
"""Troubles of a part that ``/readyz`` names."""


class Part:
    """One loop of the process. It calls ``turned`` each time round, ``contact`` whenever the log has answered, and sets
    ``caught_up``.
    """

    def __init__(self, name: str, clock: Callable[[], float], contact_bound: float, turn_bound: float) -> None:
        self.name = name
        self.caught_up = False
        self.why = "has not read the log to its end yet"
        """Why the part is not ready, for people."""
        self.trouble: Callable[[], Sequence[str]] = tuple
        """Returns the troubles that an operator must act on; the part is not ready while there is one."""
        self._clock = clock
        self.contact_bound = contact_bound
        self.turn_bound = turn_bound
        self._turned_at = clock()
        self._contact_at: float | None = None

    def turned(self) -> None:
        """Note that the loop goes round."""
        self._turned_at = self._clock()

    def contact(self) -> None:
        """Note that the log (or another thing that the part depends on) has answered."""
        self._contact_at = self._clock()

    def not_live(self) -> str:
        """Return why the part is not live; empty if it is."""
        silence = self._clock() - self._turned_at
        return f"{self.name}: no turn of its loop for {silence:.0f} s" if silence > self.turn_bound else ""

    def not_ready(self) -> str:
        """Return why the part is not ready; empty if it is."""
        if not self.caught_up or self._contact_at is None:
            return f"{self.name}: {self.why}"
        silence = self._clock() - self._contact_at
        if silence <= self.contact_bound:
            trouble = self.trouble()
            return f"{self.name}: {'; '.join(trouble[:MAX_TROUBLE])}" if trouble else ""
        return f"{self.name}: no answer for {silence:.0f} s" + (f": {self.why}" if self.why else "")


class Health:
    """The parts of a process. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, metrics: Metrics | None = None) -> None:
        self.metrics = metrics if metrics is not None else Metrics()
        self.clock = clock
        self._parts: dict[str, Part] = {}

    def part(self, name: str, contact_bound: float = CONTACT_BOUND, turn_bound: float = TURN_BOUND) -> Part:
        """Add a part (or get the one of that name). The process is not ready before every part is."""
        if name not in self._parts:
            self._parts[name] = Part(name, self.clock, contact_bound, turn_bound)
        return self._parts[name]

    def not_live(self) -> list[str]:
        """Return a line for each part that is not live."""
        return [why for part in self._parts.values() if (why := part.not_live())]

    def not_ready(self) -> list[str]:
        """Return a line for each part that is not ready; a process without parts is not ready either."""
        if not self._parts:
            return ["starting"]
        return [why for part in self._parts.values() if (why := part.not_ready())]


class HealthServer:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics``. Use it as an async context manager; ``port`` is then the bound
    one.
    """

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._health = health
        self._host = host
        self.port = port
        self._server = ProbeServer(
            {
                "/healthz": lambda: _answer(health.not_live()),
                "/readyz": lambda: _answer(health.not_ready()),
                "/metrics": self._metrics,
            }
        )

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return self._server.connections

    async def __aenter__(self) -> Self:
        try:
            self.port = await self._server.start(self._host, self.port)
        except OSError as error:
            raise InvalidSetting(
                "health server",
                f"{self._host}:{self.port}",
                f"cannot be bound: {error.strerror or error}",
                "choose another address with LEDGERLB_HTTP_HOST and LEDGERLB_HTTP_PORT",
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def _metrics(self) -> Answer:
        # The library's default registry holds the figures of Python and of the process.
        registries = dict.fromkeys((self._health.metrics.registry, REGISTRY))
        body = b"".join(generate_latest(registry) for registry in registries)
        return Answer(200, body, CONTENT_TYPE_LATEST)


def _answer(problems: list[str]) -> Answer:
    body = json.dumps({"ok": not problems, "problems": problems})
    return Answer(503 if problems else 200, body.encode(), "application/json; charset=utf-8")
