"""TLS, passwords and client certificates between a log and a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.kafka import reader as kafka_reader
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.security import LogSecurity
from ledgerlb.eventlog.topics import FACTS, LEDGER
from tests.support.secure_kafka import PLAIN_USER, SecureKafka

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    made = SecureKafka(tmp_path_factory.mktemp("tls"))
    with made.broker:
        made.set_password("walter", "first secret")
        yield made


def password_file(folder: Path, password: str) -> str:
    path = folder / "password"
    path.write_text(password + "\n")
    return str(path)


def scram(secure: SecureKafka, folder: Path, password: str = "first secret", user: str = "walter") -> LogSecurity:
    return LogSecurity(
        tls_ca=secure.authority,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=user,
        sasl_password_file=password_file(folder, password),
    )


def plain(secure: SecureKafka, folder: Path) -> LogSecurity:
    user, password = PLAIN_USER
    return LogSecurity(
        tls_ca=secure.authority,
        sasl_mechanism="PLAIN",
        sasl_username=user,
        sasl_password_file=password_file(folder, password),
    )


def certified(secure: SecureKafka) -> LogSecurity:
    return LogSecurity(tls_ca=secure.authority, tls_cert=secure.certificate, tls_key=secure.key)


@pytest.mark.parametrize("how", ["SCRAM", "PLAIN", "certificate"])
async def test_a_log_works_for_a_client_that_proves_who_it_is(secure: SecureKafka, tmp_path: Path, how: str) -> None:
    security = {
        "SCRAM": lambda: scram(secure, tmp_path),
        "PLAIN": lambda: plain(secure, tmp_path),
        "certificate": lambda: certified(secure),
    }[how]()
    address = secure.mtls if how == "certificate" else secure.sasl
    async with connect(f"kafka://{address}", security) as log:
        await log.provision()
        assert await log.check() == []
        [offset] = await log.append(LEDGER, [NewRecord(how, b"x")])
        found: list[Record] = []
        await read_to_end(log, [LEDGER], found.append)
        assert (found[-1].offset, found[-1].key) == (offset, how)
        assert await log.end(LEDGER) == offset + 1


async def why_refused(address: str, security: LogSecurity) -> str:
    with pytest.raises(LogUnavailable) as raised:
        async with connect(f"kafka://{address}", security):
            pass
    assert address in str(raised.value) or "cannot be used" in str(raised.value)
    return str(raised.value)


async def test_a_wrong_password_names_the_settings(secure: SecureKafka, tmp_path: Path) -> None:
    for user in ("walter", "stranger"):
        message = await why_refused(secure.sasl, scram(secure, tmp_path, "wrong", user))
        assert "LEDGERLB_LOG_SASL_PASSWORD_FILE" in message
        assert "credentials" in message or "Authentication" in message


async def test_a_mechanism_that_the_broker_does_not_offer_is_named(secure: SecureKafka, tmp_path: Path) -> None:
    security = LogSecurity(
        tls_ca=secure.authority,
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username="walter",
        sasl_password_file=password_file(tmp_path, "first secret"),
    )
    assert "mechanism" in await why_refused(secure.sasl, security)


async def test_a_broker_of_another_authority_is_refused(secure: SecureKafka) -> None:
    message = await why_refused(secure.mtls, LogSecurity(tls_ca=secure.strange_authority))
    assert "LEDGERLB_LOG_TLS_CA" in message
    assert "certificate verify failed" in message


async def test_a_missing_client_certificate_is_named(secure: SecureKafka) -> None:
    assert "LEDGERLB_LOG_TLS_CERT" in await why_refused(secure.mtls, LogSecurity(tls_ca=secure.authority))


async def test_a_listener_that_wants_tls_is_named_to_a_client_without(secure: SecureKafka) -> None:
    assert "LEDGERLB_LOG_TLS_CA" in await why_refused(secure.sasl, LogSecurity())


async def test_a_password_file_that_is_missing_or_a_pipe_is_named(secure: SecureKafka, tmp_path: Path) -> None:
    security = scram(secure, tmp_path)
    Path(security.sasl_password_file).unlink()
    assert "LEDGERLB_LOG_SASL_PASSWORD_FILE" in await why_refused(secure.sasl, security)


async def test_a_new_password_needs_no_restart(
    secure: SecureKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "SILENCE", 2.0)
    await asyncio.to_thread(secure.set_password, "rita", "old")
    security = scram(secure, tmp_path, "old", "rita")
    async with connect(f"kafka://{secure.sasl}", security) as log:
        await log.provision()
        start = {FACTS.name: await log.end(FACTS)}
        async with await log.open([FACTS], start) as reader:
            await log.append(FACTS, [NewRecord("k", b"before")])
            assert [record.value for record in await reader.poll(10.0)] == [b"before"]
            await asyncio.to_thread(secure.set_password, "rita", "new")
            await asyncio.to_thread(secure.broker.stop_broker)
            await asyncio.to_thread(secure.broker.start_broker)  # every connection is made again
            Path(security.sasl_password_file).write_text("new")
            found: list[Record] = []
            async with asyncio.timeout(90):
                while not found or found[-1].value != b"after":
                    try:
                        if not found:
                            await log.append(FACTS, [NewRecord("k", b"after")])
                        found += await reader.poll(1.0)
                    except LogUnavailable:
                        await asyncio.sleep(0.2)
