"""The event log: one port, and adapters for Kafka and for an embedded log (SQLite or memory).

``connect`` opens the log that a URL names. ``port`` defines what every log does, ``topics`` declares the topics, and
``kafka`` and ``embedded`` implement the port.
"""

from ledgerlb.eventlog.connect import connect

__all__ = ["connect"]
