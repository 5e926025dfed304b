"""What the ledger holds, as a fold of it shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ledgerlb.core.ledger.records import Holding

START = datetime(2026, 1, 1, tzinfo=UTC)


def holding(address: str = "192.0.2.2", network: str = "net/ext", service: str = "a/web", **fields: Any) -> Holding:
    """An address that a Service holds, as the first entry of its network gave it."""
    given = {
        "family": 6 if ":" in address else 4, "uid": f"uid-{service}", "state": "held", "since": START, "seq": 1,
        "release_seq": 0, "release_at": None, "sharing_key": "", "ports": (), "basis": "", "choice": "never-used",
        "address_since": START,
    } | fields  # fmt: skip
    return Holding(network=network, address=address, service=service, **given)
