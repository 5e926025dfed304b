"""Writes into a cluster in memory: for a folder of manifests, the simulator and tests.

Concurrency: nothing waits, so every write is atomic. The writer keeps the newest ``MAX_EVENTS`` Events beside the
cluster.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from ledgerlb.core.errors import NotSupported
from ledgerlb.kube.api.refusals import CONFLICT, INVALID, NOT_FOUND, ApiRefused, ApiUnavailable
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.normalise.meta import OUR_FINALIZERS
from ledgerlb.kube.writer import DELETE_FINALIZERS, Object, Write

MAX_EVENTS: Final = 1000


class MemoryWriter:
    """A ClusterWriter on a MemoryCluster.

    It calls ``record`` with every whole object that it has written, with ``subresource: status`` for a status.
    """

    def __init__(self, cluster: MemoryCluster, record: Callable[[Object], None] | None = None) -> None:
        self._cluster = cluster
        self._record = record or (lambda _obj: None)
        self._events: OrderedDict[tuple[str, str], Object] = OrderedDict()

    @property
    def events(self) -> tuple[Object, ...]:
        """The Events written, oldest first."""
        return tuple(self._events.values())

    async def write(self, write: Write) -> Object | None:
        """See ClusterWriter."""
        try:
            return self._write(write)
        except ApiRefused as refused:
            if refused.status == NOT_FOUND or (refused.status == CONFLICT and write.verb == "create"):
                return None
            raise

    async def close(self) -> None:
        """Do nothing."""

    def _write(self, write: Write) -> Object | None:
        if write.kind == "Event" and write.verb == "create":
            return self._event(write)
        key = (write.kind, write.namespace, write.name)
        if write.verb == "create":
            made = self._cluster.create(write.body)
            self._record(made)
            return made
        current = self._cluster.get(*key)
        if current is None or (write.uid and current["metadata"]["uid"] != write.uid):
            return None
        match write.verb:
            case "patch-status":
                after: Object = self._patch_status(current, write)
                self._record({**after, "subresource": "status"})
            case "patch-metadata":
                after = self._cluster.patch_metadata(*key, _metadata(current, write.body["metadata"]))
                self._record(after)
            case "patch":
                after = self._cluster.patch(*key, write.body)
                self._record(after)
            case "apply-metadata":
                after = self._cluster.patch_metadata(*key, _applied(current, write.body["metadata"]))
                self._record(after)
            case "delete":
                self._cluster.delete(*key)
                after = current
            case _:
                raise NotSupported(f"{write.verb} of a {write.kind} is not known here")
        return after

    def _patch_status(self, current: Object, write: Write) -> Object:
        """Write status and finalizers as one version; the status endpoint of a custom resource drops metadata."""
        metadata = write.body.get("metadata", {}) if write.kind == "Service" else {}
        status = _status(current, write.body.get("status", {}))
        finalizers = _metadata(current, metadata).get("finalizers")
        try:
            return self._cluster.patch_status(write.kind, write.namespace, write.name, status, finalizers=finalizers)
        except ApiRefused as refused:
            if refused.status == INVALID:  # the Service has changed since the fact that the write was decided on
                raise ApiUnavailable(str(refused)) from refused
            raise

    def _event(self, write: Write) -> Object | None:
        key = (write.namespace, write.name)
        if key in self._events:
            return None
        self._events[key] = write.body
        if len(self._events) > MAX_EVENTS:
            self._events.popitem(last=False)
        self._record(write.body)
        return write.body


def _applied(current: Object, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Replace our finalizers by those given. Other finalizers and other annotations stay."""
    others = [entry for entry in current["metadata"].get("finalizers", ()) if not entry.startswith(OUR_FINALIZERS)]
    return {"annotations": ours.get("annotations", {}), "finalizers": [*others, *ours.get("finalizers", ())]}


def _status(current: Object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the strategic patch of a status into the merge patch that does the same to ``current``."""
    if "conditions" not in patch:
        return dict(patch)
    shown = current.get("status", {}).get("conditions") or ()  # another client may have left null there
    entries = {entry.get("type"): entry for entry in shown}
    for entry in patch["conditions"]:
        if entry.get("$patch") == "delete":
            entries.pop(entry["type"], None)
        else:
            entries[entry["type"]] = {**entries.get(entry["type"], {}), **entry}
    return {**patch, "conditions": list(entries.values()) or None}


def _metadata(current: Object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the strategic patch of metadata into the merge patch that does the same to ``current``."""
    result = {field: value for field, value in patch.items() if field != DELETE_FINALIZERS}
    finalizers = list(current["metadata"].get("finalizers", ()))
    if "finalizers" in patch:
        result["finalizers"] = list(dict.fromkeys([*finalizers, *patch["finalizers"]]))
    elif DELETE_FINALIZERS in patch:
        result["finalizers"] = [entry for entry in finalizers if entry not in patch[DELETE_FINALIZERS]]
    return result
