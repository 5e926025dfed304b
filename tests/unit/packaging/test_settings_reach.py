"""Every documented variable reaches the object that it names, in a service's own process and in ``ledgerlb run``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from ledgerlb.cli import pipeline
from ledgerlb.cli.commands.run import run
from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.assemble import ProgrammerParts
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.ipam.processor import Ipam
from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.runtime.parts import Parts
from ledgerlb.runtime.settings import ProcessSettings, unread_variables
from ledgerlb.watcher.assemble import WatcherParts

ROOT = Path(__file__).resolve().parents[3]
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""
WATCHER, SELECTOR, IPAM, PROGRAMMER = "watcher", "network_selector", "ipam", "ecmp_programmer"
SERVICES = (WATCHER, SELECTOR, IPAM, PROGRAMMER)


class Served:
    """What an entry point handed to ``serve``: its settings and its parts."""

    def __init__(self, parts: Iterable[Parts], process: ProcessSettings) -> None:
        self.parts = tuple(parts)
        self.process = process
        self.processors = [processor for part in self.parts for processor in part.processors]

    def of(self, kind: type) -> Any:
        found = [one for one in self.processors if isinstance(one, kind)]
        assert len(found) == 1, f"{kind.__name__}: {found}"
        return found[0]

    @property
    def watcher(self) -> WatcherParts:
        return next(part for part in self.parts if isinstance(part, WatcherParts))

    @property
    def agent(self) -> Any:
        return self.of(Agent)

    def domains(self) -> list[Any]:
        """The domain's settings of every processor that has some."""
        found = [getattr(one, "_settings", None) or getattr(one, "settings", None) for one in self.processors]
        return [one for one in found if one is not None]


def _of_process(name: str) -> Callable[[Served], list[Any]]:
    return lambda served: [getattr(served.process, name)]


def _of_domain(path: str) -> Callable[[Served], list[Any]]:
    def look(served: Served) -> list[Any]:
        found = served.domains()
        assert found
        for name in path.split("."):
            found = [getattr(one, name) for one in found]
        return found

    return look


def _of_backend(name: str) -> Callable[[Served], list[Any]]:
    return lambda served: [getattr(served.agent._backend, name)]


