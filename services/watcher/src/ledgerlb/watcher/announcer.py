"""Write Kubernetes Events: announce each change once, on the object that it concerns, when there is time.

The name of an Event follows from what led to it (``identity``), so the announcer never makes the same Event twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final

from ledgerlb.core.cluster.facts import Condition, ServiceFact
from ledgerlb.core.networks import pool_of
from ledgerlb.core.reasons import Reason
from ledgerlb.kube.writer import About, ClusterWriter, Object, Write, event_write
from ledgerlb.watcher.announcements import announcements
from ledgerlb.watcher.state import Notice, PublisherState, problem_of
from ledgerlb.watcher.work import WorkQueue

EVENT_LIFETIME: Final = 3600.0
"""Seconds for which an API server keeps an Event. A start announces only changes that are newer: the process before may
have ended before it announced them."""
_NETWORK_KINDS: Final = (
    ("NetworkAttachmentDefinition", "k8s.cni.cncf.io/v1"),
    ("VirtualNetwork", "core.contrail.juniper.net/v1"),
    ("AddressPool", "ledgerlb.io/v1alpha1"),
)


class Announcer:
    """See module. Events are background tasks of ``queue``; ``clock`` gives aware UTC; ``counts`` gets ``events``.

    ``first``: the change was in the log at the start.
    """

    def __init__(
        self, queue: WorkQueue, writer: ClusterWriter, clock: Callable[[], datetime], counts: Counter[str]
    ) -> None:
        self._queue = queue
        self._writer = writer
        self._clock = clock
        self._counts = counts
        self._announced: dict[str, tuple[object, ...]] = {}
        self._reserved: dict[str, str] = {}

    def status(self, state: PublisherState, before: ServiceFact, after: Iterable[Condition]) -> None:
        """Announce what a written status changed about the conditions of the Service."""
        holdings = state.fold.holdings_of(before.full_name)
        selection = state.intents.selections.get(before.full_name)
        # The identity names the cause: announcing it again after a crash makes the same Event, a later return another.
        identity = " ".join(
            [str(selection.revision if selection else 0), *(holding.allocation for holding in holdings)]
        )
        for event in announcements(before.conditions, after):
            self.event(about(before), event.reason, event.message, warning=event.warning, identity=identity)

    def offer(self, state: PublisherState, network: str, *, first: bool) -> None:
        """Announce the problem and the warning of a network once, however many revisions of its offer name it."""
        offer = state.intents.offers.get(network)
        self._announce_reserved(state, network, offer.reserved if offer is not None else "", first=first)
        if offer is None or not offer.problem:
            self._announced.pop(network, None)
            return
        problem = problem_of(offer)
        if self._announced.get(network) == problem:
            return
        old = first and self._is_old(state.problem_at[network])
        announced = old or self._on_network(
            state, network, offer.problem, offer.message, identity=f"since {offer.problem_since}", on=offer.carrier
        )
        if announced:
            self._announced[network] = problem

    def _announce_reserved(self, state: PublisherState, network: str, warning: str, *, first: bool) -> None:
        """Announce which addresses of the network the cluster itself uses, whenever that changes."""
        if not warning:
            self._reserved.pop(network, None)
            return
        if self._reserved.get(network) == warning:
            return
        at = state.reserved_at[network]
        identity = f"reserved since {at.isoformat()}"
        on = state.intents.offers[network].carrier
        old = first and self._is_old(at)
        if old or self._on_network(state, network, Reason.ADDRESSES_IN_USE, warning, identity=identity, on=on):
            self._reserved[network] = warning

    def notice(self, state: PublisherState, notice: Notice, *, first: bool) -> None:
        """Announce an event of the ledger that no state keeps."""
        if first and self._is_old(notice.at):
            return
        identity = f"{notice.network}#{notice.seq}"
        fact = state.services.get(notice.service)
        if fact is not None and fact.uid == notice.uid:
            self.event(about(fact), notice.reason, notice.message, warning=True, identity=identity)
        elif not notice.service:
            self._on_network(state, notice.network, notice.reason, notice.message, identity=identity)

    def event(self, subject: About, reason: str, message: str, *, warning: bool, identity: str) -> None:
        """Write one Event when there is time."""
        write = event_write(subject, reason, message, warning=warning, at=self._clock(), identity=identity)
        self._queue.add_background(partial(self._say, write))

    def _is_old(self, at: datetime) -> bool:
        return (self._clock() - at).total_seconds() > EVENT_LIFETIME

    def _on_network(
        self, state: PublisherState, network: str, reason: str, message: str, *, identity: str, on: str = ""
    ) -> bool:
        """Write an Event on the object of the kind ``on``, else on the NetworkAttachmentDefinition, the VirtualNetwork
        or the AddressPool. Return whether there is one.
        """
        namespace, _, name = network.partition("/")
        if pool_of(network) is not None:
            namespace = ""
        for kind, api_version in sorted(_NETWORK_KINDS, key=lambda pair: pair[0] != on):
            uid = state.objects.get((kind, network))
            if uid is not None:
                self.event(
                    About(kind, api_version, namespace, name, uid), reason, message, warning=True, identity=identity
                )
                return True
        return False

    def _say(self, write: Write) -> Awaitable[Object | None]:
        self._counts["events"] += 1
        return self._writer.write(write)


def about(fact: ServiceFact) -> About:
    """Return the Service as the subject of an Event."""
    return About("Service", "v1", fact.namespace, fact.name, fact.uid)
