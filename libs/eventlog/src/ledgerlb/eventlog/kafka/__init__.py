"""The event log on Apache Kafka."""

from ledgerlb.eventlog.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
