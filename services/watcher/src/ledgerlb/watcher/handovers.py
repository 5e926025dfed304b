"""Tell our finalizer from the one that a Service's next controller puts on.

All load balancer controllers use the same finalizer. A Service that gets another class may still carry the one that we
added, and we remove that one once everything is cleaned up. It may also carry the one that its new controller added,
and we leave that one alone. The Service was seen without a finalizer before its new controller added one: a Service
that only waits for an address has none of ours.

Our finalizer comes with the first address, in one write. So a finalizer that came with an address that the Service
still holds is ours in any case: the class that LedgerLB serves may have changed since.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledgerlb.core.cluster.facts import Gone, ServiceFact
from ledgerlb.core.cluster.services import has_our_class
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.settings import DomainSettings


class Handovers:
    """See module. Pass every fact of a Service to ``take``, in order."""

    def __init__(self, settings: DomainSettings) -> None:
        self._settings = settings
        self._bare: dict[str, str] = {}
        """uid of each Service whose latest fact showed no finalizer."""
        self._theirs: dict[str, tuple[str, tuple[str, ...]]] = {}
        """uid of each Service of another class that got a finalizer after that, until it loses it again, and the
        addresses that came with it."""

    def take(self, fact: ServiceFact | Gone) -> None:
        """Note whether the Service carries a finalizer, and whose."""
        name = fact.full_name
        if isinstance(fact, Gone):
            self.keep(name)
        elif not fact.has_finalizer:
            self.keep(name)
            self._bare[name] = fact.uid
        elif has_our_class(fact, self._settings):
            self.keep(name)
        elif fact.type == "LoadBalancer" and self._bare.get(name) == fact.uid:
            self._theirs.setdefault(name, (fact.uid, fact.ingress))

    def keep(self, name: str) -> None:
        """Note that a finalizer on the Service is ours: it is ours (again), or we have just added our finalizer."""
        self._bare.pop(name, None)
        self._theirs.pop(name, None)

    def done(self, fact: ServiceFact, holdings: Iterable[Holding]) -> bool:
        """Return whether another controller has taken this very object over. ``holdings`` are the Service's own."""
        uid, came_with = self._theirs.get(fact.full_name, ("", ()))
        if uid != fact.uid:
            return False
        if any(holding.uid == uid and holding.address in came_with for holding in holdings):
            self.keep(fact.full_name)
            return False
        return True
