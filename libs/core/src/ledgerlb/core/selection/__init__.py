"""Choose the external network of a Service, explain the choice, and plan the intents for IPAM.

``select`` walks the priority order (``RUNGS``). The first rung that is present decides, even if its value cannot be
used: falling through to the next one could expose a Service on the wrong network. A Service that holds an address
keeps its network (its ``Anchor``) until its own annotations change or the network no longer serves it.

``SelectionContext`` holds what all choices share: networks, selectors, Namespaces. ``DerivedNetworks`` keeps it up to
date. ``plan_offers`` turns networks into offers; ``plan_intents`` and ``plan_end`` turn a ``Choice`` and a
``ServiceContext`` into the intents of one Service. ``explain`` puts a choice into words.
"""

from __future__ import annotations

from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.context import SelectionContext
from ledgerlb.core.selection.decide import select
from ledgerlb.core.selection.derived import DerivedNetworks
from ledgerlb.core.selection.explain import explain
from ledgerlb.core.selection.offers import plan_offers
from ledgerlb.core.selection.plan import (
    IntentPlan,
    ServiceContext,
    WithdrawalCause,
    not_ours,
    plan_end,
    plan_intents,
)
from ledgerlb.core.selection.rungs import RUNGS, Rung
from ledgerlb.core.selection.stick import Anchor, anchor_of
from ledgerlb.core.selection.takeover import plan_takeover, reserve_everywhere, unheld_addresses

__all__ = [
    "RUNGS",
    "Anchor",
    "Choice",
    "DerivedNetworks",
    "IntentPlan",
    "Rung",
    "SelectionContext",
    "ServiceContext",
    "WithdrawalCause",
    "anchor_of",
    "explain",
    "not_ours",
    "plan_end",
    "plan_intents",
    "plan_offers",
    "plan_takeover",
    "reserve_everywhere",
    "select",
    "unheld_addresses",
]
