"""A cluster in memory: the set of Kubernetes objects behind a folder of manifests and behind the simulator.

It keeps the API server's rules that matter to a controller: server-set metadata, ``status`` as a subresource,
finalizers that hold a deletion back, resource versions that guard patches, defaults of Services, mirroring of
manual Endpoints.

Concurrency: one event loop; no method waits, so every call is atomic. The cluster never changes a stored object in
place, and callers must not change the objects that they get.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ledgerlb.core.cluster.facts import AnyFact
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.api.refusals import CONFLICT, INVALID, NOT_FOUND, ApiRefused
from ledgerlb.kube.kinds import CLUSTER_SCOPED
from ledgerlb.kube.memory.defaults import ClusterAddresses, service_spec
from ledgerlb.kube.memory.mirror import mirrored_slices
from ledgerlb.kube.memory.remembered import made_object, metadata_of, written_on
from ledgerlb.kube.normalise.dispatch import subject_of
from ledgerlb.kube.normalise.fields import WrongField, mapping, text, text_map, texts

Object = dict[str, Any]
Key = tuple[str, str, str]
"""(kind, namespace, name)"""

_NAME: Final = re.compile(r"[a-z0-9A-Z]([-a-z0-9A-Z.:_]{0,251}[a-z0-9A-Z])?\Z")
_MAX_BIRTHS: Final = 100
_SERVER_SET: Final = ("uid", "creationTimestamp", "deletionTimestamp", "resourceVersion", "generation", "finalizers")


class Subscription:
    """Keys that changed since the last ``drain``, each once: a slow reader sees the latest state, not every step."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._changed: dict[Key, None] = {}
        self.on_change: Callable[[], None] | None = None

    def note(self, key: Key) -> None:
        """Note a changed key, and call ``on_change`` (once until the next ``drain``)."""
        first = not self._changed
        self._changed[key] = None
        if first and self.on_change is not None:
            self.on_change()

    def drain(self) -> list[tuple[Key, Object | None]]:
        """Return (key, the object as it is now, or None if it is gone), in the order of the first change."""
        changed, self._changed = self._changed, {}
        return [(key, self._cluster.get(*key)) for key in changed]

    def close(self) -> None:
        """End the subscription; idempotent."""
        self._cluster.forget(self)


