"""Logs that need no server: one SQLite file, or memory."""

from ledgerlb.eventlog.embedded.memory import MemoryLog, MemoryStore
from ledgerlb.eventlog.embedded.sqlite import SqliteLog

__all__ = ["MemoryLog", "MemoryStore", "SqliteLog"]
