"""A Kafka broker that wants to know who connects: a SASL listener over TLS, and one with client certificates."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteAclsRequest

from tests.support.certificates import Authority, KeyPair
from tests.support.containers import KafkaBroker
from tests.support.engine import free_port

_FOLDER: Final = "/etc/kafka/tls"
_ITERATIONS: Final = 4096
_ALTER_SCRAM: Final = 51
_ANY: Final = 1
_SCRAM_SHA_512: Final = 2
_LOGIN: Final = "org.apache.kafka.common.security"
_AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
PLAIN_USER: Final = ("paula", "plain secret")


class SecureKafka:
    """See module. `folder` receives the PEM files. The broker's first listener stays open, for the tests' own use.

    With `authorizer`, the broker permits what its access rules (ACLs) allow; whoever uses the open listener is an
    administrator.
    """

    def __init__(self, folder: Path, *, authorizer: bool = False, heap: str = "-Xms256m -Xmx256m") -> None:
        self.folder = folder
        self._authorizer = authorizer
        self._sasl, self._mtls = free_port(), free_port()
        authority = Authority()
        server, self._client = authority.server("kafka", ("127.0.0.1", "localhost")), authority.client("ledgerlb")
        self.authority = self._write("ca.pem", authority.public)
        self.strange_authority = self._write("strange-ca.pem", Authority().public)
        self.certificate = self._write("client.pem", self._client.public)
        self.key = self._write("client-key.pem", self._client.key)
        self.broker = KafkaBroker(
            properties=self._properties(),
            files={f"{_FOLDER}/server.pem": _with_key(server), f"{_FOLDER}/ca.pem": authority.public},
            ports={9094: self._sasl, 9095: self._mtls},
            heap=heap,
        )

    @property
    def sasl(self) -> str:
        """The address of the listener that wants a password."""
        return f"127.0.0.1:{self._sasl}"

    @property
    def mtls(self) -> str:
        """The address of the listener that wants a client certificate."""
        return f"127.0.0.1:{self._mtls}"

    def set_password(self, user: str, password: str) -> None:
        """Make the SCRAM user, or change the password."""
        asyncio.run(self._alter_scram(user, password))

    async def remove_rules(self, client: AIOKafkaAdminClient, principal: str) -> None:
        """Remove every access rule of the principal, as an administrator."""
        nothing: Any = None
        await client._send_to_controller(DeleteAclsRequest(_ANY, nothing, _ANY, principal, nothing, _ANY, _ANY))

    async def _alter_scram(self, user: str, password: str) -> None:
        host, _, port = self.broker.bootstrap.rpartition(":")
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 10)
        try:
            writer.write(_alter_scram_request(user, password))
            size = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), 10))[0]
            answer = await asyncio.wait_for(reader.readexactly(size), 10)
        finally:
            writer.close()
        # correlation id (4), tags (1), throttle time (4), number of results + 1 (1), length of the user + 1, user, code
        code = struct.unpack_from(">h", answer, 11 + len(user.encode()))[0]
        assert code == 0, f"the broker refused the password of {user}: {answer!r}"

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def _properties(self) -> Mapping[str, str]:
        user, password = PLAIN_USER
        return {
            **(_AUTHORIZER if self._authorizer else {}),
            "listeners": "PLAINTEXT://:9092,SECRET://:9094,CERTIFIED://:9095,CONTROLLER://localhost:9093",
            "advertised.listeners": f"PLAINTEXT://{{bootstrap}},SECRET://{self.sasl},CERTIFIED://{self.mtls}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECRET:SASL_SSL,CERTIFIED:SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.secret.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.secret.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
            "listener.name.secret.plain.sasl.jaas.config": (
                f'{_LOGIN}.plain.PlainLoginModule required user_{user}="{password}";'
            ),
            "listener.name.certified.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": f"{_FOLDER}/server.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": f"{_FOLDER}/ca.pem",
        }


def _with_key(pair: KeyPair) -> bytes:
    return pair.key + pair.public


def _alter_scram_request(user: str, password: str) -> bytes:
    """AlterUserScramCredentials, version 0, which the client library does not have."""
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    header = struct.pack(">hhihB", _ALTER_SCRAM, 0, 1, -1, 0)
    upsertion = (
        _compact(user.encode())
        + struct.pack(">bi", _SCRAM_SHA_512, _ITERATIONS)
        + _compact(salt)
        + _compact(salted)
        + b"\0"
    )
    body = b"\x01" + b"\x02" + upsertion + b"\0"
    return struct.pack(">i", len(header) + len(body)) + header + body


def _compact(content: bytes) -> bytes:
    assert len(content) < 0x7F
    return bytes([len(content) + 1]) + content
