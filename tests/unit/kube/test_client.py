"""The connection: configuration, credentials that expire, and how answers are told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from kubernetes_asyncio.config import incluster_config

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable, InvalidSetting
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.refusals import ApiRefused, ApiUnavailable
from ledgerlb.kube.api.writer import ApiWriter
from ledgerlb.kube.writer import service_write
from tests.unit.kube.fake_api import FakeApi


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as server:
        yield server


def configured(folder: Path, api: FakeApi, token: str = "none") -> Path:
    config = api.kubeconfig()
    config["users"][0]["user"]["token"] = token
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("content", [None, "", "[]", "just text", "kind: Config", "clusters: [", "current-context: x"])
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidSetting) as caught:
        async with ApiConnection(path):
            pass
    assert str(path) in str(caught.value)


async def test_credentials_that_changed_are_loaded_anew(api, tmp_path):
    path = configured(tmp_path, api, "old")

    def guard(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Bearer new"
        return web.json_response({"ok": True} if known else {"message": "who?"}, status=200 if known else 401)

    api.answers.append(guard)
    async with ApiConnection(path) as connection:
        configured(tmp_path, api, "new")
        with pytest.raises(ApiUnavailable, match="who"):
            await connection.get("/version")
        assert await connection.get("/version") == {"ok": True}


async def test_a_write_renews_credentials_that_ran_out(api, tmp_path):
    """Watches go on under a token that has run out, so a read may not meet it for minutes."""
    path = configured(tmp_path, api, "old")

    def guard(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Bearer new"
        return web.json_response({"kind": "Service"} if known else {"message": "who?"}, status=200 if known else 401)

    api.answers.append(guard)
    write = service_write(ServiceFact(namespace="a", name="web", uid="u", finalizer=True))
    async with ApiConnection(path) as connection:
        writer = ApiWriter(connection.client, renew=connection.renew)
        configured(tmp_path, api, "new")
        with pytest.raises(ApiUnavailable, match="who"):
            await writer.write(write)
        assert await writer.write(write) == {"kind": "Service"}


@pytest.mark.parametrize("content", [None, ""])
async def test_a_token_that_cannot_be_read_now_is_no_answer(api, tmp_path, monkeypatch, content):
    """The kubelet replaces it under way; the watcher must not end over it."""
    token, cert = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("t")
    cert.write_text("c")
    api.answers.append(lambda _: web.json_response({"ok": True}))
    async with ApiConnection(configured(tmp_path, api)) as connection:
        monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", timedelta(0))
        place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        loader = incluster_config.InClusterConfigLoader(str(token), str(cert), environ=place)
        loader.load_and_set(connection.client.configuration)
        connection.client.configuration.host = api.host
        assert await connection.get("/version") == {"ok": True}
        token.unlink()
        if content is not None:
            token.write_text(content)
        with pytest.raises(ApiUnavailable, match=r"credentials cannot be read.*token is mounted"):
            await connection.get("/version")
        with pytest.raises(ApiUnavailable, match=r"credentials cannot be read.*token is mounted"):
            await ApiWriter(connection.client).write(
                service_write(ServiceFact(namespace="a", name="web", uid="u", finalizer=True))
            )
        token.write_text("t2")
        assert await connection.get("/version") == {"ok": True}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, ClusterRefused),
        (404, ClusterRefused),
        (410, ClusterRefused),
        (429, ClusterUnavailable),
        (500, ClusterUnavailable),
        (503, ClusterUnavailable),
    ],
)
async def test_refusals_and_failures(api, tmp_path, status, kind):
    api.answers.append(
        lambda _: web.json_response({"message": "no", "reason": "Why"}, status=status, headers={"Retry-After": "7"})
    )
    async with ApiConnection(configured(tmp_path, api)) as connection:
        with pytest.raises(kind, match=f"GET /x: {status} no") as caught:
            await connection.get("/x")
    if isinstance(caught.value, ApiRefused):
        assert (caught.value.status, caught.value.reason) == (status, "Why")
    else:
        assert caught.value.retry_after == 7


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
async def test_an_answer_that_is_no_json_object_is_no_answer(api, tmp_path, body):
    api.answers.append(lambda _: web.Response(body=body))
    async with ApiConnection(configured(tmp_path, api)) as connection:
        with pytest.raises(ApiUnavailable, match="GET /x"):
            await connection.get("/x")


async def test_nobody_listens(tmp_path):
    async with FakeApi() as gone:
        path = configured(tmp_path, gone)
    async with ApiConnection(path) as connection:
        with pytest.raises(ApiUnavailable, match="no answer"):
            await connection.get("/x")


async def test_the_environment_is_read_once_and_not_with_every_request(api, tmp_path, monkeypatch):
    """aiohttp would look for a proxy and into a .netrc file each time."""
    api.answers += [lambda _: web.json_response({"ok": True}), lambda _: web.json_response({"ok": True})]
    async with ApiConnection(configured(tmp_path, api)) as connection:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
        assert await connection.get("/version") == {"ok": True}
        assert not connection.client.rest_client.pool_manager.trust_env
    async with ApiConnection(configured(tmp_path, api)) as connection:
        with pytest.raises(ApiUnavailable, match="no answer"):
            await connection.get("/version")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    async with ApiConnection(configured(tmp_path, api)) as connection:
        assert await connection.get("/version") == {"ok": True}
