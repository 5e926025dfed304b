"""Kubernetes objects for tests, and a client that puts them on a real API server.

The client uses a few connections, kept open: two hundred objects at once are what several tests are about. It blocks.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import queue
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import yaml

from tests.support.waiting import eventually

Object = dict[str, Any]

CRDS: Final = Path(__file__).resolve().parents[2] / "examples" / "crds"
FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
NETWORK_ANNOTATION: Final = "service.contrail.juniper.net/externalNetwork"
SELECTOR_ANNOTATION: Final = "service.contrail.juniper.net/externalNetworkSelector"
ADMITTED: Final = {"ledgerlb.io/external-networks": "true"}
"""Labels of a Namespace whose networks an administrator vouches for."""
DEFAULT_LABELS: Final = {"service.contrail.juniper.net/externalNetwork": "default-external"}
AT_ONCE: Final = 12
"""Requests under way at a time."""

_SECONDS: Final = 15.0
_IDLE_SECONDS: Final = 20.0
_KINDS: Final = {
    "Namespace": ("v1", "namespaces"),
    "Node": ("v1", "nodes"),
    "Service": ("v1", "services"),
    "Pod": ("v1", "pods"),
    "Endpoints": ("v1", "endpoints"),
    "Event": ("v1", "events"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
    "NetworkAttachmentDefinition": ("k8s.cni.cncf.io/v1", "network-attachment-definitions"),
    "VirtualNetwork": ("core.contrail.juniper.net/v1alpha1", "virtualnetworks"),
    "Subnet": ("core.contrail.juniper.net/v1alpha1", "subnets"),
    "VirtualNetworkRouter": ("core.contrail.juniper.net/v1alpha1", "virtualnetworkrouters"),
    "Kubemanager": ("configplane.juniper.net/v1", "kubemanagers"),
    "AddressPool": ("ledgerlb.io/v1alpha1", "addresspools"),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
}
_CLUSTER_SCOPED: Final = frozenset({"Namespace", "Node", "AddressPool", "CustomResourceDefinition"})
_OF_TESTS: Final = (
    "Service", "EndpointSlice", "Endpoints", "Pod", "NetworkAttachmentDefinition", "VirtualNetwork", "Subnet",
    "VirtualNetworkRouter", "Kubemanager", "AddressPool", "Event",
)  # fmt: skip


# Objects


def made(kind: str, namespace: str, name: str, **content: Any) -> Object:
    """An object; `labels` and `annotations` go into its metadata, everything else beside it."""
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    for key in ("labels", "annotations"):
        if content.get(key):
            metadata[key] = dict(content[key])
    rest = {key: value for key, value in content.items() if key not in {"labels", "annotations"}}
    return {"apiVersion": _KINDS[kind][0], "kind": kind, "metadata": metadata, **rest}


def kubemanager(selectors: Mapping[str, Any] | None = None) -> Object:
    """The Kubemanager with `default-external`, and further selectors."""
    default = {"default-external": {"networkSelector": {"matchLabels": dict(DEFAULT_LABELS)}}}
    return made(
        "Kubemanager",
        "contrail",
        "contrail-k8s-kubemanager",
        spec={"externalNetworkSelectors": {**default, **(selectors or {})}},
    )


def endpoint_slice(namespace: str, service: str, backends: Sequence[tuple[str, str]]) -> Object:
    """The EndpointSlice of a Service: (address, node) of each backend, all ready."""
    return made(
        "EndpointSlice",
        namespace,
        f"{service}-slice",
        labels={"kubernetes.io/service-name": service},
        addressType="IPv4",
        ports=[{"name": "http", "protocol": "TCP", "port": 8080}],
        endpoints=[
            {
                "addresses": [address],
                "nodeName": node,
                "conditions": {"ready": True, "serving": True, "terminating": False},
            }
            for address, node in backends
        ],
    )


# What a Service shows


def addresses_of(obj: Object) -> tuple[str, ...]:
    """The addresses that its status publishes."""
    ingress = obj.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    return tuple(entry["ip"] for entry in ingress)


def condition_of(obj: Object, kind: str) -> Object:
    """Its condition of that type; {} where there is none."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


