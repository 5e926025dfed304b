"""Claims: which Services ask for which addresses of one network, by request or because their status shows them.

An automatic choice never takes an address that a Service claims.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from ledgerlb.core.index import Dependencies
from ledgerlb.core.intents.model import AddressIntent, Withdrawal


class Claims:
    """See module. The claims of one network, kept up to date by ``assign``; ``len`` counts Services with claims."""

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: Dependencies[str, str] = Dependencies()

    def assign(self, service: str, addresses: Iterable[str]) -> None:
        """Replace what the Service claims."""
        self._claims.assign(service, addresses)

    def on(self, address: str) -> Collection[str]:
        """Return the Services that claim the address, in the order in which they came to claim it."""
        return self._claims.dependents_on(address)

    def __len__(self) -> int:
        return len(self._claims)


NO_CLAIMS: Final = Claims()
"""Never changed."""


def claimed_by(intent: object) -> tuple[str, ...]:
    """Return the addresses that an intent claims; () for any other record."""
    if isinstance(intent, AddressIntent):
        return tuple(dict.fromkeys((*intent.requested, *intent.adopt)))
    return intent.shows if isinstance(intent, Withdrawal) else ()
