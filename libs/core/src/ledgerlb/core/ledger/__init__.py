"""The ledger: one chained entry per decision (``entry``, ``events``), and the chain that makes it a lock (``chain``)."""
