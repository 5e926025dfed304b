"""Find the log that a URL names.

memory:                          in this process only, gone with it
sqlite:///var/lib/ledgerlb.db    the file /var/lib/ledgerlb.db
sqlite:///.ledgerlb/ledger.db    a path whose first part begins with a dot is relative to the working directory
sqlite:ledger.db                 relative as well
kafka://host:9092,other:9092     bootstrap servers of a Kafka cluster
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog.embedded import MemoryLog, SqliteLog
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.security import LogSecurity

_FORMS: Final = "write kafka://host:port,host:port, sqlite:///path/to/file or memory:"
_NAME: Final = "log URL (LEDGERLB_LOG, or the option --log)"
_MAX_PORT: Final = 65535


def connect(url: str, security: LogSecurity | None = None) -> EventLog:
    """Return the log that ``url`` names, not yet connected: enter it with ``async with``. ``security`` is for Kafka
    alone. Raises InvalidSetting.
    """
    scheme, colon, rest = url.strip().partition(":")
    if not colon:
        raise InvalidSetting(_NAME, "", f"{url!r} has no scheme", _FORMS)
    if scheme == "memory":
        if rest:
            raise InvalidSetting(
                _NAME, "", f"{url!r} names something after memory:", "a memory log has no name: write memory:"
            )
        return MemoryLog()
    if scheme == "sqlite":
        return SqliteLog(sqlite_path(url))
    if scheme == "kafka":
        from ledgerlb.eventlog.kafka import KafkaLog  # noqa: PLC0415 - the client takes 0.2 s to import: only where used

        return KafkaLog(_bootstrap_servers(url, rest), security)
    raise InvalidSetting(_NAME, "", f"{url!r} has the unknown scheme {scheme!r}", _FORMS)


def sqlite_path(url: str) -> Path:
    """Return the file of a ``sqlite:`` URL (see module); raises InvalidSetting."""
    rest = url.strip().removeprefix("sqlite:")
    if rest.startswith("//"):
        rest = rest.removeprefix("//")
        if not rest.startswith("/"):
            raise InvalidSetting(_NAME, "", f"{url!r} has a host", "write sqlite:///path/to/file, with three slashes")
        rest = "/" + rest.lstrip("/")
        if rest.startswith("/."):
            rest = rest.removeprefix("/")
    if not rest or rest.endswith("/"):
        raise InvalidSetting(_NAME, "", f"{url!r} names no file", "write sqlite:///path/to/file")
    return Path(rest)


def _bootstrap_servers(url: str, rest: str) -> tuple[str, ...]:
    if not rest.startswith("//"):
        raise InvalidSetting(_NAME, "", f"{url!r} is not a Kafka URL", "write kafka://host:port,host:port")
    servers = tuple(part.strip() for part in rest.removeprefix("//").rstrip("/").split(",") if part.strip())
    if not servers:
        raise InvalidSetting(_NAME, "", f"{url!r} names no broker", "write kafka://host:port,host:port")
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
            raise InvalidSetting(
                _NAME, "", f"{server!r} in {url!r} is not host:port", "write kafka://host:port,host:port"
            )
    return servers
