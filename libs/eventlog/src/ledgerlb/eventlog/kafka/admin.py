"""Create the topics on the brokers, and check their settings.

Every topic has one partition and the settings of its declaration. ``min.insync.replicas`` follows the copies that the
topic has: with three or more, two must have a record before it counts as written; with fewer, asking for two would
stop all writing whenever one broker is away.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.kafka.access import Access
from ledgerlb.eventlog.kafka.denial import DENIALS, denied
from ledgerlb.eventlog.kafka.stop import finish
from ledgerlb.eventlog.topics import Topic

REQUEST_TIMEOUT_MS: Final = 8000
_MIN_ISR: Final = "min.insync.replicas"
_QUORUM_OF: Final = 3
_AT_LEAST: Final = frozenset({"max.message.bytes", "min.compaction.lag.ms", "delete.retention.ms"})
"""Settings that may be larger than declared."""
_SET_ON_TOPIC: Final = 1
"""Kafka's ``config_source`` of a setting made on the topic itself."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A topic as it is. ``overrides`` are the settings made on it, ``settings`` all that hold."""

    partitions: int
    replication: int
    settings: Mapping[str, str]
    overrides: Mapping[str, str]


@contextlib.asynccontextmanager
async def connect(access: Access) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client; raises KafkaError where no broker answers."""
    client = AIOKafkaAdminClient(**access.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    finally:
        await finish(client.close())


def wanted_settings(topic: Topic, replication: int) -> dict[str, str]:
    """The settings of the topic with that many copies."""
    return {
        **topic.config(),
        _MIN_ISR: "2" if replication >= _QUORUM_OF else "1",
        "unclean.leader.election.enable": "false",
    }


async def existing(client: AIOKafkaAdminClient, names: Sequence[str]) -> frozenset[str]:
    """Return which of these topics exist; asking never makes one. Raises LogUnavailable, LogAccessDenied, KafkaError.

    A broker lists only the topics that the principal may describe, so a list of all topics could not tell a topic that
    is missing from one that is not permitted.
    """
    # The client's own method lets the broker make the topics that it is asked for.
    request = MetadataRequest(list(names), allow_auto_topic_creation=False)
    found = set()
    for topic in (await client._send_request(request)).to_object()["topics"]:  # noqa: SLF001 - see above
        code = topic["error_code"]
        if not code or for_code(code) is not UnknownTopicOrPartitionError:
            _raise(code, f"topic {topic['topic']}", "")
            found.add(str(topic["topic"]))
    return frozenset(found)


async def provision(client: AIOKafkaAdminClient, topics: Sequence[Topic], replication: int) -> list[str]:
    """Make missing topics and set wrong settings; a line for each. Raises LogUnavailable, KafkaError."""
    lines = []
    known = await existing(client, [topic.name for topic in topics])
    for topic in topics:
        if topic.name not in known:
            await _create(client, topic, replication)
            lines.append(f"{topic.name}: created with {replication} cop{'y' if replication == 1 else 'ies'}")
    found = await _describe(client, [topic for topic in topics if topic.name in known])
    for topic in topics:
        state = found.get(topic.name)
        if state is None:
            continue
        wrong = _differences(topic, state)
        if wrong:
            await _alter(client, topic.name, {**state.overrides, **{key: want for key, _, want in wrong}})
            lines.extend(f"{topic.name}: {key} set to {want} (was {is_})" for key, is_, want in wrong)
    return lines


async def check(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> list[str]:
    """What is wrong, a line each: topic, setting, what it is and should be, remedy."""
    known = await existing(client, [topic.name for topic in topics])
    lines = [
        f"{topic.name}: the topic is missing; start a LedgerLB process with LEDGERLB_LOG_PROVISION=true"
        for topic in topics
        if topic.name not in known
    ]
    found = await _describe(client, [topic for topic in topics if topic.name in known])
    for topic in topics:
        state = found.get(topic.name)
        if state is None:
            continue
        if state.partitions != 1:
            lines.append(
                f"{topic.name}: has {state.partitions} partitions, wanted 1; partitions cannot be taken away: move the "
                "records to a new topic with one partition"
            )
        lines.extend(
            f"{topic.name}: {key} is {is_}, wanted {want}; set it back, or start a LedgerLB process with "
            "LEDGERLB_LOG_PROVISION=true"
            for key, is_, want in _differences(topic, state)
        )
    return lines


def _differences(topic: Topic, state: _Found) -> list[tuple[str, str, str]]:
    """(setting, value, wanted value) of each that is wrong. What is safer than declared is left alone."""
    return [
        (key, found, want)
        for key, want in wanted_settings(topic, state.replication).items()
        if (found := state.settings.get(key, "unset")) != want and not _is_harmless(topic, state, key, found, want)
    ]


def _is_harmless(topic: Topic, state: _Found, key: str, found: str, want: str) -> bool:
    if topic.cleanup == "compact" and key.startswith("retention."):
        return True  # retention does not bind compacted topics
    if not found.isdecimal():
        return False
    if key == _MIN_ISR:
        return int(want) <= int(found) <= state.replication
    return key in _AT_LEAST and int(found) >= int(want)


async def _create(client: AIOKafkaAdminClient, topic: Topic, replication: int) -> None:
    new = NewTopic(topic.name, 1, replication, topic_configs=wanted_settings(topic, replication))
    response = await client.create_topics([new])
    for entry in response.topic_errors:
        _raise(entry[1], f"creating {topic.name}", entry[2] if len(entry) > 2 else "", (TopicAlreadyExistsError,))


async def _alter(client: AIOKafkaAdminClient, name: str, settings: Mapping[str, str]) -> None:
    # The request replaces all settings of the topic, so those that others made there go along.
    resource = ConfigResource(ConfigResourceType.TOPIC, name, dict(settings))
    for response in await client.alter_configs([resource]):
        for code, message, *_ in response.resources:
            _raise(code, f"setting up {name}", message)


async def _describe(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, _Found]:
    if not topics:
        return {}
    names = [topic.name for topic in topics]
    described = {entry["topic"]: entry for entry in await client.describe_topics(names)}
    settings: dict[str, dict[str, str]] = {name: {} for name in names}
    overrides: dict[str, dict[str, str]] = {name: {} for name in names}
    for response in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, message, _, name, entries in response.resources:
            _raise(code, f"the settings of {name}", message)
            for key, value, source in _config_entries(entries):
                settings[name][key] = value
                if source == _SET_ON_TOPIC:
                    overrides[name][key] = value
    found = {}
    for name in names:
        partitions = described[name]["partitions"]
        copies = min((len(partition["replicas"]) for partition in partitions), default=0)
        found[name] = _Found(len(partitions), copies, settings[name], overrides[name])
    return found


def _config_entries(entries: Iterable[Any]) -> Iterable[tuple[str, str, int]]:
    for key, value, _read_only, source, *_ in entries:
        if value is not None:
            yield key, value, int(source)


def _raise(code: int, what: str, message: str | None, harmless: tuple[type[KafkaError], ...] = ()) -> None:
    if not code:
        return
    error = for_code(code)
    if issubclass(error, DENIALS):
        raise denied(what)
    if error not in harmless:
        raise LogUnavailable(f"{what}: {message or error.__name__}")