class MemoryCluster:
    """See module. ``clock`` gives aware UTC times."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._objects: dict[Key, Object] = {}
        self._applied: dict[Key, Object] = {}
        self._births: dict[Key, int] = {}
        self._remembered: dict[Key, AnyFact] = {}
        """Facts of objects of an earlier life that were not applied yet."""
        self._mirrors: dict[tuple[str, str], tuple[str, ...]] = {}
        self._version = 0
        self._addresses = ClusterAddresses()
        self._subscriptions: list[Subscription] = []

    # Reading

    @property
    def resource_version(self) -> int:
        """The version of the latest change."""
        return self._version

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object, or None."""
        return self._objects.get((kind, namespace, name))

    def list(self, kind: str) -> list[Object]:
        """Return all objects of a kind, sorted by namespace and name."""
        return [self._objects[key] for key in sorted(key for key in self._objects if key[0] == kind)]

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds that have objects, sorted."""
        return tuple(sorted({key[0] for key in self._objects}))

    def subscribe(self) -> Subscription:
        """Return a subscription to the changes from now on."""
        subscription = Subscription(self)
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """End a subscription; idempotent."""
        self._subscriptions = [entry for entry in self._subscriptions if entry is not subscription]

    # An earlier life

    def remember(self, facts: Iterable[AnyFact]) -> None:
        """Restore what LedgerLB itself made, and keep for the first apply of each other object what it wrote on it.

        Call it before anything is applied.
        """
        for fact in facts:
            key = (fact.kind, fact.namespace, fact.name)
            if fact.deleting:
                continue
            made = made_object(fact)
            if made is None:
                self._remembered[key] = fact
                self._addresses.take(getattr(fact, "cluster_ips", ()))
                continue
            self._applied[key] = {"labels": {}, "annotations": {}, "status": {}, "finalizers": ()}
            self._remember_births(key, fact.uid)
            self._store(key, made)

    def _remember_births(self, key: Key, uid: str) -> None:
        """Count the births of the object on to the one that got this uid, so that no later one gets it again."""
        for births in range(1, _MAX_BIRTHS):
            if _uid(key, births) == uid:
                self._births[key] = births
                return

    # Writing

    def key_of(self, obj: Mapping[str, Any]) -> Key:
        """Return the key of an object; a namespaced one without a namespace gets ``default``. Raises BadInput."""
        try:
            return _checked_key(obj)
        except WrongField as wrong:
            raise BadInput(subject_of(obj), wrong.field, wrong.problem, "correct the object") from wrong

    def apply(self, obj: Mapping[str, Any], created: datetime | None = None, manager: str = "") -> Object:
        """Create or update, as an apply does.

        The object replaces what an earlier apply set. Labels, annotations, status and finalizers of other clients
        stay. ``created`` is the age of a new object that has none, ``manager`` its manager in ``managedFields``.
        Raises BadInput.
        """
        key = self.key_of(obj)
        try:
            return self._apply(key, obj, created, manager)
        except WrongField as wrong:
            raise BadInput(subject_of(obj), wrong.field, wrong.problem, "correct the object") from wrong

    def _apply(self, key: Key, obj: Mapping[str, Any], created: datetime | None, manager: str) -> Object:
        before = self._objects.get(key)
        body = {field: value for field, value in obj.items() if field not in {"metadata", "status"}}
        meta = dict(mapping(obj.get("metadata"), "metadata"))
        labels = text_map(meta.get("labels"), "metadata.labels")
        annotations = text_map(meta.get("annotations"), "metadata.annotations")
        finalizers = texts(meta.get("finalizers"), "metadata.finalizers")
        status = mapping(obj.get("status"), "status")
        given = {"labels": labels, "annotations": annotations, "status": status, "finalizers": finalizers}
        if before is None:
            known = self._remembered.pop(key, None)
            written = written_on(known) if known is not None else {}
            meta = self._new_metadata(key, meta, created, manager, known)
            new_status: Mapping[str, Any] = status or written.get("status", {})
            annotations = {**written.get("annotations", {}), **annotations}
            finalizers = tuple(dict.fromkeys([*written.get("finalizers", ()), *finalizers]))
            stored = written.get("spec", {})
        else:
            applied = self._applied[key]
            old = before["metadata"]
            labels = _merged(old.get("labels"), applied["labels"], labels)
            annotations = _merged(old.get("annotations"), applied["annotations"], annotations)
            kept = [entry for entry in old.get("finalizers", ()) if entry not in applied["finalizers"]]
            finalizers = tuple(dict.fromkeys([*kept, *finalizers]))
            if why := _new_finalizers(old, finalizers):
                raise WrongField("metadata.finalizers", why)
            meta = {k: v for k, v in old.items() if k not in {"labels", "annotations", "finalizers"}}
            # A manifest that changes its status means it (a Node's addresses); an unchanged one must not undo ours.
            new_status = status if status != applied["status"] else before.get("status", {})
        meta |= {
            k: v for k, v in (("labels", labels), ("annotations", annotations), ("finalizers", list(finalizers))) if v
        }
        if key[0] == "Service":
            if before is not None:
                stored = mapping(before.get("spec"), "spec")
            body["spec"] = service_spec(mapping(body.get("spec"), "spec"), stored, self._addresses)
            if body["spec"]["type"] != "LoadBalancer":  # as an API server does when the type changes
                new_status = {field: value for field, value in new_status.items() if field != "loadBalancer"}
        self._applied[key] = given
        result: Object = {**body, "metadata": meta}
        if new_status:
            result["status"] = dict(new_status)
        if before is not None and _body(before) != body:
            meta["generation"] = before["metadata"].get("generation", 1) + 1
        if _is_finished(meta):
            self._remove(key)
            return result
        stored_object = self._store(key, result)
        self._mirror(key)
        return stored_object

    def _new_metadata(
        self, key: Key, meta: dict[str, Any], created: datetime | None, manager: str, known: AnyFact | None
    ) -> dict[str, Any]:
        births = self._births[key] = self._births.get(key, 0) + 1
        earlier = metadata_of(known) if known is not None else {}
        if known is not None:
            self._remember_births(key, known.uid)
        stated = text(meta.get("creationTimestamp"), "metadata.creationTimestamp")
        result = {k: v for k, v in meta.items() if k not in {*_SERVER_SET, "labels", "annotations", "namespace"}}
        if key[1]:
            result["namespace"] = key[1]
        result["uid"] = text(meta.get("uid"), "metadata.uid") or earlier.get("uid") or _uid(key, births)
        result["creationTimestamp"] = stated or earlier.get("creationTimestamp") or _timestamp(created or self._clock())
        result["generation"] = earlier.get("generation", 1)
        if manager:
            result.setdefault("managedFields", [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}])
        return result

    def create(self, obj: Mapping[str, Any]) -> Object:
        """Create an object. No later apply takes away its labels or annotations, since no apply has set them.

        Raises BadInput, and ApiRefused (409 AlreadyExists) if the object exists already.
        """
        key = self.key_of(obj)
        if key in self._objects:
            raise ApiRefused(f"{_text(key)} exists already", CONFLICT, "AlreadyExists")
        created = self.apply(obj)
        self._applied[key] = {"labels": {}, "annotations": {}, "status": {}, "finalizers": ()}
        return created

    def patch_status(
        self,
        kind: str,
        namespace: str,
        name: str,
        status: Mapping[str, Any],
        version: str = "",
        *,
        finalizers: Sequence[str] | None = None,
    ) -> Object:
        """Merge into ``status`` (null removes a key, lists are replaced) and replace the list of ``finalizers``
        unless it is None; both are one version of the object. The last finalizer of a deleted object completes its
        deletion. Returns the object (as it last was).

        Raises ApiRefused: 404, 409; 422 for a new finalizer on an object that is being deleted, and for an ingress of
        a Service that is not of type LoadBalancer. A refused patch changes nothing.
        """
        before = self._existing(kind, namespace, name, version)
        after = {**before, "status": merge(before.get("status", {}), status)}
        if kind == "Service" and _shows_ingress(after) and before["spec"].get("type") != "LoadBalancer":
            raise ApiRefused(
                f"{_text((kind, namespace, name))}: status.loadBalancer.ingress may only be used when spec.type is "
                "LoadBalancer",
                INVALID,
                "Invalid",
            )
        return self._finish((kind, namespace, name), before, after, finalizers)

    def _finish(self, key: Key, before: Object, after: Object, finalizers: Sequence[str] | None) -> Object:
        """Store ``after`` with these finalizers (None: as they are), or remove it with its last one."""
        meta = after["metadata"]
        if finalizers is not None:
            if why := _new_finalizers(before["metadata"], finalizers):
                raise ApiRefused(f"{_text(key)}: metadata.finalizers: {why}", INVALID, "Invalid")
            meta = {**meta, "finalizers": list(finalizers)}
        after = {**after, "metadata": {k: v for k, v in meta.items() if v not in ({}, [])}}
        if _is_finished(meta):
            self._remove(key)
            return after
        return self._store(key, after)

    def patch_metadata(
        self, kind: str, namespace: str, name: str, metadata: Mapping[str, Any], version: str = ""
    ) -> Object:
        """Merge labels and annotations (null removes a key) and replace the list of finalizers where ``metadata`` has
        one. The last finalizer of a deleted object completes its deletion. Returns the object (as it last was). Raises
        ApiRefused: 404, 409; 422 for a new finalizer on an object that is being deleted.
        """
        before = self._existing(kind, namespace, name, version)
        changes = {field: metadata[field] for field in ("labels", "annotations") if field in metadata}
        after = {**before, "metadata": merge(before["metadata"], changes)}
        return self._finish((kind, namespace, name), before, after, metadata.get("finalizers"))

    def patch(self, kind: str, namespace: str, name: str, body: Mapping[str, Any]) -> Object:
        """Merge into labels, annotations and spec (null removes a key, lists are replaced). Raises ApiRefused (404)."""
        before = self._existing(kind, namespace, name, "")
        given = body.get("metadata", {})
        meta = merge(before["metadata"], {field: given[field] for field in ("labels", "annotations") if field in given})
        spec = merge(before.get("spec", {}), body.get("spec", {}))
        if spec != before.get("spec", {}):
            meta["generation"] = meta.get("generation", 1) + 1
        return self._store((kind, namespace, name), {**before, "metadata": meta, "spec": spec})

    def delete(self, kind: str, namespace: str, name: str) -> bool:
        """Delete at once, or set ``deletionTimestamp`` if the object has finalizers.

        Return False if there is nothing to delete.
        """
        key = (kind, namespace, name)
        before = self._objects.get(key)
        if before is None:
            return False
        if not before["metadata"].get("finalizers"):
            self._remove(key)
        elif "deletionTimestamp" not in before["metadata"]:
            self._store(
                key, {**before, "metadata": {**before["metadata"], "deletionTimestamp": _timestamp(self._clock())}}
            )
        return True

    # Inside

    def _existing(self, kind: str, namespace: str, name: str, version: str) -> Object:
        key = (kind, namespace, name)
        found = self._objects.get(key)
        if found is None:
            raise ApiRefused(f"{_text(key)} does not exist", NOT_FOUND, "NotFound")
        if version and version != found["metadata"]["resourceVersion"]:
            raise ApiRefused(f"{_text(key)} has changed since version {version}", CONFLICT, "Conflict")
        return found

    def _store(self, key: Key, obj: Object) -> Object:
        before = self._objects.get(key)
        if before is not None and {**before, "metadata": _unversioned(before)} == {
            **obj,
            "metadata": _unversioned(obj),
        }:
            return before
        self._version += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        self._objects[key] = stored
        self._notify(key)
        return stored

    def _remove(self, key: Key) -> None:
        self._version += 1
        del self._objects[key]
        self._applied.pop(key, None)
        self._notify(key)
        self._mirror(key)

    def _notify(self, key: Key) -> None:
        for subscription in self._subscriptions:
            subscription.note(key)

    def _mirror(self, key: Key) -> None:
        """Keep the mirrored slices of a Service in step with its manual Endpoints."""
        kind, namespace, name = key
        if kind not in {"Service", "Endpoints"}:
            return
        old = self._mirrors.pop((namespace, name), ())
        wanted = mirrored_slices(self.get("Service", namespace, name), self.get("Endpoints", namespace, name))
        names = tuple(entry["metadata"]["name"] for entry in wanted)
        if names:
            self._mirrors[namespace, name] = names
        for gone in old:
            if gone not in names:
                self.delete("EndpointSlice", namespace, gone)
        for entry in wanted:
            self.apply(entry)


def _uid(key: Key, births: int) -> str:
    """Return the uid of an object at its nth birth: the same in every run."""
    digest = hashlib.sha256("/".join((*key, str(births))).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def _checked_key(obj: Mapping[str, Any]) -> Key:
    kind = text(obj.get("kind"), "kind")
    if not kind:
        raise WrongField("kind", "is missing")
    meta = mapping(obj.get("metadata"), "metadata")
    name = text(meta.get("name"), "metadata.name")
    if not _NAME.match(name):
        raise WrongField("metadata.name", f"{name!r} is not a name" if name else "is missing")
    namespace = text(meta.get("namespace"), "metadata.namespace") or "default"
    if not _NAME.match(namespace):
        raise WrongField("metadata.namespace", f"{namespace!r} is not a name")
    return (kind, "" if kind in CLUSTER_SCOPED else namespace, name)


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386): mappings merge, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _new_finalizers(meta: Mapping[str, Any], finalizers: Sequence[str]) -> str:
    """Return why an object with this metadata may not get these finalizers, empty if it may."""
    new = [entry for entry in finalizers if entry not in meta.get("finalizers", ())]
    if not new or "deletionTimestamp" not in meta:
        return ""
    return f"no new finalizers can be added if the object is being deleted, found new finalizers {', '.join(new)}"


def _is_finished(meta: Mapping[str, Any]) -> bool:
    """Return whether the object is deleted and its last finalizer is gone."""
    return "deletionTimestamp" in meta and not meta.get("finalizers")


def _shows_ingress(obj: Object) -> bool:
    return bool((obj.get("status", {}).get("loadBalancer") or {}).get("ingress"))


def _merged(now: Mapping[str, str] | None, applied: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in (now or {}).items() if key not in applied}
    return {**kept, **wanted}


def _body(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in {"metadata", "status"}}


def _unversioned(obj: Object) -> Object:
    return {field: value for field, value in obj["metadata"].items() if field != "resourceVersion"}


def _text(key: Key) -> str:
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
