"""Kubernetes Events: what changed, said once on the object that it concerns, when there is time for it.

The name of an Event follows from what led to it (``identity``), so one that stands already is not made twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final

from ledgerlb.core.cluster.facts import Condition, ServiceFact
from ledgerlb.kube.writer import About, ClusterWriter, Object, Write, event_write
from ledgerlb.watcher.announcements import announcements
from ledgerlb.watcher.state import Notice, PublisherState, problem_of
from ledgerlb.watcher.work import WorkQueue

EVENT_LIFETIME: Final = 3600.0
"""Seconds for which an API server keeps an Event. What the log says for longer than that is not said again at a start;
what is newer is, because whoever ran before may have ended first."""
_NETWORK_KINDS: Final = (
    ("NetworkAttachmentDefinition", "k8s.cni.cncf.io/v1"),
    ("VirtualNetwork", "core.contrail.juniper.net/v1"),
)


class Announcer:
    """See module. Events are background tasks of ``queue``; ``clock`` gives aware UTC; ``counts`` gets ``events``.

    ``first`` tells that what is announced was in the log at the start.
    """

    def __init__(
        self, queue: WorkQueue, writer: ClusterWriter, clock: Callable[[], datetime], counts: Counter[str]
    ) -> None:
        self._queue = queue
        self._writer = writer
        self._clock = clock
        self._counts = counts
        self._said_of_networks: dict[str, tuple[object, ...]] = {}

    def status(self, state: PublisherState, before: ServiceFact, after: Iterable[Condition]) -> None:
        """What a status that was written changed about the conditions of the Service."""
        holdings = state.fold.holdings_of(before.full_name)
        selection = state.intents.selections.get(before.full_name)
        # Names what led to it, so that saying it again after a crash is the same Event, and a later return is another.
        identity = " ".join(
            [str(selection.revision if selection else 0), *(holding.allocation for holding in holdings)]
        )
        for said in announcements(before.conditions, after):
            self.event(about(before), said.reason, said.message, warning=said.warning, identity=identity)

    def offer(self, state: PublisherState, network: str, *, first: bool) -> None:
        """The problem of a network: once for each, however many revisions of its offer name it."""
        offer = state.intents.offers.get(network)
        if offer is None or not offer.problem:
            self._said_of_networks.pop(network, None)
            return
        said = problem_of(offer)
        if self._said_of_networks.get(network) == said:
            return
        old = first and self._is_old(state.problem_at[network])
        told = old or self._on_network(
            state, network, offer.problem, offer.message, identity=f"since {offer.problem_since}", on=offer.carrier
        )
        if told:
            self._said_of_networks[network] = said

    def notice(self, state: PublisherState, notice: Notice, *, first: bool) -> None:
        """Something that the ledger said and that no state keeps."""
        if first and self._is_old(notice.at):
            return
        identity = f"{notice.network}#{notice.seq}"
        fact = state.services.get(notice.service)
        if fact is not None and fact.uid == notice.uid:
            self.event(about(fact), notice.reason, notice.message, warning=True, identity=identity)
        elif not notice.service:
            self._on_network(state, notice.network, notice.reason, notice.message, identity=identity)

    def event(self, subject: About, reason: str, message: str, *, warning: bool, identity: str) -> None:
        """One Event."""
        write = event_write(subject, reason, message, warning=warning, at=self._clock(), identity=identity)
        self._queue.add_background(partial(self._say, write))

    def _is_old(self, at: datetime) -> bool:
        return (self._clock() - at).total_seconds() > EVENT_LIFETIME

    def _on_network(
        self, state: PublisherState, network: str, reason: str, message: str, *, identity: str, on: str = ""
    ) -> bool:
        """On the object of that name and of the kind ``on``, else on the NetworkAttachmentDefinition, else on the
        VirtualNetwork; whether there is one.
        """
        namespace, _, name = network.partition("/")
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
    """The Service as the subject of an Event."""
    return About("Service", "v1", fact.namespace, fact.name, fact.uid)
