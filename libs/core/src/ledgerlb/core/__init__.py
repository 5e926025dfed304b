"""The pure domain of LedgerLB: networks, selection, ledger, address choice, path sets."""
