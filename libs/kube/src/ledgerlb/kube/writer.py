"""The writes that LedgerLB sends into a cluster: one at a time, to an API server or to a cluster in memory.

A patch of a built-in kind is a *strategic merge patch*: ``metadata.finalizers`` merges as a set and
``status.conditions`` by ``type``. Such a write needs no read before it, keeps what other controllers put there, and may
be repeated. Every other field that the patch gives replaces the old value, and null removes it. ``uid`` is a
precondition: the write leaves a namesake that was created later alone.

A Service's finalizer travels with its status, in one ``patch-status``: the API server stores both in one version of
the object. The status endpoint of a custom resource drops metadata, so custom resources need two writes.

Errors of ``ClusterWriter.write``: ClusterUnavailable (no answer, 429, 5xx: come back later; ``retry_after`` where
the server names it) and ClusterRefused (it will not take this write: admission, permissions, an invalid field).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

from ledgerlb.core.cluster.facts import FINALIZER, Condition, ServiceFact

Object = Mapping[str, Any]
Verb = Literal["patch-status", "patch-metadata", "create", "delete", "patch", "apply-metadata"]
"""``patch-status`` of a Service may carry finalizers too; that of a custom resource is a JSON merge patch: mappings
merge, lists are replaced, null removes. ``patch`` is such a patch of a whole custom resource. With ``apply-metadata``
our annotations and finalizers on a custom resource become those of the body, and only those; those of other
controllers stay."""

FIELD_MANAGER: Final = "ledgerlb"
DELETE_FINALIZERS: Final = "$deleteFromPrimitiveList/finalizers"
"""The field of a strategic merge patch that removes the finalizers it lists."""
MAX_EVENT_MESSAGE: Final = 1024
_MAX_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Write:
    """One write. ``body`` is the patch, or the object to create; ``uid`` the object's, empty where any will do;
    ``version`` the API version of a kind that has no fixed one.
    """

    kind: str
    namespace: str
    name: str
    verb: Verb
    body: Object
    uid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """The object that an Event is about."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str = ""


class ClusterWriter(Protocol):
    """See module. Writes may run concurrently; each is bounded in time."""

    async def write(self, write: Write) -> Object | None:
        """Send the write and return the object as it is afterwards.

        Return None if the object does not exist (any more), or if the object to create exists already. Raises
        ClusterUnavailable, ClusterRefused.
        """
        ...

    async def close(self) -> None:
        """Release connections; idempotent."""
        ...


def service_write(
    service: ServiceFact,
    addresses: Sequence[str] | None = None,
    conditions: Iterable[Condition] = (),
    dropped: Iterable[str] = (),
    *,
    finalizer: bool | None = None,
) -> Write:
    """Return the one patch that changes what a Service shows.

    ``addresses`` become the ingress (None leaves it alone). ``conditions`` are set, those of the types ``dropped``
    removed. ``finalizer`` True adds our finalizer, False removes it, None leaves it alone; finalizers of other
    controllers stay in any case. The API server refuses the whole patch if it adds a finalizer to a Service that is
    being deleted.
    """
    status: dict[str, Any] = {}
    if addresses is not None:
        status["loadBalancer"] = {"ingress": [{"ip": a, "ipMode": "VIP"} for a in addresses] or None}
    entries: list[dict[str, Any]] = [_condition(condition) for condition in conditions]
    entries += [{"$patch": "delete", "type": name} for name in dropped]
    if entries:
        status["conditions"] = entries
    body: dict[str, Any] = {"status": status} if status else {}
    if finalizer is not None:
        field = "finalizers" if finalizer else DELETE_FINALIZERS
        body["metadata"] = {field: [FINALIZER]}
    return Write("Service", service.namespace, service.name, "patch-status", body, service.uid)


def _condition(condition: Condition) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.since,
    }
    if condition.observed_generation:
        entry["observedGeneration"] = condition.observed_generation
    return entry


def event_write(about: About, reason: str, message: str, *, warning: bool, at: datetime, identity: str) -> Write:
    """Return the write of an Event.

    Its name follows from its content and from ``identity`` (what led to it, such as ``network#seq``), so writing it
    twice creates it once.
    """
    content = repr((about, reason, message, identity))
    suffix = hashlib.sha256(content.encode()).hexdigest()[:16]
    namespace = about.namespace or "default"
    name = f"{about.name[: _MAX_NAME - len(suffix) - 1]}.{suffix}"
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "name": name},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            **({"namespace": about.namespace} if about.namespace else {}),
            **({"uid": about.uid} if about.uid else {}),
        },
        "reason": reason,
        "message": message if len(message) <= MAX_EVENT_MESSAGE else message[: MAX_EVENT_MESSAGE - 1] + "…",
        "type": "Warning" if warning else "Normal",
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": FIELD_MANAGER,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    return Write("Event", namespace, name, "create", body)
