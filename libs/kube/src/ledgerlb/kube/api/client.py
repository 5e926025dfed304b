"""The connection to an API server: configuration and credentials by kubernetes-asyncio, raw JSON over its HTTP
session.

    GET 2xx                      the decoded body, or the open stream
    401, 429, 5xx, no answer     ApiUnavailable; at 401 we first reload the credentials
    credentials cannot be read   ApiUnavailable: a token file is empty for a moment while it is replaced
    any other status             ApiRefused

Concurrency: any number of tasks may share one connection. The session opens a TCP connection per request under way
(up to 100), so streams do not wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import yaml
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.kube.api.refusals import ApiRefused, ApiUnavailable

REQUEST_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
RELOAD_SECONDS: Final = 10.0
"""Least seconds between two reloads of the credentials."""
READ_BYTES: Final = 2 * 1024 * 1024
"""Buffer of an answer: an event of a watch carries a whole object."""
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_REFUSED: Final = 400
_JSON: Final = msgspec.json.Decoder(dict[str, Any])


class ApiConnection:
    """A connection to an API server; a writer uses its ``client``.

    Without a ``kubeconfig`` it takes the pod's own service account if there is one, else the file that kubectl would
    use.
    """

    def __init__(self, kubeconfig: str | Path | None = None, context: str | None = None) -> None:
        self._kubeconfig = str(kubeconfig) if kubeconfig else None
        self._context = context
        self._client: ApiClient | None = None
        self._reloaded = 0.0

    @property
    def client(self) -> ApiClient:
        """kubernetes-asyncio's client (host, TLS, credentials, session), once the connection is open."""
        assert self._client is not None, "the connection is not open"
        return self._client

    async def __aenter__(self) -> Self:
        """Load the configuration, without sending anything yet. Raises InvalidSetting."""
        configuration = Configuration()
        await self._load(configuration)
        self._client = ApiClient(configuration)
        _without_environment(self._client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _load(self, configuration: Configuration) -> None:
        try:
            if self._kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return
            await config.load_kube_config(
                config_file=_config_file(self._kubeconfig),
                context=self._context,
                client_configuration=configuration,
                persist_config=False,
            )
        except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
            named = self._kubeconfig or "the default kubeconfig"
            raise InvalidSetting(
                "kubeconfig",
                named,
                f"cannot be used ({' '.join(str(error).split())})",
                "name a kubeconfig file that kubectl accepts",
            ) from error

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the decoded body of a GET. Raises ApiUnavailable, ApiRefused."""
        times = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._request(path, query or {}, times) as answer:
            return _decoded(path, await answer.read())

    @contextlib.asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], idle: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the body of a GET as it arrives, in chunks that end anywhere.

        Raises ApiRefused, and ApiUnavailable, also when the connection breaks or is silent for ``idle`` seconds.
        """
        times = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        async with self._request(path, query, times) as answer:
            yield answer.content.iter_any()

    @contextlib.asynccontextmanager
    async def _request(
        self, path: str, query: Mapping[str, str], times: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        client = self.client
        # The way to an API server is short: compressing costs both sides more than it saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            await authorise(client, headers)
            async with client.rest_client.pool_manager.get(
                f"{client.configuration.host}{path}",
                params=query,
                headers=headers,
                timeout=times,
                **self._proxy_options(),
            ) as answer:
                if answer.status >= _REFUSED:
                    await self._refuse(path, answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cause = f"{type(error).__name__} {error}".strip()
            raise ApiUnavailable(f"GET {path}: no answer ({cause})") from error

    def _proxy_options(self) -> dict[str, Any]:
        rest = self.client.rest_client
        options = {"proxy": rest.proxy, "proxy_headers": rest.proxy_headers, "server_hostname": rest.server_hostname}
        return {name: value for name, value in options.items() if value}

    async def _refuse(self, path: str, answer: aiohttp.ClientResponse) -> None:
        raw = await answer.read()
        try:
            data = _JSON.decode(raw)
        except msgspec.DecodeError:
            data = {"message": raw[:200].decode(errors="replace")}
        message = f"GET {path}: {answer.status} {data.get('message') or answer.reason}"
        if answer.status == _UNAUTHORIZED:
            await self.renew()
        if answer.status in {_UNAUTHORIZED, _TOO_MANY} or answer.status >= _SERVER_ERROR:
            after = answer.headers.get("Retry-After", "")
            raise ApiUnavailable(message, float(after) if after.isdecimal() else 0.0)
        raise ApiRefused(message, answer.status, str(data.get("reason", "")))

    async def renew(self) -> None:
        """Reload the credentials after the server has rejected them. Unusable ones leave the old ones in place."""
        now = time.monotonic()
        if now - self._reloaded < RELOAD_SECONDS:
            return
        self._reloaded = now
        with contextlib.suppress(InvalidSetting):
            await self._load(self.client.configuration)


def _config_file(named: str | None) -> str:
    """Return the kubeconfig, or several as kubectl takes them.

    Raises FileNotFoundError if none exists: kubernetes-asyncio would take that for an empty kubeconfig.
    """
    path = named or os.environ.get("KUBECONFIG") or KUBE_CONFIG_DEFAULT_LOCATION
    if not any(Path(part).expanduser().exists() for part in path.split(os.pathsep) if part):
        raise FileNotFoundError(f"there is no file {path}")
    return path


async def authorise(client: ApiClient, headers: dict[str, str]) -> None:
    """Put the credentials into the headers of a request.

    kubernetes-asyncio rereads the pod's token about once a minute. Raises ApiUnavailable if it cannot read it now.
    """
    try:
        await client.update_params_for_auth(headers, [], ["BearerToken"])
    except (config.ConfigException, OSError, ValueError) as error:
        raise ApiUnavailable(
            f"API server {client.configuration.host}: the credentials cannot be read ({error}); "
            "check that the service account's token is mounted and not empty"
        ) from error


def _without_environment(client: ApiClient) -> None:
    """Make the session read the environment (a proxy for the server) once, now.

    Otherwise kubernetes-asyncio makes it read the environment and a .netrc file in a thread for every request, which
    is half the price of a request.
    """
    rest = client.rest_client
    generated = rest.pool_manager
    rest.pool_manager = aiohttp.ClientSession(
        connector=generated.connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=READ_BYTES
    )
    generated.detach()  # its connector lives on in ours
    server = urlsplit(str(client.configuration.host))
    proxy = getproxies().get(server.scheme)
    if proxy and not rest.proxy and not proxy_bypass(server.hostname or ""):
        rest.proxy = proxy


def _decoded(path: str, raw: bytes) -> dict[str, Any]:
    try:
        return _JSON.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ApiUnavailable(f"GET {path}: the answer is not a JSON object ({error})") from error