# The API server


class Refused(AssertionError):
    """The API server answered with a status that the test did not expect."""


class Cluster:
    """A client of an API server with the credentials of a kubeconfig (YAML). Use as a context manager."""

    def __init__(self, kubeconfig: str) -> None:
        entry = yaml.safe_load(kubeconfig)
        cluster, user = entry["clusters"][0]["cluster"], entry["users"][0]["user"]
        self._server = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            for key in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[key]) + b"\n")
            file.flush()
            self._tls.load_cert_chain(file.name)
        self._idle: queue.LifoQueue[tuple[float, http.client.HTTPSConnection]] = queue.LifoQueue()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cluster")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get()[1].close()

    # Requests

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:
        """One request; gives the status and the decoded answer. Raises OSError where nothing answers."""
        with self._connection() as connection:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": kind, "Accept": accept})
            response = connection.getresponse()
            text = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text.decode(errors="replace")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        connection = self._idle_connection() or http.client.HTTPSConnection(
            str(self._server.hostname), self._server.port, timeout=_SECONDS, context=self._tls
        )
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.put((time.monotonic(), connection))

    def _idle_connection(self) -> http.client.HTTPSConnection | None:
        """Return an open connection, but none that has idled so long that the server may be closing it."""
        while True:
            try:
                since, connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            if time.monotonic() - since < _IDLE_SECONDS:
                return connection
            connection.close()

    def _do(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Object:
        status, answer = self.request(method, path, body, kind)
        if status >= http.client.BAD_REQUEST:
            raise Refused(f"{method} {path}: {status} {answer}")
        assert isinstance(answer, dict), answer
        return answer

    # Objects

    def create(self, obj: Object) -> Object:
        """Create it; a status that it has is written as well (which a plain create ignores)."""
        metadata = obj["metadata"]
        stored = self._do("POST", path_of(obj["kind"], metadata.get("namespace", "")), obj)
        if "status" in obj:
            stored = self.patch_status(obj["kind"], metadata.get("namespace", ""), metadata["name"], obj["status"])
        return stored

    def apply(self, obj: Object) -> Object:
        """Create it, or replace the object of that name."""
        metadata = obj["metadata"]
        standing = self.get(obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if standing is None:
            return self.create(obj)
        version = standing["metadata"]["resourceVersion"]
        replaced = {**obj, "metadata": {**metadata, "resourceVersion": version}}
        return self._do("PUT", path_of(obj["kind"], metadata.get("namespace", ""), metadata["name"]), replaced)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object; None where there is none."""
        path = path_of(kind, namespace, name)
        status, answer = self.request("GET", path)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise Refused(f"GET {path}: {status} {answer}")
        assert isinstance(answer, dict)
        return answer

    def objects(self, kind: str, namespace: str = "") -> list[Object]:
        """Every object of the kind (in the namespace)."""
        return list(self._do("GET", path_of(kind, namespace)).get("items") or ())

    def patch(self, kind: str, namespace: str, name: str, body: Object) -> Object:
        """A merge patch: null removes, lists are replaced."""
        return self._do("PATCH", path_of(kind, namespace, name), body, "application/merge-patch+json")

    def patch_status(self, kind: str, namespace: str, name: str, status: Object) -> Object:
        """A merge patch of the status."""
        path = f"{path_of(kind, namespace, name)}/status"
        return self._do("PATCH", path, {"status": status}, "application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str, *, force: bool = False) -> None:
        """Ask for its deletion; `force` takes every finalizer off. Harmless where it is gone."""
        path = path_of(kind, namespace, name)
        # No kubelet would end a Pod's time of grace.
        status, answer = self.request("DELETE", f"{path}?gracePeriodSeconds=0" if kind == "Pod" else path)
        if force and status == http.client.OK:
            body = {"metadata": {"finalizers": None}}
            status, answer = self.request("PATCH", path, body, "application/merge-patch+json")
        if status not in {http.client.OK, http.client.ACCEPTED, http.client.NOT_FOUND}:
            raise Refused(f"DELETE {path}: {status} {answer}")

    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """`work` on every item, several at a time; the results in order."""
        return list(self._pool.map(work, items))

    def create_all(self, objects: Iterable[Object]) -> list[Object]:
        """Create them, several at a time."""
        return self.each(self.create, objects)

    def events_about(self, namespace: str, name: str) -> list[Object]:
        """The Events about the object of that name."""
        return [event for event in self.objects("Event", namespace) if event["involvedObject"]["name"] == name]

    def addresses(self, namespace: str) -> dict[str, tuple[str, ...]]:
        """What the status of every Service of the namespace publishes, by name."""
        return {obj["metadata"]["name"]: addresses_of(obj) for obj in self.objects("Service", namespace)}

    # The whole

    def install_definitions(self) -> None:
        """Apply examples/crds and wait until the kinds are served."""
        names = []
        for file in sorted(CRDS.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text("utf-8"))
            self.apply(definition)
            names.append(definition["metadata"]["name"])
        for name in names:
            eventually(functools.partial(self._is_served, name), f"the definition {name} is established")
        for kind in _OF_TESTS:
            eventually(functools.partial(self._lists, kind), f"{kind} is served")

    def remove_definitions(self) -> None:
        """Delete what examples/crds defines, and wait until it is gone."""
        names = [yaml.safe_load(file.read_text("utf-8"))["metadata"]["name"] for file in sorted(CRDS.glob("*.yaml"))]
        for name in names:
            self.delete("CustomResourceDefinition", "", name)
        for name in names:
            eventually(functools.partial(self._is_gone, name), f"the definition {name} is gone")

    def _is_gone(self, name: str) -> bool:
        return self.get("CustomResourceDefinition", "", name) is None

    def _is_served(self, name: str) -> bool:
        definition = self.get("CustomResourceDefinition", "", name) or {}
        return condition_of(definition, "Established").get("status") == "True"

    def _lists(self, kind: str) -> bool:
        return self.request("GET", path_of(kind))[0] == http.client.OK

    def ensure_namespaces(self, *objects: Object) -> None:
        """Create Namespaces that are not there, and give the others the labels and annotations of these."""
        for obj in objects:
            name = obj["metadata"]["name"]
            if self.get("Namespace", "", name) is None:
                self.create(obj)
            else:
                self.patch("Namespace", "", name, {"metadata": {**obj["metadata"], "name": name}})

    def wipe(self) -> None:
        """Remove what tests made, with finalizers. Namespaces stay: no controller here would finish their deletion."""
        for kind in _OF_TESTS:
            found = [obj for obj in self.objects(kind) if obj["metadata"]["name"] != "kubernetes"]
            self.each(functools.partial(self._remove, kind), found)
        self.each(functools.partial(self._remove, "Node"), self.objects("Node"))

    def _remove(self, kind: str, obj: Object) -> None:
        metadata = obj["metadata"]
        force = bool(metadata.get("finalizers"))
        self.delete(kind, metadata.get("namespace", ""), metadata["name"], force=force)


def path_of(kind: str, namespace: str = "", name: str = "") -> str:
    """The path of a collection or object."""
    version, plural = _KINDS[kind]
    parts = [f"/apis/{version}" if "/" in version else f"/api/{version}"]
    if namespace and kind not in _CLUSTER_SCOPED:
        parts.append(f"namespaces/{namespace}")
    parts.append(plural)
    if name:
        parts.append(name)
    return "/".join(parts)
