"""What every client of a Kafka cluster is made with: its servers, TLS and SASL.

Concurrency: one event loop. The files are small and read where a client is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.security import SYSTEM_AUTHORITIES, LogSecurity

_MAX_SECRET_BYTES: Final = 64 * 1024
DIAGNOSIS_TIMEOUT: Final = 5.0
"""Seconds for finding out why no client could connect."""
_EXPLAINED: Final = 3
"""How many causes of an error are shown."""


@dataclass(frozen=True, slots=True)
class Access:
    """See module. ``servers`` are ``host:port`` of brokers to begin with."""

    servers: tuple[str, ...]
    security: LogSecurity

    @property
    def address(self) -> str:
        """The servers, for messages."""
        return ",".join(self.servers)

    def options(self) -> dict[str, Any]:
        """The arguments of an aiokafka client, with the present content of the files. Raises LogUnavailable."""
        return {"bootstrap_servers": list(self.servers), **self._security_options()}

    def state_of_files(self) -> tuple[tuple[int, int, int], ...]:
        """What differs once one of the files was replaced or written."""
        return tuple(_state(path) for path in self.security.files)

    async def why_not(self) -> str:
        """Connect to each server once more, and return why that fails; "" where one answers."""
        reasons = []
        for server in self.servers:
            host, _, port = server.rpartition(":")
            try:
                async with asyncio.timeout(DIAGNOSIS_TIMEOUT):
                    connection = await create_conn(host.strip("[]"), int(port), **self._security_options())
            except (OSError, KafkaError, TimeoutError, LogUnavailable) as error:
                reasons.append(f"{server}: {self._explain(error)}")
            else:
                with contextlib.suppress(Exception):
                    connection.close()
                return ""
        return "; ".join(reasons)

    def _security_options(self) -> dict[str, Any]:
        security = self.security
        protocol = "SSL" if security.uses_tls else "PLAINTEXT"
        options: dict[str, Any] = {"security_protocol": protocol}
        if security.uses_tls:
            options["ssl_context"] = _context(security)
        if security.sasl_mechanism:
            options |= {
                "security_protocol": "SASL_SSL" if security.uses_tls else "SASL_PLAINTEXT",
                "sasl_mechanism": security.sasl_mechanism,
                "sasl_plain_username": security.sasl_username,
                "sasl_plain_password": _secret(security.sasl_password_file),
            }
        return options

    def _explain(self, error: BaseException) -> str:
        texts: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(texts) < _EXPLAINED:
            text = str(cause) or type(cause).__name__
            if text not in texts:
                texts.append(text)
            cause = cause.__cause__
        text = ": ".join(texts)
        if isinstance(error, LogUnavailable):
            return text
        return f"{text}; {self._remedy(error, text)}"

    def _remedy(self, error: BaseException, text: str) -> str:
        name = type(error).__name__
        if "Sasl" in name or "Authentication" in text:
            return "check LEDGERLB_LOG_SASL_USERNAME, LEDGERLB_LOG_SASL_PASSWORD_FILE and the mechanism"
        if isinstance(error, ssl.SSLCertVerificationError):
            return "check LEDGERLB_LOG_TLS_CA and the names in the broker's certificate"
        if "CERTIFICATE" in text.upper():
            return "check LEDGERLB_LOG_TLS_CERT and LEDGERLB_LOG_TLS_KEY"
        if isinstance(error, ssl.SSLError):
            return "check that this is a TLS listener"
        if "closed" in text or isinstance(error, ConnectionResetError):
            return "check whether the listener wants TLS, SASL or a client certificate (LEDGERLB_LOG_TLS_CA, …)"
        return "is it up?"


def _context(security: LogSecurity) -> ssl.SSLContext:
    try:
        authorities = None if security.tls_ca == SYSTEM_AUTHORITIES else security.tls_ca
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable("TLS_CA", security.tls_ca, error) from error
    if security.tls_cert:
        try:
            context.load_cert_chain(security.tls_cert, security.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable("TLS_CERT", f"{security.tls_cert} with {security.tls_key}", error) from error
    return context


def _secret(name: str) -> str:
    path = Path(name)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= _MAX_SECRET_BYTES:
            # A pipe or a device could keep the process waiting.
            problem = f"not a regular file of 1 to {_MAX_SECRET_BYTES} bytes"
            raise _unreadable("SASL_PASSWORD_FILE", name, problem)
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable("SASL_PASSWORD_FILE", name, error) from error


def _unreadable(setting: str, name: str, error: object) -> LogUnavailable:
    return LogUnavailable(f"LEDGERLB_LOG_{setting}: {name} cannot be used ({error}); correct the file or the setting")


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def loopback(servers: Sequence[str]) -> Access:
    """Access without any security, for tests and brokers of this machine."""
    return Access(tuple(servers), LogSecurity())
