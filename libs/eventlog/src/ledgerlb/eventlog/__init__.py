"""The event log: one port, a Kafka adapter and an embedded (SQLite or memory) adapter."""
