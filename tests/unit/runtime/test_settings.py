from __future__ import annotations

from pathlib import Path

import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import DomainSettings
from ledgerlb.runtime.settings import ProcessSettings, domain_settings, process_settings, unread_variables
from tests.support.environment import remove_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    remove_settings(monkeypatch)


def of_file(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> DomainSettings:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return domain_settings(ProcessSettings(settings=path), environ or {})


def test_without_any_setting_the_defaults_hold() -> None:
    process = process_settings()
    assert process.log == "sqlite:///.ledgerlb/ledger.db"
    assert domain_settings(process, {}) == DomainSettings()


def test_the_environment_sets_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGERLB_LOG", "memory:")
    monkeypatch.setenv("LEDGERLB_HTTP_PORT", "9000")
    monkeypatch.setenv("LEDGERLB_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("LEDGERLB_SETTINGS", "")
    process = process_settings()
    assert (process.log, process.http_port, process.log_level, process.settings) == ("memory:", 9000, "debug", None)
    assert process_settings(http_port=0).http_port == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEDGERLB_HTTP_PORT", "tcp://10.0.0.1:80"),  # what a service link of Kubernetes would put there
        ("LEDGERLB_LOG_LEVEL", "loud"),
        ("LEDGERLB_LOG_REPLICATION", "0"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSetting) as raised:
        process_settings()
    assert raised.value.field == variable
    assert value in str(raised.value)
    assert raised.value.remedy


def test_the_file_has_the_keys_of_the_domain(tmp_path: Path) -> None:
    found = of_file(
        tmp_path,
        "contrailNamespace: cn2\ndefaults: {quarantine: 1h30m, lease: 60}\nkubemanager: {name: km}\n"
        "externalNetworkSelectors: {default-external: {matchLabels: {a: b}}}\nagentTimeout: 10s\n",
    )
    assert found.contrail_namespace == "cn2"
    assert (found.defaults.quarantine, found.defaults.lease, found.agent_timeout) == (5400.0, 60.0, 10.0)
    assert (found.kubemanager.namespace, found.kubemanager.name) == ("contrail", "km")
    assert found.external_network_selectors == {"default-external": {"matchLabels": {"a": "b"}}}


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert of_file(tmp_path, "# nothing\n") == DomainSettings()


@pytest.mark.parametrize("text", ["90", "90.0", " 90 ", "90s", "1m30s"])
def test_seconds_in_the_environment_are_a_number_or_text_with_units(text: str) -> None:
    assert domain_settings(ProcessSettings(), {"LEDGERLB_AGENT_TIMEOUT": text}).agent_timeout == 90


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path) -> None:
    found = of_file(
        tmp_path,
        "contrailNamespace: from-file\nmultus: false\ndefaults: {quarantine: 1m, lease: 2m}\nload_balancer_class: from/file\n",
        {
            "LEDGERLB_CONTRAIL_NAMESPACE": "from-env",
            "LEDGERLB_DEFAULTS__QUARANTINE": "30s",
            "LEDGERLB_MULTUS": "true",
            "LEDGERLB_LOAD_BALANCER_CLASS": "from/env",
            "LEDGERLB_EXTERNAL_NETWORK_SELECTORS": '{"default-external": {"matchLabels": {"a": "b"}}}',
            "LEDGERLB_PORT": "tcp://10.0.0.1:80",
        },
    )
    assert found.contrail_namespace == "from-env"
    assert found.multus is True
    assert found.load_balancer_class == "from/env"
    assert (found.defaults.quarantine, found.defaults.lease) == (30.0, 120.0)
    assert found.external_network_selectors == {"default-external": {"matchLabels": {"a": "b"}}}


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("contrailNamespac: x\n", "contrailNamespac", "is no setting"),
        ("defaults: {quarantin: 1m}\n", "defaults.quarantin", "is no setting"),
        ("defaults: {quarantine: soon}\n", "defaults.quarantine", "'soon'"),
        ("multus: perhaps\n", "multus", "'perhaps'"),
        ("agentTimeout: -5\n", "agentTimeout", "-5"),
        ("agentTimeout: .inf\n", "agentTimeout", "inf"),
        ("serviceNetwork: default-servicenetwork\n", "serviceNetwork", "namespace/name"),
        ("loadBalancerClass: ''\n", "loadBalancerClass", "at least 1 character"),
        ("kubemanager: {name: ''}\n", "kubemanager.name", "at least 1 character"),
        ("multus: [\n", "line 2", "invalid YAML"),
        ("- a\n", "", "not a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_file_and_key(
    tmp_path: Path, text: str, field: str, words: str
) -> None:
    with pytest.raises(InvalidSetting) as raised:
        of_file(tmp_path, text)
    assert raised.value.subject == f"settings file {tmp_path / 'settings.yaml'}"
    assert raised.value.field == field
    assert words in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="LEDGERLB_SETTINGS"):
        domain_settings(ProcessSettings(settings=tmp_path / "none.yaml"), {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEDGERLB_DEFAULTS__QUARANTINE", "soon"),
        ("LEDGERLB_DEFAULTS__QUARENTINE", "5m"),
        ("LEDGERLB_MULTUS", "perhaps"),
        ("LEDGERLB_LOAD_BALANCER_CLASS", ""),
        ("LEDGERLB_AGENT_TIMEOUT", "-5"),
        ("LEDGERLB_EXTERNAL_NETWORK_SELECTORS", "{not json"),
        ("LEDGERLB_EXTERNAL_NETWORK_SELECTORS", "[1]"),
    ],
)
def test_a_variable_of_the_domain_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        domain_settings(ProcessSettings(), {variable: value})
    assert raised.value.subject == "environment"
    assert raised.value.field == variable


def test_a_variable_that_nothing_reads_is_found_with_the_nearest_name():
    environ = {"LEDGERLB_LOG_LEVLE": "debug", "LEDGERLB_DEFAULTS__QUARENTINE": "5m", "LEDGERLB_LOG": "memory:"}
    assert unread_variables(environ, [ProcessSettings]) == [
        ("LEDGERLB_DEFAULTS__QUARENTINE", "LEDGERLB_DEFAULTS__QUARANTINE"),
        ("LEDGERLB_LOG_LEVLE", "LEDGERLB_LOG_LEVEL"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEDGERLB_CACHE_DIR", "/cache"),
        ("LEDGERLB_IMAGE_KAFKA", "kafka:1"),
        ("LEDGERLB_IPAM_SERVICE_HOST", "10.0.0.1"),
        ("LEDGERLB_IPAM_SERVICE_PORT_HTTP", "8080"),
        ("LEDGERLB_HTTP_PORTS_PORT", "tcp://10.0.0.1:8080"),
        ("LEDGERLB_IPAM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LEDGERLB_PORT", "tcp://10.0.0.1:8080"),
        ("PATH", "/bin"),
    ],
)
def test_variables_of_scripts_and_of_kubernetes_are_not_found(name, value):
    assert unread_variables({name: value}, [ProcessSettings]) == []


def test_a_misspelt_port_is_found():
    assert unread_variables({"LEDGERLB_HTPP_PORT": "80"}, [ProcessSettings]) == [
        ("LEDGERLB_HTPP_PORT", "LEDGERLB_HTTP_PORT")
    ]
