"""Which external network serves a Service, and why.

- ``rungs``: the priority order, as data.
- ``context``: everything that a choice depends on besides the Service (networks, selectors, namespaces).
- ``candidates``: whether a network can serve a Service, and which of several does.
- ``decide``: ``select``, which walks the rungs and keeps holders where they are.
- ``stick``: the network that a holder stays with.
- ``explain``: a choice in words.

A rung that is present decides, also when what it says cannot be used: falling through to the next one could
expose a Service on the wrong network.
"""

from __future__ import annotations

from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.context import SelectionContext
from ledgerlb.core.selection.decide import select
from ledgerlb.core.selection.explain import explain
from ledgerlb.core.selection.rungs import RUNGS, Rung
from ledgerlb.core.selection.stick import Anchor, anchor_of

__all__ = ["RUNGS", "Anchor", "Choice", "Rung", "SelectionContext", "anchor_of", "explain", "select"]
