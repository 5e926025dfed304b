"""The IPAM service: turns intents into chained ledger entries, which record who holds which address.

The rules are pure and live in ``ledgerlb.core.ipam``. This package applies them: ``processor`` folds ledger, intents
and reports, and appends at most one decision per network at a time. ``assemble`` hands it to a process of its own
(``main``) or to ``ledgerlb run``.
"""
