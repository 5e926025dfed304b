from __future__ import annotations

from typing import Any

import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.security import LogSecurity
from ledgerlb.runtime.settings import process_settings


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tls_ca": "ca.pem", "tls_cert": "c.pem"}, "TLS_KEY"),
        ({"tls_ca": "ca.pem", "tls_key": "k.pem"}, "TLS_CERT"),
        ({"tls_cert": "c.pem", "tls_key": "k.pem"}, "TLS_CA"),
        ({"sasl_mechanism": "GSSAPI", "sasl_username": "u", "sasl_password_file": "p"}, "SASL_MECHANISM"),
        ({"sasl_mechanism": "PLAIN", "sasl_password_file": "p"}, "SASL_USERNAME"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u"}, "SASL_PASSWORD_FILE"),
        ({"sasl_username": "u"}, "SASL_MECHANISM"),
        ({"sasl_password_file": "p"}, "SASL_MECHANISM"),
    ],
)
def test_a_combination_that_cannot_work_names_the_setting(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetting, match=f"LEDGERLB_LOG_{named}: "):
        LogSecurity(**settings)


@pytest.mark.parametrize("server", ["kafka:9092", "10.0.0.1:9092", "[2001:db8::1]:9092", "localhost.example:9092"])
def test_other_hosts_need_tls_unless_told_otherwise(server: str) -> None:
    url = f"kafka://127.0.0.1:9092,{server}"
    password = {"sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password_file": "p"}
    for security in (None, LogSecurity(**password)):
        with pytest.raises(InvalidSetting, match="LEDGERLB_LOG_INSECURE=true") as raised:
            connect(url, security)
        assert server in str(raised.value)
    connect(url, LogSecurity(insecure=True))
    connect(url, LogSecurity(tls_ca="system"))


def test_this_machine_needs_no_tls() -> None:
    connect("kafka://127.0.0.1:9092,[::1]:9092,localhost:9092,127.1.2.3:9092")


def test_the_environment_names_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "TLS_CA": "ca.pem", "TLS_CERT": "c.pem", "TLS_KEY": "k.pem", "SASL_MECHANISM": "SCRAM-SHA-256",
        "SASL_USERNAME": "u", "SASL_PASSWORD_FILE": "p", "INSECURE": "true",
    }  # fmt: skip
    assert {name.lower() for name in values} == set(LogSecurity.__dataclass_fields__)
    for name, value in values.items():
        monkeypatch.setenv(f"LEDGERLB_LOG_{name}", value)
    assert process_settings().log_security == LogSecurity(
        "ca.pem", "c.pem", "k.pem", "SCRAM-SHA-256", "u", "p", insecure=True
    )
