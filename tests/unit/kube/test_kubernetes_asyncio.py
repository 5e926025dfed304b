"""The parts of kubernetes-asyncio (and of aiohttp behind it) that are not promised to stay as they are.

Each test fails when an upgrade changes what ``ledgerlb.kube`` rests on; the message says where that is.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import kube_config

import ledgerlb.kube
from ledgerlb.kube.api.client import ApiConnection

WHERE = "see libs/kube/src/ledgerlb/kube/client.py"
FOLDER = Path(next(iter(ledgerlb.kube.__path__)))


@pytest.fixture
async def client():
    async with ApiClient(Configuration()) as client:
        yield client


async def test_the_session_of_the_client_can_be_replaced(client):
    rest = client.rest_client
    assert isinstance(rest.pool_manager, aiohttp.ClientSession), WHERE
    for name in ("proxy", "proxy_headers", "server_hostname"):
        assert hasattr(rest, name), WHERE
    before = rest.pool_manager
    connector = before.connector
    rest.pool_manager = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    before.detach()
    assert before.closed, WHERE
    assert not connector.closed, WHERE
    await client.close()
    assert connector.closed, f"closing the client must close the session that took the place of its own; {WHERE}"


async def test_credentials_are_put_into_the_headers(client):
    client.configuration.api_key["BearerToken"] = "secret"
    client.configuration.api_key_prefix["BearerToken"] = "Bearer"
    headers: dict[str, str] = {}
    await client.update_params_for_auth(headers, [], ["BearerToken"])
    assert headers == {"authorization": "Bearer secret"}, WHERE


async def test_credentials_are_refreshed_by_the_hook_of_the_configuration(client):
    called = []

    async def refresh(configuration: Configuration) -> None:
        called.append(configuration)

    client.configuration.api_key["BearerToken"] = "secret"
    client.configuration.refresh_api_key_hook = refresh
    await client.update_params_for_auth({}, [], ["BearerToken"])
    assert called == [client.configuration], WHERE


def test_a_kubeconfig_is_loaded_with_these_arguments():
    parameters = inspect.signature(config.load_kube_config).parameters
    assert {"config_file", "context", "client_configuration", "persist_config"} <= set(parameters), WHERE
    assert "client_configuration" in inspect.signature(config.load_incluster_config).parameters or (
        "kwargs" in inspect.signature(config.load_incluster_config).parameters
    ), WHERE
    assert issubclass(config.ConfigException, Exception)
    assert isinstance(kube_config.KUBE_CONFIG_DEFAULT_LOCATION, str), WHERE


async def test_an_open_connection_reads_neither_environment_nor_netrc_again(tmp_path):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: t}}]\n"
    )
    async with ApiConnection(kubeconfig) as connection:
        session = connection.client.rest_client.pool_manager
        assert session.trust_env is False, WHERE


def test_nothing_else_of_it_is_used():
    """A new use needs a test above."""
    used = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kubernetes_asyncio"):
                used |= {(path.name, f"{node.module}.{alias.name}") for alias in node.names}
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                owner = node.value
                assert (
                    isinstance(owner, ast.Name) and owner.id in {"self", "cls"}
                ) or path.name == "deletion_guard.py", f"{path.name}:{node.lineno}: {ast.unparse(node)} is private"
    assert {name for _, name in used} <= {
        "kubernetes_asyncio.config",
        "kubernetes_asyncio.client.ApiClient",
        "kubernetes_asyncio.client.Configuration",
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
    }
    assert {file for file, _ in used} <= {"client.py", "writer_api.py"}


@pytest.mark.parametrize(
    "module",
    [
        "source",
        "memory.cluster",
        "manifests.folder",
        "normalise.dispatch",
        "pods",
        "writer",
        "memory.writer",
        "api.listwatch",
        "api.source",
    ],
)
def test_only_an_api_connection_loads_the_client(module):
    code = (
        f"import sys, ledgerlb.kube.{module}; "
        "print([name for name in ('kubernetes_asyncio', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
