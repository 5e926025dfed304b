"""Which networks are full, as the ledger knows them: what AddressPools that spill over depend on."""

from __future__ import annotations

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import frontends, sharing_key
from ledgerlb.core.ledger.fold import LedgerFold


class LedgerRoom:
    """A ``Room`` of the fold. It remembers each answer that it gave, so that ``changed`` tells when it is outdated."""

    def __init__(self, fold: LedgerFold) -> None:
        self._fold = fold
        self._told: dict[str, dict[tuple[Family, bool], bool]] = {}

    def is_full(self, network: str, family: Family, *, strict: bool) -> bool:
        """See Room. A network that the ledger does not know yet is not full."""
        found = self._look(network, family, strict=strict)
        self._told.setdefault(network, {})[family, strict] = found
        return found

    def shares(self, network: str, family: Family, service: ServiceFact) -> bool:
        """See Room."""
        state, key = self._fold.networks.get(network), sharing_key(service)
        if state is None or not key:
            return False
        wanted = set(frontends(service))
        return any(
            record.family == family and wanted.isdisjoint(port for holder in record.holders for port in holder.ports)
            for record in state.shared_under(service.namespace, key)
        )

    def changed(self, network: str) -> bool:
        """Return whether an answer about the network is another one by now."""
        return any(
            self._look(network, family, strict=strict) != told
            for (family, strict), told in self._told.get(network, {}).items()
        )

    def _look(self, network: str, family: Family, *, strict: bool) -> bool:
        state = self._fold.networks.get(network)
        return state is not None and family in state.families() and state.is_full(family, strict=strict)
