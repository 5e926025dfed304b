"""All topics of LedgerLB. Provisioning, access rules, checks and the documentation use these declarations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

_DAY_MS: Final = 24 * 3600 * 1000
ENVELOPE_BYTES: Final = 64 * 1024
"""Bytes that a broker must accept on top of the value, for key, headers and batch."""


class Role(StrEnum):
    """A service that uses the log. On Kafka each has a principal of its own."""

    WATCHER = "watcher"
    SELECTOR = "network-selector"
    IPAM = "ipam"
    PLANNER = "planner"
    AGENT = "agent"


EVERY_ROLE: Final = tuple(Role)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. The roles in ``written_by`` append to it, and those in ``read_by`` read it. ``cleanup`` is Kafka's
    ``cleanup.policy``; ``retention_ms`` -1 keeps for ever (meaningless for compacted ones); ``min_compaction_lag_ms``
    keeps history for that long; ``tombstone_ms`` keeps the tombstones of a compacted topic at least that long, so that
    a reader that was away meanwhile learns of the deletion; ``max_bytes`` bounds one record's value.
    """

    name: str
    key: str
    cleanup: Literal["compact", "delete"]
    written_by: tuple[Role, ...]
    carries: str
    read_by: tuple[Role, ...] = ()
    retention_ms: int = -1
    min_compaction_lag_ms: int = 0
    tombstone_ms: int = 7 * _DAY_MS
    max_bytes: int = 1024 * 1024

    def config(self) -> Mapping[str, str]:
        """Return the broker settings of this declaration."""
        settings = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_bytes + ENVELOPE_BYTES),
        }
        if self.cleanup == "compact":
            settings["delete.retention.ms"] = str(self.tombstone_ms)
        if self.min_compaction_lag_ms:
            settings["min.compaction.lag.ms"] = str(self.min_compaction_lag_ms)
        return settings


_WATCHER_AND_SELECTOR: Final = (Role.WATCHER, Role.SELECTOR)

FACTS: Final = Topic(
    "ledgerlb.facts.v1", "Kind/namespace/name", "compact", (Role.WATCHER,),
    "normalised objects, deletions, and a Synced marker per kind after each full list",
    read_by=(*_WATCHER_AND_SELECTOR, Role.PLANNER), min_compaction_lag_ms=14 * _DAY_MS,
)  # fmt: skip
INTENTS: Final = Topic(
    "ledgerlb.intents.v1", "network|service", "compact", (Role.SELECTOR,),
    "what each Service wants of which network, what each network offers, and every verdict with its explanation",
    read_by=(*_WATCHER_AND_SELECTOR, Role.IPAM),
)  # fmt: skip
LEDGER: Final = Topic(
    "ledgerlb.ledger.v1", "network", "delete", (Role.IPAM,),
    "one chained entry per decision: the truth about who holds which address",
    read_by=(*_WATCHER_AND_SELECTOR, Role.IPAM, Role.PLANNER),
)  # fmt: skip
SNAPSHOTS: Final = Topic(
    "ledgerlb.snapshots.v1", "network/chunk", "compact", (Role.IPAM,), "advisory snapshots of the fold",
    read_by=EVERY_ROLE,
)  # fmt: skip
PATHS: Final = Topic(
    "ledgerlb.paths.v1", "address", "compact", (Role.PLANNER,), "one path set per external address",
    read_by=(Role.WATCHER, Role.PLANNER, Role.AGENT),
)  # fmt: skip
REPORTS: Final = Topic(
    "ledgerlb.reports.v1", "address/agent", "compact", (Role.AGENT,),
    "what each agent programmed or withdrew, and heartbeats",
    read_by=(*_WATCHER_AND_SELECTOR, Role.IPAM, Role.AGENT),
)  # fmt: skip
HEADS: Final = Topic(
    "ledgerlb.heads.v1", "network", "delete", (Role.IPAM,), "signed heads of the chains",
    read_by=EVERY_ROLE,
)  # fmt: skip
DEAD_LETTERS: Final = Topic(
    "ledgerlb.dead-letters.v1", "original key", "delete", EVERY_ROLE,
    "raw bytes of records that could not be used, where from, why",
    read_by=EVERY_ROLE, retention_ms=90 * _DAY_MS, max_bytes=2 * 1024 * 1024,
)  # fmt: skip

ALL_TOPICS: Final = (FACTS, INTENTS, LEDGER, SNAPSHOTS, PATHS, REPORTS, HEADS, DEAD_LETTERS)
