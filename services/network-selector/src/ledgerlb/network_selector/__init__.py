"""The network-selector: reads facts, and writes as intents which external network serves which Service.

The rules are pure and live in ``ledgerlb.core.selection``. This package applies them: ``processor`` folds records and
decides when to apply which rule, ``agenda`` remembers what to look at and when, and ``assemble`` hands the parts to a
process of their own (``main``) or to ``ledgerlb run``.
"""
