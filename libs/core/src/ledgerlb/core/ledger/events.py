"""Events of the ledger, as msgspec structs: a reader decodes a million of them in seconds.

``address`` is canonical text, ``family`` 4 or 6, ``service`` is ``namespace/name``. Times are aware UTC datetimes.
The events of one entry apply in order, all of them or none. ``basis`` is a fingerprint of the intent under which the
address is held. Unknown fields and events do not decode, so a new one needs a new version of the entry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from ledgerlb.core.addresses import Family

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Ports = tuple[tuple[str, Port], ...]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hex."""
AllocationRule = Literal[
    "requested", "former", "never-used", "longest-free", "leased-to-other", "quarantine-cut", "shared"
]
"""Which rule found an address."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Event(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False, forbid_unknown_fields=True):
    pass


class Prefix(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """One family of a network as the ledger knows it: canonical CIDR; explicit gateway or empty; inclusive usable
    ranges (empty: the whole prefix); inclusive exclusions.
    """

    family: Family
    prefix: str
    gateway: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()


class NetworkDefined(_Event, frozen=True):
    """The network may give out these prefixes from now on. ``stranded``: held addresses outside of them, after a
    forced shrink, the end of a family, or the return of a network with other prefixes.
    """

    prefixes: tuple[Prefix, ...]
    uid: str = ""
    stranded: tuple[str, ...] = ()


class PrefixChangeRefused(_Event, frozen=True):
    """A new address plan would cut these holders off (``address service`` pairs), so the old one stays in force for
    them.
    """

    prefixes: tuple[Prefix, ...]
    holders: tuple[tuple[str, str], ...]


class NetworkGone(_Event, frozen=True):
    """The network no longer exists; nothing new is given out, holders keep what they have until they have moved."""


class AddressAllocated(_Event, frozen=True):
    """``service`` holds ``address`` from now on; ``choice`` names the rule that found it."""

    address: str
    family: Family
    service: str
    uid: str
    choice: AllocationRule
    sharing_key: str = ""
    ports: Ports = ()
    basis: str = ""


class AddressAdopted(_Event, frozen=True):
    """Like AddressAllocated, for an address that the Service's status already showed."""

    address: str
    family: Family
    service: str
    uid: str
    sharing_key: str = ""
    ports: Ports = ()
    basis: str = ""


class AdoptionRefused(_Event, frozen=True):
    """The address that the status showed is not adopted; the Service is served as a newcomer."""

    address: str
    service: str
    uid: str
    reason: str
    message: str = ""


class HoldingChanged(_Event, frozen=True):
    """The same Service keeps the address under a new uid, other ports or another sharing key."""

    address: str
    service: str
    uid: str
    sharing_key: str = ""
    ports: Ports = ()
    basis: str = ""


class HolderLeft(_Event, frozen=True):
    """One of several sharers left; the address stays held by the others."""

    address: str
    service: str
    why: str = ""


class AddressReleasing(_Event, frozen=True):
    """The last holder gave the address up: every agent must withdraw it and confirm that."""

    address: str
    service: str
    why: str = ""


class AddressReleased(_Event, frozen=True):
    """Every agent that may have forwarded the address confirmed its withdrawal (``confirmed``) or counts as dead
    (``dead``). Quarantine and lease start now; None: there is none.
    """

    address: str
    service: str
    quarantine_until: Moment | None = None
    lease_until: Moment | None = None
    confirmed: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()


class ReleaseCancelled(_Event, frozen=True):
    """The holder wanted the address back before it was released."""

    address: str
    service: str
    uid: str
    sharing_key: str = ""
    ports: Ports = ()
    basis: str = ""


class QuarantineEnded(_Event, frozen=True):
    """The address may be given to others (subject to its lease)."""

    address: str


class LeaseEnded(_Event, frozen=True):
    """The former holder's soft reservation is over."""

    address: str


class AllocationRefused(_Event, frozen=True):
    """The Service cannot get what it wants now. Written once per reason; ``families`` are those it concerns."""

    service: str
    uid: str
    reason: str
    message: str
    families: tuple[Family, ...] = ()


class RefusalCleared(_Event, frozen=True):
    """The last refusal of the Service no longer applies: it is served in full, or wants nothing any more."""

    service: str


class SetAsideRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """One record that does not count: its ``offset`` in the ledger topic when it was set aside, the kind of its damage
    (``AfterDamage``: it came after the damaged one), the number of its entry (0: unreadable) and the hash of its bytes.
    """

    offset: int
    kind: str
    digest: Digest
    seq: int = 0


class DamageSetAside(_Event, frozen=True):
    """An operator ended the damage of the network: ``records`` records since the last good entry never count.

    ``digest`` covers the bytes of all of them in order, ``named`` are the first of them. ``by`` is who asked.
    ``head_seq`` and ``head_digest`` name the remembered head that no longer counts either (0: none). Only the first
    event of an entry can be one.
    """

    records: Annotated[int, msgspec.Meta(ge=1)]
    digest: Digest
    named: tuple[SetAsideRecord, ...]
    by: str
    reason: str = ""
    head_seq: int = 0
    head_digest: str = ""


Event = (
    NetworkDefined
    | PrefixChangeRefused
    | NetworkGone
    | AddressAllocated
    | AddressAdopted
    | AdoptionRefused
    | HoldingChanged
    | HolderLeft
    | AddressReleasing
    | AddressReleased
    | ReleaseCancelled
    | QuarantineEnded
    | LeaseEnded
    | AllocationRefused
    | RefusalCleared
    | DamageSetAside
)
