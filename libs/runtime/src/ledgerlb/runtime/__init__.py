"""What every LedgerLB process shares: settings, logging, health, metrics, its run loop."""
