"""How a process proves to Kafka who it is, and how it knows the brokers: TLS, SASL, client certificates.

Names of files are settings, secrets are in the files. Every new connection reads the files again, so new certificates
and passwords need no restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledgerlb.core.addresses import cidr_of, parse
from ledgerlb.core.errors import InvalidSetting

SYSTEM_AUTHORITIES: Final = "system"
"""Value of ``tls_ca`` that trusts the certificate authorities of the operating system."""
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class LogSecurity:
    """The settings ``LEDGERLB_LOG_<NAME>``. Raises InvalidSetting for a combination that cannot work.

    ``tls_ca`` is a PEM file of authorities, or ``system``; with it every connection uses TLS. ``tls_cert`` and
    ``tls_key`` are PEM files of the client certificate (mTLS). ``insecure`` permits connections without TLS to other
    hosts.
    """

    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password_file: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            missing, given = ("TLS_KEY", "TLS_CERT") if self.tls_cert else ("TLS_CERT", "TLS_KEY")
            raise _invalid(missing, f"is not set, but LEDGERLB_LOG_{given} is", "set both or neither")
        if self.tls_cert and not self.tls_ca:
            raise _invalid("TLS_CA", "is not set, but LEDGERLB_LOG_TLS_CERT is", "name a PEM file, or write system")
        if self.sasl_mechanism and self.sasl_mechanism not in MECHANISMS:
            raise _invalid("SASL_MECHANISM", f"is {self.sasl_mechanism!r}", f"write one of {', '.join(MECHANISMS)}")
        for name, value in (("SASL_USERNAME", self.sasl_username), ("SASL_PASSWORD_FILE", self.sasl_password_file)):
            if self.sasl_mechanism and not value:
                raise _invalid(name, "is not set, but LEDGERLB_LOG_SASL_MECHANISM is", "set it")
            if value and not self.sasl_mechanism:
                raise _invalid(
                    "SASL_MECHANISM", f"is not set, but LEDGERLB_LOG_{name} is", "set it, or unset the other"
                )

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted and the brokers prove who they are."""
        return bool(self.tls_ca)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a new connection reads."""
        named = (self.tls_ca, self.tls_cert, self.tls_key, self.sasl_password_file)
        return tuple(Path(name) for name in named if name and name != SYSTEM_AUTHORITIES)

    def require_safe(self, servers: Sequence[str]) -> None:
        """Raise InvalidSetting where records or passwords would travel in the clear to another host."""
        if self.uses_tls or self.insecure:
            return
        remote = [server for server in servers if not _is_loopback(server)]
        if remote:
            raise _invalid(
                "TLS_CA",
                f"is not set, so anyone between here and {', '.join(remote)} could forge allocations",
                "name the PEM file of the brokers' certificate authority; for a network that you trust, set "
                "LEDGERLB_LOG_INSECURE=true",
            )


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    address = parse(host)
    if address is None:
        return host == "localhost"
    return any(cidr_of(prefix).covers(address.family, address.value) for prefix in _LOOPBACK)


def _invalid(name: str, problem: str, remedy: str) -> InvalidSetting:
    return InvalidSetting("environment", f"LEDGERLB_LOG_{name}", problem, remedy)
