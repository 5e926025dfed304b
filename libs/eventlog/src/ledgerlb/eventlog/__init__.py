"""The event log: one port, a Kafka adapter and an embedded (SQLite or memory) adapter."""

from ledgerlb.eventlog.connect import connect

__all__ = ["connect"]
