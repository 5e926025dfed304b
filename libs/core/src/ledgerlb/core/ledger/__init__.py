"""The ledger: chained entries, and the one fold that every reader shares.

- ``events``, ``entry``: what is written; ``chain``: which entries count.
- ``records``, ``state``, ``evolve``: what one network's accepted entries add up to; ``fold``: all networks together.
- ``plan``, ``intervals``: which addresses a network can give out.
"""
