"""Writes to a Kubernetes API server.

    200, 201                     done
    404; 422 on metadata.uid     the object does not exist (any more)
    422 on ingress, forbidden    the Service has just ceased to be a LoadBalancer: ClusterUnavailable, so that the
                                 publisher looks at it again
    422 on finalizers, forbidden the deletion of the Service has just begun: the same
    409 on create                the object exists already
    409 on apply-metadata        the object does not exist (any more): we force our fields, so nothing else conflicts
    409 on patch                 we try again soon, ``CONFLICT_TRIES`` times in all, then ClusterUnavailable
    401                          ClusterUnavailable, after we renewed the credentials
    429, 5xx, no answer          ClusterUnavailable
    anything else                ClusterRefused

Concurrency: as many requests at a time as there are callers; each is bounded by ``TIMEOUT``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiClient

from ledgerlb.core.errors import ClusterUnavailable, NotSupported
from ledgerlb.kube.api.client import authorise
from ledgerlb.kube.api.refusals import CONFLICT, NOT_FOUND, ApiRefused, ApiUnavailable
from ledgerlb.kube.kinds import BY_KIND
from ledgerlb.kube.writer import FIELD_MANAGER, Object, Write
from ledgerlb.runtime.backoff import doubled

TIMEOUT: Final = 10.0
"""Seconds for one request."""
CONFLICT_TRIES: Final = 5
_CONFLICT_WAIT: Final = 0.02
_UNAUTHORIZED: Final = 401
_INVALID: Final = 422
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_REFUSED: Final = 400
_CHANGED_MEANWHILE: Final = ("status.loadBalancer.ingress", "metadata.finalizers")
"""Fields that the server forbids to set because of a change that we have not seen yet."""
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_JSON: Final = msgspec.json.Decoder(dict[str, Any])
_METHODS: Final = {"create": "POST", "delete": "DELETE"}
_CONTENT: Final = {
    "patch-status": _STRATEGIC,
    "patch-metadata": _STRATEGIC,
    "patch": "application/merge-patch+json",
    "apply-metadata": "application/apply-patch+yaml",  # JSON is YAML
}
"""Content types of the verbs that are a PATCH."""


Renew = Callable[[], Awaitable[None]]


class ApiWriter:
    """A ClusterWriter on an API server.

    ``client`` carries host, TLS and credentials; the caller closes it. ``renew`` reloads credentials that the server
    has rejected.
    """

    def __init__(self, client: ApiClient, timeout: float = TIMEOUT, renew: Renew | None = None) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._renew = renew

    async def write(self, write: Write) -> Object | None:
        """See ClusterWriter."""
        for attempt in range(CONFLICT_TRIES):
            if attempt:
                await asyncio.sleep(doubled(_CONFLICT_WAIT, TIMEOUT, attempt))
            try:
                return await self._send(write)
            except ApiRefused as refused:
                if _is_absent(write, refused):
                    return None
                if refused.status != CONFLICT:
                    raise
        raise ClusterUnavailable(f"{_text(write)}: other clients changed it {CONFLICT_TRIES} times in a row")

    async def close(self) -> None:
        """Do nothing: the caller closes the client."""

    async def _send(self, write: Write) -> Object:
        # The way to an API server is short: compressing costs both sides more than it saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if content := _content(write):
            headers["Content-Type"] = content
        await authorise(self._client, headers)
        query = {} if write.verb == "delete" else {"fieldManager": FIELD_MANAGER}
        if write.verb == "apply-metadata":
            query["force"] = "true"  # our fields belong to us
        try:
            async with self._client.rest_client.pool_manager.request(
                _METHODS.get(write.verb, "PATCH"),
                f"{self._client.configuration.host}{_path(write)}",
                params=query,
                headers=headers,
                data=msgspec.json.encode(_body(write)),
                timeout=self._timeout,
                **_proxy_options(self._client),
            ) as answer:
                raw = await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{_text(write)}: no answer ({type(error).__name__} {error})") from error
        data = _decoded(write, raw, status)
        if status < _REFUSED:
            return data
        message = f"{_text(write)}: {data.get('message') or f'status {status}'}"
        if status == _UNAUTHORIZED and self._renew is not None:
            await self._renew()
        if status in {_UNAUTHORIZED, _TOO_MANY} or status >= _SERVER_ERROR:
            raise ApiUnavailable(message, float(retry_after) if retry_after.isdecimal() else 0.0)
        if status == _INVALID and _concerns(data, "metadata.uid"):
            raise ApiRefused(message, NOT_FOUND, "NotFound")
        if status == _INVALID and any(_concerns(data, field, "FieldValueForbidden") for field in _CHANGED_MEANWHILE):
            raise ApiUnavailable(message)
        raise ApiRefused(message, status, str(data.get("reason", "")))


def _proxy_options(client: ApiClient) -> dict[str, Any]:
    rest = client.rest_client
    options = {"proxy": rest.proxy, "proxy_headers": rest.proxy_headers, "server_hostname": rest.server_hostname}
    return {name: value for name, value in options.items() if value}


def _content(write: Write) -> str | None:
    """Return the content type of a patch. No server applies a strategic merge patch to a custom resource."""
    kind = BY_KIND.get(write.kind)
    if write.verb == "patch-status" and kind is not None and kind.optional:
        return _CONTENT["patch"]
    return _CONTENT.get(write.verb)


def _path(write: Write) -> str:
    kind = BY_KIND.get(write.kind)
    version = (kind.version or write.version) if kind is not None else ""
    if kind is None or not version:
        raise NotSupported(f"writing a {write.kind} is not part of this version")
    name = "" if write.verb == "create" else write.name
    return kind.path(version, write.namespace, name, "status" if write.verb == "patch-status" else "")


def _body(write: Write) -> Mapping[str, Any]:
    if write.verb == "apply-metadata":
        kind = BY_KIND[write.kind]
        place = {"namespace": write.namespace} if kind.namespaced else {}
        metadata = {**write.body["metadata"], **place, "name": write.name, "uid": write.uid}
        return {"apiVersion": kind.api_version(write.version), "kind": write.kind, "metadata": metadata}
    if not write.uid or write.verb == "create":
        return write.body
    if write.verb == "delete":
        return {**write.body, "preconditions": {"uid": write.uid}}
    # The server refuses a patch that changes the uid, so naming it is a precondition.
    return {**write.body, "metadata": {**write.body.get("metadata", {}), "uid": write.uid}}


def _is_absent(write: Write, refused: ApiRefused) -> bool:
    if refused.status == NOT_FOUND:
        return True
    return refused.status == CONFLICT and write.verb in {"create", "delete", "apply-metadata"}


def _concerns(data: Mapping[str, Any], field: str, reason: str = "") -> bool:
    causes = (data.get("details") or {}).get("causes") or ()
    return any(cause.get("field") == field and reason in {"", cause.get("reason")} for cause in causes)


def _decoded(write: Write, raw: bytes, status: int) -> dict[str, Any]:
    try:
        return _JSON.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError):
        pass
    if status < _REFUSED or status >= _SERVER_ERROR:
        raise ApiUnavailable(f"{_text(write)}: the answer (status {status}) is not JSON")
    return {"message": raw[:200].decode(errors="replace")}


def _text(write: Write) -> str:
    place = f"{write.namespace}/{write.name}" if write.namespace else write.name
    return f"{write.verb} of {write.kind} {place}"
