"""Who may do what on a real broker with an authorizer: each service its own work, and nobody another's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.structs import TopicPartition

from ledgerlb.core.errors import LogAccessDenied
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.acls import ADMINISTRATOR, Grant, Operation, principals_of, wanted_grants
from ledgerlb.eventlog.kafka import KafkaLog, acls, admin
from ledgerlb.eventlog.kafka.access import Access, loopback
from ledgerlb.eventlog.port import EventLog, NewRecord, Record, read_to_end
from ledgerlb.eventlog.security import LogSecurity
from ledgerlb.eventlog.topics import ALL_TOPICS, DEAD_LETTERS, FACTS, LEDGER, PATHS, Role, Topic
from ledgerlb.network_selector.assemble import assemble
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.parts import Ports
from ledgerlb.runtime.serve import serve
from ledgerlb.runtime.settings import ProcessSettings
from tests.builders.objects import service
from tests.support.secure_kafka import SecureKafka
from tests.support.simulate import apply, base, simulation_of

pytestmark = pytest.mark.integration

PRINCIPALS = principals_of(())
STRANGER = "ledgerlb-stranger"
"""A user that Kafka knows and no rule names."""


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    made = SecureKafka(tmp_path_factory.mktemp("acls"), authorizer=True)
    with made.broker:
        for user in (*(f"ledgerlb-{role}" for role in PRINCIPALS if role != ADMINISTRATOR), STRANGER):
            made.set_password(user, "secret")
        asyncio.run(provision(made))
        yield made


async def provision(secure: SecureKafka) -> None:
    async with as_administrator(secure) as log:
        await log.provision()
        await log.grant(PRINCIPALS)
        await log.append(FACTS, [NewRecord("Namespace//x", b"{}")])


@contextlib.asynccontextmanager
async def as_administrator(secure: SecureKafka) -> AsyncIterator[KafkaLog]:
    async with connect(f"kafka://{secure.broker.bootstrap}") as log:
        assert isinstance(log, KafkaLog)
        yield log


def security(secure: SecureKafka, user: str) -> LogSecurity:
    password = secure.folder / "password"
    password.write_text("secret")
    return LogSecurity(
        tls_ca=secure.authority,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=user,
        sasl_password_file=str(password),
    )


@contextlib.asynccontextmanager
async def as_user(secure: SecureKafka, user: str) -> AsyncIterator[EventLog]:
    async with connect(f"kafka://{secure.sasl}", security(secure, user)) as log:
        yield log


@contextlib.asynccontextmanager
async def admin_client(secure: SecureKafka, user: str) -> AsyncIterator[AIOKafkaAdminClient]:
    async with admin.connect(Access((secure.sasl,), security(secure, user))) as client:
        yield client


@contextlib.asynccontextmanager
async def extra_rule(secure: SecureKafka, grant: Grant) -> AsyncIterator[None]:
    """An access rule that nothing of LedgerLB asks for; removed at the end."""
    async with admin.connect(loopback([secure.broker.bootstrap])) as client:
        await acls.add(client, [grant])
        try:
            yield
        finally:
            await secure.remove_rules(client, grant.principal)


async def refused(call: Coroutine[Any, Any, Any]) -> str:
    """Why the log refused the call; empty where it did not."""
    try:
        async with asyncio.timeout(10):
            await call
    except LogAccessDenied as error:
        return str(error)
    return ""


async def may_append(log: EventLog, topic: Topic) -> bool:
    refusal = await refused(log.append(topic, [NewRecord("forged", b"{}")]))
    assert not refusal or (topic.name in refusal and "ledgerlb topics apply --acls" in refusal)
    return not refusal


async def may_read(log: EventLog, topic: Topic) -> bool:
    found: list[Record] = []
    refusal = await refused(read_to_end(log, [topic], found.append))
    assert not refusal or topic.name in refusal
    return not refusal


@pytest.mark.parametrize("role", Role)
async def test_a_service_writes_its_own_topics_and_no_others(secure: SecureKafka, role: Role) -> None:
    async with as_user(secure, f"ledgerlb-{role}") as log:
        written = {topic.name for topic in ALL_TOPICS if await may_append(log, topic)}
        assert written == {topic.name for topic in ALL_TOPICS if role in topic.written_by}


@pytest.mark.parametrize("role", Role)
async def test_a_service_reads_what_it_needs(secure: SecureKafka, role: Role) -> None:
    async with as_administrator(secure) as log:
        for topic in ALL_TOPICS:
            await log.append(topic, [NewRecord("there", b"{}")])
    async with as_user(secure, f"ledgerlb-{role}") as log:
        assert {topic.name for topic in ALL_TOPICS if await may_read(log, topic)} == {
            topic.name for topic in ALL_TOPICS if role in topic.read_by
        }
        assert await log.check() == []
        assert await log.end(LEDGER) > 0
        assert await log.provision() == []  # nothing to change, so nothing to refuse


async def test_the_reader_reads_everything_and_writes_nothing(secure: SecureKafka) -> None:
    async with as_user(secure, "ledgerlb-reader") as log:
        assert not [topic.name for topic in ALL_TOPICS if not await may_read(log, topic)]
        assert not [topic.name for topic in ALL_TOPICS if await may_append(log, topic)]


async def test_the_topics_job_mends_settings_and_appends_nothing(secure: SecureKafka) -> None:
    async with admin.connect(loopback([secure.broker.bootstrap])) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, PATHS.name, {"cleanup.policy": "delete"})])
    async with as_user(secure, "ledgerlb-topics") as log:
        assert f"{PATHS.name}: cleanup.policy set to compact (was delete)" in await log.provision()
        assert not [topic.name for topic in ALL_TOPICS if await may_append(log, topic)]
    async with as_user(secure, "ledgerlb-agent") as log:
        assert await log.check() == []


@pytest.mark.parametrize("role", [role for role in PRINCIPALS if role != ADMINISTRATOR])
async def test_nobody_deletes_the_ledger(secure: SecureKafka, role: str) -> None:
    async with admin_client(secure, f"ledgerlb-{role}") as client:
        response = await client.delete_topics([LEDGER.name])
        assert [for_code(code) for _, code, *_ in response.topic_error_codes] == [TopicAuthorizationFailedError]
        with pytest.raises(TopicAuthorizationFailedError):
            await client.delete_records({TopicPartition(LEDGER.name, 0): RecordsToDelete(before_offset=1)})
        with pytest.raises(LogAccessDenied):
            await acls.add(client, [Grant(f"User:ledgerlb-{role}", "topic", LEDGER.name, Operation.ALL)])
        if role != "topics":
            resource = ConfigResource(ConfigResourceType.TOPIC, LEDGER.name, {"retention.ms": "1"})
            [altered] = await client.alter_configs([resource])
            assert for_code(altered.resources[0][0]) is TopicAuthorizationFailedError


async def test_a_stranger_learns_that_it_is_not_permitted_and_not_that_the_ledger_is_gone(secure: SecureKafka) -> None:
    async with as_user(secure, STRANGER) as log:
        for call in (log.end(LEDGER), log.open([LEDGER]), log.append(LEDGER, [NewRecord("k", b"v")])):
            with pytest.raises(LogAccessDenied, match=rf"{LEDGER.name}.*not permitted to this process's principal"):
                async with asyncio.timeout(10):
                    await call
        assert "not permitted" in (await log.check())[0]


async def test_what_is_granted_is_what_the_check_wants(secure: SecureKafka) -> None:
    async with as_administrator(secure) as log:
        assert await log.grant(PRINCIPALS) == []
    async with as_user(secure, "ledgerlb-topics") as log:
        assert isinstance(log, KafkaLog)
        assert await log.check_access(PRINCIPALS) == []
    async with as_user(secure, "ledgerlb-agent") as log:
        assert isinstance(log, KafkaLog)
        with pytest.raises(LogAccessDenied):
            await log.check_access(PRINCIPALS)


def topics_check(secure: SecureKafka, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = security(secure, user)
    environment = os.environ | {
        "LEDGERLB_LOG": f"kafka://{secure.sasl}",
        "LEDGERLB_LOG_TLS_CA": found.tls_ca,
        "LEDGERLB_LOG_SASL_MECHANISM": found.sasl_mechanism,
        "LEDGERLB_LOG_SASL_USERNAME": user,
        "LEDGERLB_LOG_SASL_PASSWORD_FILE": found.sasl_password_file,
    }
    command = [sys.executable, "-m", "ledgerlb.cli.main", "topics", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


async def test_the_command_says_who_could_do_too_much(secure: SecureKafka) -> None:
    clean = await asyncio.to_thread(topics_check, secure, "ledgerlb-topics")
    assert (clean.returncode, clean.stdout, clean.stderr) == (0, "all topics are as declared\n", "")
    eve = f"User:eve-{uuid.uuid4().hex[:6]}"
    async with extra_rule(secure, Grant(eve, "topic", LEDGER.name, Operation.ALL)):
        found = await asyncio.to_thread(topics_check, secure, "ledgerlb-topics", "-o", "json")
        assert found.returncode == 1
        problems = json.loads(found.stdout)["problems"]
        assert [problem for problem in problems if problem.startswith(f"{eve} could delete {LEDGER.name};")], problems
        trusted = await asyncio.to_thread(
            topics_check, secure, "ledgerlb-topics", "--principal", f"administrator={eve}"
        )
        assert trusted.returncode == 0
    unable = await asyncio.to_thread(topics_check, secure, "ledgerlb-ipam")
    assert unable.returncode == 0
    assert "the access rules were not checked" in unable.stderr
    assert (await asyncio.to_thread(topics_check, secure, "ledgerlb-ipam", "--acls")).returncode == 3


async def facts_of_a_cluster() -> list[Record]:
    simulation = simulation_of([apply(*base(service("a/s")))])
    async for _ in simulation.run():
        pass
    return simulation.engine.records(FACTS)


async def eventually(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_service_without_its_rights_waits_and_works_once_it_has_them(secure: SecureKafka) -> None:
    """The selector as the reader: it reads everything, and may not write its verdict."""
    found = security(secure, "ledgerlb-reader")
    process = ProcessSettings(
        log=f"kafka://{secure.sasl}",
        log_tls_ca=found.tls_ca,
        log_sasl_mechanism=found.sasl_mechanism,
        log_sasl_username=found.sasl_username,
        log_sasl_password_file=found.sasl_password_file,
        log_provision=False,
        http_port=0,
    )
    async with as_administrator(secure) as log:
        await log.append(FACTS, [NewRecord(record.key, record.value) for record in await facts_of_a_cluster()])
    health, stop = Health(), asyncio.Event()
    parts = assemble(DomainSettings(), Ports())
    running = asyncio.create_task(serve("network-selector", [parts], process, health=health, stop=stop))
    try:
        await eventually(lambda: any("append to ledgerlb.intents.v1" in why for why in health.not_ready()))
        assert any("not permitted" in why for why in health.not_ready())
        assert health.not_live() == []
        assert not running.done()
        intents = wanted_grants({"network-selector": ("User:ledgerlb-reader",)})
        async with admin.connect(loopback([secure.broker.bootstrap])) as client:
            await acls.add(client, intents)
        await eventually(lambda: not health.not_ready())
    finally:
        stop.set()
        assert await running == 0
        async with admin.connect(loopback([secure.broker.bootstrap])) as client:
            await secure.remove_rules(client, "User:ledgerlb-reader")
            await acls.add(client, wanted_grants({"reader": ("User:ledgerlb-reader",)}))
    async with as_user(secure, "ledgerlb-watcher") as log:
        assert await may_append(log, DEAD_LETTERS)
