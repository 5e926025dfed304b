"""Intents in, chained ledger entries out: who holds which address."""
