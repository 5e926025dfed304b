"""Tell a broker's denial from its silence. Both are LogUnavailable, and only a denial waits for an administrator."""

from __future__ import annotations

from typing import Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from ledgerlb.core.errors import LogAccessDenied, LogUnavailable

DENIALS: Final = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, GroupAuthorizationFailedError)
_REMEDY: Final = (
    "an administrator of Kafka grants it with ledgerlb topics apply --acls; ledgerlb topics check shows what is missing"
)


def denied(what: str) -> LogAccessDenied:
    """Return the error for something that the broker does not permit to this process's principal."""
    return LogAccessDenied(f"{what}: not permitted to this process's principal; {_REMEDY}")


def as_ours(what: str, error: KafkaError | OSError, remedy: str = "") -> LogUnavailable:
    """Return the error of a client as one of ours; ``remedy`` is for all but denials."""
    if isinstance(error, DENIALS):
        return denied(what)
    text = str(error) or type(error).__name__
    return LogUnavailable(f"{what}: {text}" + (f"; {remedy}" if remedy else ""))
