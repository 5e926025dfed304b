"""What is published of a Service: its state, its addresses and whether these are programmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ledgerlb.core.cluster.facts import Condition

State = Literal["Ready", "Moving", "Pending", "Ignored", "Deleted"]
"""``Ready``: holds every address it wants. ``Moving``: holds some, but not yet what it wants now. ``Pending``: holds
none. ``Ignored``: not ours. ``Deleted``: on its way out."""

Elsewhere = Mapping[tuple[str, str], str]
"""The network that the data path serves instead, by (network, address) of a holding that it does not serve."""
NOWHERE: Final[Elsewhere] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether the data path serves the published addresses: ``status`` as a condition has it, a stable reason, and a
    sentence. ``degraded``: why only part of it works, although the whole counts as programmed; empty where all does.
    """

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class Publication:
    """See module. ``network``: the one whose addresses are published; ``wanted``: the one chosen. ``addresses`` are in
    ``ipFamilies`` order. ``decided`` False: a verdict is still outstanding, so nothing needs to be written yet.
    ``awaiting``: addresses of a move that some live agent does not forward yet. ``reachability``: whether the addresses
    are programmed, None where none is published.
    """

    state: State
    network: str | None = None
    wanted: str | None = None
    addresses: tuple[str, ...] = ()
    reason: str | None = None
    message: str = ""
    rung: str | None = None
    drift: str | None = None
    conditions: tuple[Condition, ...] = ()
    finalizer: bool = False
    decided: bool = True
    awaiting: tuple[str, ...] = ()
    reachability: Reachability | None = None
