"""The desk of one network: what IPAM has to decide there, and whether it may."""

from __future__ import annotations

from collections.abc import Iterable

from ledgerlb.core.intents import AddressIntent, NetworkOffer, Withdrawal


class NetworkDesk:
    """Everything said about one network. ``todo`` are the Services to look at (again); ``awaiting`` is the offset of
    our own last entry until it was read back: nothing is decided on top of an entry whose fate is unknown.
    """

    def __init__(self, network: str) -> None:
        self.network = network
        self.offer: NetworkOffer | None = None
        self.intents: dict[str, AddressIntent | Withdrawal] = {}
        self.todo: dict[str, None] = {}
        self.awaiting: int | None = None
        self.oversized_at: int | None = None
        """After which entry a decision was last found too large for one record: told once."""
        self._in_flight: tuple[str, ...] = ()

    def put_offer(self, offer: NetworkOffer) -> None:
        """Take the network's offer; an older revision never replaces a newer one. Everybody waiting is looked at
        again.
        """
        if self.offer is None or offer.revision >= self.offer.revision:
            self.offer = offer
            self.reconsider(self.intents)

    def put_intent(self, intent: AddressIntent | Withdrawal) -> None:
        """Take a Service's wish; an older revision never replaces a newer one."""
        old = self.intents.get(intent.service)
        if old is None or intent.revision >= old.revision:
            self.intents[intent.service] = intent
            self.todo[intent.service] = None

    def drop_intent(self, service: str) -> None:
        """Nothing is said any more; that releases nothing."""
        self.intents.pop(service, None)
        self.todo.pop(service, None)

    def reconsider(self, services: Iterable[str]) -> None:
        """Look at these Services again (those that want something)."""
        for service in services:
            if service in self.intents:
                self.todo[service] = None

    def wishes(self) -> list[AddressIntent | Withdrawal]:
        """The intents to look at now."""
        return [self.intents[service] for service in self.todo]

    def looked_at(self, services: Iterable[str]) -> None:
        """These need no further look until something changes."""
        for service in services:
            self.todo.pop(service, None)

    def sent(self, offset: int, services: tuple[str, ...]) -> None:
        """Our entry went to ``offset``; the Services it decided are looked at again once it was read back."""
        self.awaiting = offset
        self._in_flight = services

    def read_back(self, offset: int) -> None:
        """The log was read up to and including ``offset``."""
        if self.awaiting is not None and offset >= self.awaiting:
            self.abandon()

    def abandon(self) -> None:
        """Stop waiting for our entry: read back, or its fate will show when the log is caught up with."""
        self.awaiting = None
        self.reconsider(self._in_flight)
        self._in_flight = ()
