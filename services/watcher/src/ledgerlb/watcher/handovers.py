"""Services that ceased to be ours, and whether the finalizer that they carry is another controller's.

The finalizer is Kubernetes' own name for every load balancer controller's. A Service that gets another class may carry
the one that we put on it, which is ours to remove once everything is cleaned up, or, later, the one that its new
controller put on it, which is not. Between the two it was seen without.
"""

from __future__ import annotations

from ledgerlb.core.facts import Gone, ServiceFact
from ledgerlb.core.services import is_ours
from ledgerlb.core.settings import DomainSettings


class Handovers:
    """See module. ``take`` every fact of a Service, in order."""

    def __init__(self, settings: DomainSettings) -> None:
        self._settings = settings
        self._bare: dict[str, str] = {}
        """uid of each Service that was seen without the finalizer since it was last ours."""
        self._theirs: dict[str, str] = {}
        """uid of each Service of another class that got the finalizer after that, until it loses it again."""

    def take(self, fact: ServiceFact | Gone) -> None:
        """Note how the Service stands."""
        name = fact.full_name
        if isinstance(fact, Gone) or is_ours(fact, self._settings):
            self.keep(name)
        elif not fact.has_finalizer:
            self.keep(name)
            self._bare[name] = fact.uid
        elif fact.type == "LoadBalancer" and self._bare.get(name) == fact.uid:
            self._theirs[name] = fact.uid

    def keep(self, name: str) -> None:
        """The Service is ours (again), or our finalizer was just put on it, whatever the facts show of it yet."""
        self._bare.pop(name, None)
        self._theirs.pop(name, None)

    def done(self, fact: ServiceFact) -> bool:
        """Whether this very object is another controller's by now."""
        return self._theirs.get(fact.full_name) == fact.uid
