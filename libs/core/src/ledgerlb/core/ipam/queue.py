"""The queue of one network: which Services wait for a decision there, and whether one may be taken now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ledgerlb.core.intents.model import ServiceIntent


class NetworkQueue:
    """See module. ``pending``: the Services to decide about, in the order in which they were queued.

    ``awaiting`` is the offset of our own last entry until it was read back. Until then IPAM decides nothing, because
    the entry may lose the race for the head of the chain.
    """

    def __init__(self, network: str) -> None:
        self.network = network
        self.pending: dict[str, None] = {}
        self.awaiting: int | None = None
        self.oversized_at: int | None = None
        """The head at which a decision was last too large for one record; IPAM reports it once per head."""
        self._in_flight: tuple[str, ...] = ()

    def add(self, services: Iterable[str]) -> None:
        """Queue these Services, unless they wait already."""
        self.pending.update(dict.fromkeys(services))

    def intents(self, known: Mapping[str, ServiceIntent]) -> list[ServiceIntent]:
        """Return the intents of the queued Services; a Service without an intent leaves the queue."""
        self.pending = {service: None for service in self.pending if service in known}
        return [known[service] for service in self.pending]

    def decided(self, services: Iterable[str]) -> None:
        """Remove these Services until something queues them again."""
        for service in services:
            self.pending.pop(service, None)

    def sent(self, offset: int, services: tuple[str, ...]) -> None:
        """Note that our entry about these Services was appended at ``offset``."""
        self.awaiting = offset
        self._in_flight = services

    def read_back(self, offset: int) -> None:
        """Note that the log was read up to and including ``offset``."""
        if self.awaiting is not None and offset >= self.awaiting:
            self.requeue_sent()

    def requeue_sent(self) -> None:
        """Stop waiting for our entry and queue its Services again, because the fold now shows the outcome."""
        self.awaiting = None
        self.add(self._in_flight)
        self._in_flight = ()
