"""What the fold knows of one address, one holder, one refusal: immutable values that replace one another.

``Holder`` and ``AddressRecord`` are msgspec structs: the fold makes a few for every entry, and keeps one for every
address ever used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from ledgerlb.core.addresses import Family
from ledgerlb.core.ledger.events import Ports

Status = Literal["held", "releasing", "quarantined", "leased", "idle"]
"""``held``: published and forwarded. ``releasing``: being withdrawn. ``quarantined``: only the former holder
gets it.
``leased``: softly reserved for the former holder. ``idle``: used before, free."""


class Holder(msgspec.Struct, frozen=True, gc=False):
    """One Service on an address. ``seq`` and ``since`` are those of the entry that gave it."""

    service: str
    uid: str
    since: datetime
    seq: int
    choice: str
    ports: Ports = ()
    basis: str = ""


class AddressRecord(msgspec.Struct, frozen=True, gc=False):
    """An address that was ever used. ``holders`` is empty unless held or releasing, ``since`` is when it was given to
    the first of them, who may have left it to later ones; ``former`` is the last to have left; ``released_seq`` orders
    the free ones (smaller: free for longer).
    """

    address: str
    family: Family
    value: int
    status: Status
    holders: tuple[Holder, ...] = ()
    sharing_key: str = ""
    since: datetime | None = None
    release_seq: int = 0
    release_at: datetime | None = None
    former: str = ""
    released_seq: int = 0
    quarantine_until: datetime | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """One Service's hold on one address, as readers of the ledger see it. ``allocation`` and ``release`` name
    entries as ``network#seq``; ``stranded``: the network's prefixes no longer hold it. ``address_since`` is
    when the network gave the address to its first sharer, who may have left since.
    """

    network: str
    address: str
    family: Family
    service: str
    uid: str
    state: Literal["held", "releasing"]
    since: datetime
    seq: int
    release_seq: int
    release_at: datetime | None
    sharing_key: str
    ports: Ports
    basis: str
    choice: str
    address_since: datetime
    stranded: bool = False

    @property
    def adopted(self) -> bool:
        """Whether it was taken over from a status that showed it before."""
        return self.choice == "adopted"

    @property
    def allocation(self) -> str:
        """The entry that gave the address."""
        return f"{self.network}#{self.seq}"

    @property
    def release(self) -> str:
        """The entry that began the release, or empty."""
        return f"{self.network}#{self.release_seq}" if self.release_seq else ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Service is not served by this network, or not in full, as last written."""

    network: str
    service: str
    uid: str
    reason: str
    message: str
    families: tuple[Family, ...]
    at: datetime
    seq: int