FABRIC = {"LEDGERLB_BACKEND": "fabric-linux"}
PROCESS = {
    "LEDGERLB_LOG": ("memory:", "memory:", _of_process("log")),
    "LEDGERLB_LOG_TLS_CA": ("system", "system", _of_process("log_tls_ca")),
    "LEDGERLB_LOG_TLS_CERT": ("c.pem", "c.pem", _of_process("log_tls_cert")),
    "LEDGERLB_LOG_TLS_KEY": ("k.pem", "k.pem", _of_process("log_tls_key")),
    "LEDGERLB_LOG_SASL_MECHANISM": ("PLAIN", "PLAIN", _of_process("log_sasl_mechanism")),
    "LEDGERLB_LOG_SASL_USERNAME": ("u", "u", _of_process("log_sasl_username")),
    "LEDGERLB_LOG_SASL_PASSWORD_FILE": ("p", "p", _of_process("log_sasl_password_file")),
    "LEDGERLB_LOG_INSECURE": ("true", True, _of_process("log_insecure")),
    "LEDGERLB_SIGNING_KEY_FILE": ("k.pem", "k.pem", _of_process("signing_key_file")),
    "LEDGERLB_TRUSTED_KEYS_FILE": ("t.json", "t.json", _of_process("trusted_keys_file")),
    "LEDGERLB_LOG_NEW_LEDGER": ("true", True, _of_process("log_new_ledger")),
    "LEDGERLB_LOG_PROVISION": ("false", False, _of_process("log_provision")),
    "LEDGERLB_LOG_REPLICATION": ("3", 3, _of_process("log_replication")),
    "LEDGERLB_HTTP_HOST": ("127.0.0.9", "127.0.0.9", _of_process("http_host")),
    "LEDGERLB_HTTP_PORT": ("1234", 1234, _of_process("http_port")),
    "LEDGERLB_LOG_LEVEL": ("error", "error", _of_process("log_level")),
    "LEDGERLB_LOG_FORMAT": ("json", "json", _of_process("log_format")),
    "LEDGERLB_STOP_TIMEOUT": ("3", 3.0, _of_process("stop_timeout")),
}
DOMAIN = {
    "LEDGERLB_CONTRAIL_NAMESPACE": ("c9", "c9", _of_domain("contrail_namespace")),
    "LEDGERLB_KUBEMANAGER__NAMESPACE": ("k9", "k9", _of_domain("kubemanager.namespace")),
    "LEDGERLB_KUBEMANAGER__NAME": ("n9", "n9", _of_domain("kubemanager.name")),
    "LEDGERLB_EXTERNAL_NETWORK_SELECTORS": ('{"a": {}}', {"a": {}}, _of_domain("external_network_selectors")),
    "LEDGERLB_LOAD_BALANCER_CLASS": ("l/9", "l/9", _of_domain("load_balancer_class")),
    "LEDGERLB_FOREIGN_ANNOTATIONS": ("true", True, _of_domain("foreign_annotations")),
    "LEDGERLB_MULTUS": ("true", True, _of_domain("multus")),
    "LEDGERLB_NETWORK_NAMESPACES": ("tier=edge", "tier=edge", _of_domain("network_namespaces")),
    "LEDGERLB_RESTRICT_NETWORKS": ("true", True, _of_domain("restrict_networks")),
    "LEDGERLB_EXTERNAL_PREFIXES": (
        "10.0.0.0/8, 192.0.2.0/24",
        ("10.0.0.0/8", "192.0.2.0/24"),
        _of_domain("external_prefixes"),
    ),
    "LEDGERLB_DEFAULTS__QUOTA_PER_NAMESPACE": ("3", 3, _of_domain("defaults.quota_per_namespace")),
    "LEDGERLB_DEFAULTS__QUARANTINE": ("9s", 9.0, _of_domain("defaults.quarantine")),
    "LEDGERLB_DEFAULTS__LEASE": ("8s", 8.0, _of_domain("defaults.lease")),
    "LEDGERLB_DEFAULTS__STRICT_QUARANTINE": ("true", True, _of_domain("defaults.strict_quarantine")),
    "LEDGERLB_DEFAULTS__DECISIONS_PER_MINUTE": ("6", 6, _of_domain("defaults.decisions_per_minute")),
    "LEDGERLB_AGENT_TIMEOUT": ("7s", 7.0, _of_domain("agent_timeout")),
    "LEDGERLB_SERVICE_NETWORK": ("a/b", "a/b", _of_domain("service_network")),
}
CLUSTER = {
    "LEDGERLB_WRITE_CONCURRENCY": (
        "8",
        [8, 2, 2],
        lambda served: [[one.queue._limits.concurrency for one in (served.watcher.publisher, *served.watcher.objects)]],
    ),
    "LEDGERLB_WRITE_TIMEOUT": ("3.5", 3.5, lambda served: [served.watcher.writer._timeout.total]),
    "LEDGERLB_ADOPT_LOG": ("true", True, lambda served: [served.watcher.source._adopt]),
    "LEDGERLB_DELETION_GRACE": ("7m", 420.0, lambda served: [served.watcher.source._guard.grace]),
    "LEDGERLB_CN2_OBJECTS": ("off", [False, True], lambda served: [[one._enabled for one in served.watcher.objects]]),
    "LEDGERLB_NAD_OBJECTS": ("off", [True, False], lambda served: [[one._enabled for one in served.watcher.objects]]),
}
NODE = {
    "LEDGERLB_ROLES": ("planner", [Planner], lambda served: [_roles(served)]),
    "LEDGERLB_AGENT_NAME": ("node-9", "node-9", lambda served: [served.agent.agent]),
    "LEDGERLB_BACKEND": ("fabric-linux", "fabric-linux", lambda served: [served.agent._backend.name]),
    "LEDGERLB_HEARTBEAT_INTERVAL": ("2s", 2.0, lambda served: [served.agent._heartbeat_seconds]),
    "LEDGERLB_RECONCILE_INTERVAL": ("9s", 9.0, lambda served: [served.agent._reconcile_seconds]),
    "LEDGERLB_TAKE_DOWN_ON_STOP": ("true", ["take_down"], lambda served: [_tasks_of_programmer(served)]),
    "LEDGERLB_FABRIC_ALLOW_HOST_NAMESPACE": ("true", True, _of_backend("_allow_host_namespace")),
    "LEDGERLB_FABRIC_NETNS": ("lab", "lab", _of_backend("_netns")),
    "LEDGERLB_FABRIC_TABLE": ("99", 99, _of_backend("_table")),
    "LEDGERLB_FABRIC_PROTOCOL": ("88", 88, _of_backend("_protocol")),
    "LEDGERLB_FABRIC_ID_BASE": ("777", 777, _of_backend("_id_base")),
    "LEDGERLB_NODE_ALLOW_HOST_NAMESPACE": ("true", True, _of_backend("_allow_host_namespace")),
    "LEDGERLB_NODE_NETNS": ("lab", "lab", _of_backend("_netns")),
    "LEDGERLB_NODE_TABLE": ("lb", "lb", _of_backend("_table")),
}
OF_SERVICE = {
    WATCHER: {**PROCESS, **DOMAIN, **CLUSTER},
    SELECTOR: {**PROCESS, **DOMAIN},
    IPAM: {**PROCESS, **DOMAIN},
    PROGRAMMER: {**PROCESS, **DOMAIN, **NODE},
}
EVERYTHING = {**PROCESS, **DOMAIN, **CLUSTER, **NODE}
NEEDED = {name: FABRIC for name in NODE if "_FABRIC_" in name}
NEEDED |= {name: {"LEDGERLB_BACKEND": "node"} for name in NODE if "_NODE_" in name}
BY_THEIR_OWN_TESTS = {"LEDGERLB_SETTINGS", "LEDGERLB_KUBECONFIG", "LEDGERLB_MANIFESTS"}


