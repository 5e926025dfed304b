"""Bring one object after the other to its wanted state, and never touch foreign objects.

| exists | wanted | then the reconciler |
|---|---|---|
| nothing | yes | creates it; if a foreign object has the name, it leaves that alone and reports it |
| ours, as wanted | yes | does nothing |
| ours, different | yes | patches it; if the object was as wanted before, it reports a foreign change |
| ours | no | deletes it |
| foreign | any | leaves it alone |

It looks at refused writes and foreign objects again when something changes, and every ``RETRY`` seconds. If another
client changes an object again and again, each revert waits longer, up to ``RETRY`` seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from ledgerlb.cn2 import Wanted, covers
from ledgerlb.cn2.model import CARRIED_ANNOTATION, DEFAULT_VERSION, GROUP, MANAGED_BY, MANAGED_BY_LABEL
from ledgerlb.core.cluster.facts import AnyFact, CN2ObjectFact, SubnetFact, VirtualNetworkFact
from ledgerlb.core.errors import ClusterRefused
from ledgerlb.core.index import Index
from ledgerlb.core.reasons import Reason
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.writer import ClusterWriter, Object, Write
from ledgerlb.runtime.backoff import doubled
from ledgerlb.runtime.due import is_due
from ledgerlb.watcher.objects.table import Key, ObjectTable

RETRY: Final = 60.0
_ECHO: Final = 2.0
"""Seconds in which the fact of an existing object should come, if the object is ours."""
_FREE_REVERTS: Final = 3
"""Reverts of one object before the next ones wait."""
_CALM: Final = 600.0
"""Seconds without a revert after which the count starts again."""
_OPTIONAL_SPEC: Final = {
    "VirtualNetwork": (
        "v4SubnetReference",
        "v6SubnetReference",
        "routeTargetList",
        "importRouteTargetList",
        "exportRouteTargetList",
        "fabricSNAT",
    ),
}
"""Fields of a spec that belong to us: an unwanted one is removed."""

_logger = structlog.get_logger(__name__)

Say = Callable[[str, str, str], None]
"""Called with (reason, message, identity): writes an Event on the owner of the object."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Do not write the object again before ``until``, unless it or its wanted state changes."""

    wanted: Wanted | None
    existing: AnyFact | None
    until: datetime


