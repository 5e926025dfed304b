"""``ExternalNetwork``, and its offer to IPAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.labels import EVERYTHING, LabelSelector
from ledgerlb.core.cluster.reachability import NO_TARGETS, Joint, RouteTargets
from ledgerlb.core.intents.model import NetworkOffer, PrefixOffer

POOL_PREFIX: Final = "pool/"
"""The names of AddressPools as networks begin with it. So a Namespace called ``pool`` can have no external network."""


def pool_of(network: str) -> str | None:
    """Return the name of the AddressPool behind a network's name; None for other networks."""
    return network.removeprefix(POOL_PREFIX) if network.startswith(POOL_PREFIX) else None


@dataclass(frozen=True, slots=True)
class PoolTerms:
    """What an AddressPool says about choosing it: see the kind's documentation (docs/pools.md)."""

    addresses: tuple[str, ...] = ()
    priority: int = 0
    services: LabelSelector = EVERYTHING
    namespaces: LabelSelector = EVERYTHING
    auto_assign: bool = True
    spill_over: bool = False


@dataclass(frozen=True, slots=True)
class ExternalNetwork:
    """A network that may serve Services: a VirtualNetwork of its own (``source`` ``vn``), one that a
    NetworkAttachmentDefinition defines (``nad``; ``created``, ``uid`` and labels are then those of the NAD), or an
    AddressPool (``pool``), which several disjoint prefixes may make up.

    ``name`` is ``namespace/name`` or ``pool/name``, ``created`` RFC 3339 text. With a ``problem``
    (``InvalidAnnotation``, ``MultusRequiresNAD``, ``NetworkConflict``) it gives out nothing new; ``message`` explains
    it. ``carrier`` is the kind of the object to report the problem on: the one with the invalid field, else the one
    that defines the network. ``conflict`` is the older network that it overlaps. Durations are in seconds; None = the
    default of the settings, 0 = off. ``objects`` are the record keys of all facts behind it. ``admitted``: an
    administrator vouches for its namespace, so it comes first in every overlap and may be the default. ``pool``: what
    an AddressPool says besides. ``reserved`` is a warning that names the addresses that the cluster itself uses; these
    are among the exclusions.
    """

    name: str
    source: Literal["nad", "vn", "pool"]
    created: str = ""
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[PrefixOffer, ...] = ()
    targets: RouteTargets = NO_TARGETS
    problem: str | None = None
    message: str = ""
    carrier: str = ""
    conflict: str | None = None
    warnings: tuple[str, ...] = ()
    allowed_namespaces: LabelSelector | None = None
    quota_per_namespace: int | None = None
    quarantine: float | None = None
    lease: float | None = None
    strict_quarantine: bool | None = None
    force_prefix: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    admitted: bool = False
    pool: PoolTerms | None = None
    reserved: str = ""

    @property
    def namespace(self) -> str:
        """The namespace part of the name; empty for an AddressPool."""
        return "" if self.pool is not None else self.name.partition("/")[0]

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that the network has a prefix of."""
        return tuple(dict.fromkeys(prefix.family for prefix in self.prefixes))

    @property
    def extent(self) -> str:
        """The prefixes, or the addresses of a pool, as their owner wrote them."""
        return ", ".join(self.pool.addresses if self.pool is not None else (prefix.prefix for prefix in self.prefixes))

    @property
    def age(self) -> tuple[str, str]:
        """Sort key: the oldest first, then by name."""
        return self.created, self.name

    @property
    def joint(self) -> Joint:
        """What decides which other networks this one reaches."""
        return Joint(self.name, self.targets)


def to_offer(network: ExternalNetwork, revision: int, problem_since: int = 0) -> NetworkOffer:
    """Return the offer of the network. ``problem_since``: the revision with which its problem, if any, began."""
    allowed = network.allowed_namespaces
    return NetworkOffer(
        network=network.name,
        revision=revision,
        uid=network.uid,
        prefixes=network.prefixes,
        allowed_namespaces=str(allowed) if allowed is not None else "",
        quota_per_namespace=network.quota_per_namespace,
        quarantine=network.quarantine,
        lease=network.lease,
        strict_quarantine=network.strict_quarantine,
        force_prefix=network.force_prefix,
        problem=network.problem,
        message=network.message,
        problem_since=problem_since if network.problem is not None else 0,
        carrier=network.carrier if network.problem is not None or network.reserved else "",
        reserved=network.reserved,
    )


def gone_offer(name: str, revision: int, uid: str = "") -> NetworkOffer:
    """Return the offer of a network that no longer exists."""
    return NetworkOffer(network=name, revision=revision, uid=uid, gone=True)
