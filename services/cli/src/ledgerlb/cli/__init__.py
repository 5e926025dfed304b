"""The ledgerlb command."""