class ObjectReconciler:
    """See module. ``counts``: writes by verb, ``reverted``, ``refused``."""

    def __init__(
        self,
        table: ObjectTable,
        writer: ClusterWriter,
        clock: Callable[[], datetime],
        counts: Counter[str] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._waiting_owners: Index[Key, str, None] = Index()
        """The owners of each object that waits for another look."""
        self._table = table
        self._writer = writer
        self._clock = clock
        self._in_step: dict[Key, Wanted] = {}
        """The wanted state that each object last had."""
        self._stopped: dict[Key, _Stopped] = {}
        self._reverts: dict[Key, tuple[int, datetime]] = {}
        self._accepted: dict[Key, tuple[Wanted, AnyFact]] = {}
        """What the server stored of our write. If that is less than we wrote, we must not write it again."""
        self._taken: dict[Key, None] = {}
        self.versions: dict[str, str] = {}
        """The API version that the cluster serves, by kind."""

    async def bring(self, key: Key, wanted: Wanted | None, say: Say, owner: str) -> bool:
        """Do the write that is due for one object of an owner, and return whether there was one.

        Raises ClusterUnavailable.
        """
        written = await self._bring(key, wanted, say)
        if key in self._stopped:
            self._waiting_owners.add(key, owner)
        return written

    def is_stopped(self, key: Key, existing: AnyFact | None, wanted: Wanted | None = None) -> bool:
        """Return whether a refusal forbids to write the object now, because nothing has changed since."""
        stopped = self._stopped.get(key)
        if stopped is None:
            return False
        if (stopped.wanted, stopped.existing) == (wanted, existing) and not is_due(stopped.until, self._clock(), RETRY):
            return True
        del self._stopped[key]
        self._waiting_owners.pop(key)
        return False

    async def _bring(self, key: Key, wanted: Wanted | None, say: Say) -> bool:
        current = self._table.current(key)
        if self.is_stopped(key, current, wanted):
            return False
        if wanted is None:
            return await self._remove(key, current, say)
        if current is not None:
            self._taken.pop(key, None)
        if current is not None and not is_ours(current):
            self._leave(key, wanted, current, say)
            return False
        if current is not None and (current.deleting or self._is_in_step(key, current, wanted)):
            return False
        if self._in_step.get(key) == wanted and not self._may_revert(key, wanted, current, say):
            return False
        if current is None:
            return await self._create(key, wanted, say)
        write = Write(wanted.kind, wanted.namespace, wanted.name, "patch", _patch(wanted, current), current.uid)
        return await self._write(key, wanted, write, say)

    def waits(self) -> bool:
        """Return whether an object needs another look even if nothing changes."""
        return bool(self._stopped)

    def waiting_for(self, key: Key) -> tuple[str, ...]:
        """Return the owners of an object that waits for another look."""
        return tuple(self._waiting_owners.of(key))

    def take_due(self) -> tuple[str, ...]:
        """Release the objects that were stopped for long enough, and return their owners."""
        now = self._clock()
        found: dict[str, None] = {}
        for key in [key for key, stopped in self._stopped.items() if is_due(stopped.until, now, RETRY)]:
            del self._stopped[key]
            found.update(self._waiting_owners.pop(key))
        return tuple(found)

    def _is_in_step(self, key: Key, current: AnyFact, wanted: Wanted) -> bool:
        shown = fact_of(wanted.body())
        assert shown is not None, f"{wanted.kind} must be a kind that the normaliser reads"
        if not covers(current, shown) and self._accepted.get(key) != (wanted, current):
            return False
        self._in_step[key] = wanted
        return True

    def _may_revert(self, key: Key, wanted: Wanted, current: AnyFact | None, say: Say) -> bool:
        """Report that another client changed or deleted the object; return whether to restore it at once."""
        now = self._clock()
        count, last = self._reverts.get(key, (0, now))
        count = 1 if (now - last).total_seconds() > _CALM else count + 1
        self._reverts[key] = (count, now)
        self.counts["reverted"] += 1
        what = (
            "was deleted by another client; LedgerLB makes it again"
            if current is None
            else "was changed by another client"
        )
        text = f"{_text(key)} {what}" + ("" if current is None else "; LedgerLB reverts the change")
        say(Reason.FOREIGN_CHANGE_REVERTED, text, f"{_text(key)} {now.isoformat()}")
        del self._in_step[key]  # report it once
        if count <= _FREE_REVERTS:
            return True
        self._stop(key, wanted, current, doubled(1.0, RETRY, count - _FREE_REVERTS))
        return False

    async def _create(self, key: Key, wanted: Wanted, say: Say) -> bool:
        version = self.versions.get(wanted.kind) or DEFAULT_VERSION
        body = {**wanted.body(), "apiVersion": f"{GROUP}/{version}"}
        write = Write(wanted.kind, wanted.namespace, wanted.name, "create", body, version=version)
        try:
            made = await self._writer.write(write)
        except ClusterRefused as refused:
            self._refused(key, wanted, None, refused, say)
            return False
        if made is None:
            if key in self._taken:
                self._leave(key, wanted, None, say)
            else:  # if the object is ours, its fact is under way
                self._taken[key] = None
                self._stop(key, wanted, None, _ECHO)
            return False
        self._done(key, "create", wanted, made)
        return True

    async def _remove(self, key: Key, current: AnyFact | None, say: Say) -> bool:
        self._in_step.pop(key, None)
        self._reverts.pop(key, None)
        self._accepted.pop(key, None)
        self._taken.pop(key, None)
        if current is None or current.deleting or not is_ours(current):
            return False
        kind, _ = key
        write = Write(kind, current.namespace, current.name, "delete", {}, current.uid)
        return await self._write(key, None, write, say)

    async def _write(self, key: Key, wanted: Wanted | None, write: Write, say: Say) -> bool:
        current = self._table.current(key)
        version = self.versions.get(write.kind) or DEFAULT_VERSION
        try:
            result = await self._writer.write(replace(write, version=version))
        except ClusterRefused as refused:
            self._refused(key, wanted, current, refused, say)
            return False
        if result is None:
            self._table.wrote(key, None)
        elif write.verb == "delete":
            assert current is not None, "only an existing object is deleted"
            self.counts["delete"] += 1
            self._table.wrote(key, current.model_copy(update={"deleting": True}))
        else:
            assert wanted is not None, "only a wanted object is patched"
            self._done(key, write.verb, wanted, result)
        return True

    def _done(self, key: Key, verb: str, wanted: Wanted, result: Object) -> None:
        self.counts[verb] += 1
        fact = fact_of(result)
        self._table.wrote(key, fact)
        if fact is not None:
            self._accepted[key] = (wanted, fact)

    def _leave(self, key: Key, wanted: Wanted, current: AnyFact | None, say: Say) -> None:
        self._stop(key, wanted, current, RETRY)
        label = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
        text = f"{_text(key)} exists already without the label {label}, so LedgerLB does not touch it; remove it"
        say(Reason.OBJECT_NOT_OURS, text, _text(key))

    def refused(self, key: Key, current: AnyFact, refused: ClusterRefused, say: Say, owner: str) -> None:
        """Report the refusal of a write that the caller made, and stop until something changes."""
        self._refused(key, None, current, refused, say)
        self._waiting_owners.add(key, owner)

    def _refused(
        self, key: Key, wanted: Wanted | None, current: AnyFact | None, refused: ClusterRefused, say: Say
    ) -> None:
        self.counts["refused"] += 1
        self._stop(key, wanted, current, RETRY)
        _logger.error("the API server refused a write", object=_text(key), error=str(refused))
        say(Reason.OBJECT_REFUSED, str(refused), "")

    def _stop(self, key: Key, wanted: Wanted | None, current: AnyFact | None, seconds: float) -> None:
        self._stopped[key] = _Stopped(wanted, current, self._clock() + timedelta(seconds=seconds))


def is_ours(fact: AnyFact) -> bool:
    """Return whether LedgerLB made the object."""
    if isinstance(fact, CN2ObjectFact | SubnetFact):
        return fact.ours
    if isinstance(fact, VirtualNetworkFact):
        return fact.labels.get(MANAGED_BY_LABEL) == MANAGED_BY
    return False


def _patch(wanted: Wanted, current: AnyFact) -> dict[str, Any]:
    """Return the merge patch that brings the object to its wanted state and touches nothing else."""
    body = wanted.body()
    carried = current.annotations.get(CARRIED_ANNOTATION, "")
    dropped = {label: None for label in carried.split(",") if label and label not in wanted.labels}
    annotations: dict[str, Any] = dict(wanted.annotations)
    if carried and CARRIED_ANNOTATION not in annotations:
        annotations[CARRIED_ANNOTATION] = None
    unset = {field: None for field in _OPTIONAL_SPEC.get(wanted.kind, ()) if field not in wanted.spec}
    return {
        "metadata": {"labels": {**dropped, **body["metadata"]["labels"]}, "annotations": annotations},
        "spec": {**body["spec"], **unset},
    }


def _text(key: Key) -> str:
    return f"{key[0]} {key[1]}"
