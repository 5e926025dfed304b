"""Scenarios: the whole decision path in one process, in virtual time, without a cluster."""