def _roles(served: Served) -> list[type]:
    return [type(one) for one in served.processors if isinstance(one, Planner | Agent)]


def _tasks_of_programmer(served: Served) -> list[str]:
    return [task.__name__ for part in served.parts if isinstance(part, ProgrammerParts) for task in part.tasks]


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGERLB_KUBECONFIG", str(tmp_path / "config"))


@pytest.fixture
def served_by(monkeypatch) -> Callable[[str], Served]:
    """Start an entry point up to where it would serve."""
    caught: list[Served] = []

    async def serve(name: str, parts: Iterable[Parts], process: ProcessSettings, **_: Any) -> int:
        caught.append(Served(parts, process))
        return 0

    def start(entry: str) -> Served:
        if entry == "run":
            monkeypatch.setattr(pipeline, "serve", serve)
            typer_app = typer.Typer()
            typer_app.command()(run)
            assert typer_app([], standalone_mode=False) in {None, 0}
        else:
            main = importlib.import_module(f"ledgerlb.{entry}.main")
            monkeypatch.setattr(main, "serve", serve)
            with pytest.raises(SystemExit) as ended:
                main.main()
            assert ended.value.code == 0
        return caught.pop()

    return start


CASES = [(entry, name) for entry, names in (*OF_SERVICE.items(), ("run", EVERYTHING)) for name in names]


@pytest.mark.parametrize(("entry", "name"), CASES, ids=[f"{entry}-{name}" for entry, name in CASES])
def test_a_variable_reaches_what_it_names(entry, name, monkeypatch, served_by):
    text, expected, look = EVERYTHING[name]
    for variable, value in NEEDED.get(name, {}).items():
        monkeypatch.setenv(variable, value)
    assert all(found != expected for found in look(served_by(entry))), "the default is no test"
    monkeypatch.setenv(name, text)
    found = look(served_by(entry))
    assert found
    assert all(one == expected for one in found), found


@pytest.mark.parametrize("entry", [*SERVICES, "run"])
def test_the_settings_file_reaches_every_processor(entry, monkeypatch, tmp_path, served_by):
    (tmp_path / "settings.yaml").write_text("agentTimeout: 77s")
    monkeypatch.setenv("LEDGERLB_SETTINGS", str(tmp_path / "settings.yaml"))
    if entry == PROGRAMMER:
        assert [one.agent_timeout for one in served_by(entry).domains()] == [77.0]
    else:
        assert {one.agent_timeout for one in served_by(entry).domains()} == {77.0}


@pytest.mark.parametrize("entry", [WATCHER, "run"])
def test_a_folder_of_manifests_stands_for_the_cluster(entry, monkeypatch, tmp_path, served_by):
    monkeypatch.delenv("LEDGERLB_KUBECONFIG")
    monkeypatch.setenv("LEDGERLB_MANIFESTS", str(tmp_path))
    assert type(served_by(entry).watcher.writer).__name__ == "MemoryWriter"


def test_every_documented_variable_has_a_case():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    tables = re.findall(r"<!-- generated: \w+-settings -->(.*?)<!-- end -->", text, re.DOTALL)
    documented = {name for table in tables for name in re.findall(r"^\|.*?`(LEDGERLB_\w+)` \|", table, re.MULTILINE)}
    assert documented == set(EVERYTHING) | BY_THEIR_OWN_TESTS


@pytest.mark.parametrize("entry", [*SERVICES, "run"])
def test_no_documented_variable_of_an_entry_point_counts_as_unread(entry, served_by):
    names = {**EVERYTHING, **dict.fromkeys(BY_THEIR_OWN_TESTS)} if entry == "run" else OF_SERVICE[entry]
    models = [ProcessSettings, *(model for part in served_by(entry).parts for model in part.settings)]
    assert unread_variables(dict.fromkeys(names, "x"), models) == []


@pytest.mark.parametrize("entry", [*SERVICES, "run"])
def test_the_metrics_of_every_part_are_collected(entry, served_by):
    names = {metric.name for part in served_by(entry).parts for one in part.collectors for metric in one.collect()}
    assert ("ledgerlb_cluster_writes" in names) is (entry in {WATCHER, "run"})
    assert ("ledgerlb_ipam_entries" in names) is (entry in {IPAM, "run"})


def test_ipam_and_selector_are_in_run(served_by):
    served = served_by("run")
    assert served.of(Ipam)
    assert served.of(NetworkSelector)
