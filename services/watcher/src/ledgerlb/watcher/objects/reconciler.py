"""Brings one object after the other to what is wanted of it, and never touches what is somebody else's.

| stands | wanted | so |
|---|---|---|
| nothing | yes | created; where somebody else's has that name, it is left alone and that is told |
| ours, as wanted | yes | nothing |
| ours, different | yes | patched; where it was as wanted before, somebody changed it, and that is told |
| ours | no | deleted |
| somebody else's | any | left alone |

What the server refuses, and what is somebody else's, is looked at again when something changes, and every ``RETRY``
seconds. Whoever changes an object again and again waits longer for each revert, up to ``RETRY`` seconds.
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
"""Seconds in which the fact of an object that stands already should come, if it is ours."""
_FREE_REVERTS: Final = 3
"""Reverts of one object before the next ones wait."""
_CALM: Final = 600.0
"""Seconds without a revert after which they are counted anew."""
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
"""Fields of a spec that are ours also when they are not wanted: they are then removed."""

_logger = structlog.get_logger(__name__)

Say = Callable[[str, str, str], None]
"""(reason, message, identity) → an Event on whoever the object is for."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Not to be written again before ``until``, unless what is wanted or what stands changes."""

    wanted: Wanted | None
    standing: AnyFact | None
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
        self._for_whom: Index[Key, str, None] = Index()
        """On whose behalf objects wait to be looked at again."""
        self._table = table
        self._writer = writer
        self._clock = clock
        self._in_step: dict[Key, Wanted] = {}
        """What each object was last seen to show."""
        self._stopped: dict[Key, _Stopped] = {}
        self._reverts: dict[Key, tuple[int, datetime]] = {}
        self._accepted: dict[Key, tuple[Wanted, AnyFact]] = {}
        """What the server made of a write of ours, where it keeps less than we said: no reason to write again."""
        self._taken: dict[Key, None] = {}
        self.versions: dict[str, str] = {}
        """The API version that the cluster serves, by kind."""

    async def bring(self, key: Key, wanted: Wanted | None, say: Say, owner: str) -> bool:
        """Write what is due for one object, once, on behalf of an owner; whether something was written. Raises
        ClusterUnavailable.
        """
        written = await self._bring(key, wanted, say)
        if key in self._stopped:
            self._for_whom.add(key, owner)
        return written

    def is_stopped(self, key: Key, standing: AnyFact | None, wanted: Wanted | None = None) -> bool:
        """Whether the object is not to be written now, since that was refused and nothing has changed."""
        stopped = self._stopped.get(key)
        if stopped is None:
            return False
        if (stopped.wanted, stopped.standing) == (wanted, standing) and not is_due(stopped.until, self._clock(), RETRY):
            return True
        del self._stopped[key]
        self._for_whom.pop(key)
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
        """Whether some object is to be looked at again although nothing may change."""
        return bool(self._stopped)

    def waiting_for(self, key: Key) -> tuple[str, ...]:
        """On whose behalf the object waits to be looked at again."""
        return tuple(self._for_whom.of(key))

    def take_due(self) -> tuple[str, ...]:
        """Forget what has been stopped for long enough; returns on whose behalf it is to be looked at again."""
        now = self._clock()
        found: dict[str, None] = {}
        for key in [key for key, stopped in self._stopped.items() if is_due(stopped.until, now, RETRY)]:
            del self._stopped[key]
            found.update(self._for_whom.pop(key))
        return tuple(found)

    def _is_in_step(self, key: Key, current: AnyFact, wanted: Wanted) -> bool:
        shown = fact_of(wanted.body())
        assert shown is not None, f"{wanted.kind} was to be a kind that is read"
        if not covers(current, shown) and self._accepted.get(key) != (wanted, current):
            return False
        self._in_step[key] = wanted
        return True

    def _may_revert(self, key: Key, wanted: Wanted, current: AnyFact | None, say: Say) -> bool:
        """Somebody changed or deleted what was as wanted: tell, and whether it may be put right at once."""
        now = self._clock()
        count, last = self._reverts.get(key, (0, now))
        count = 1 if (now - last).total_seconds() > _CALM else count + 1
        self._reverts[key] = (count, now)
        self.counts["reverted"] += 1
        what = "was deleted by somebody else and is made again" if current is None else "was changed by somebody else"
        text = f"{_text(key)} {what}" + ("" if current is None else "; the change is reverted")
        say(Reason.FOREIGN_CHANGE_REVERTED, text, f"{_text(key)} {now.isoformat()}")
        del self._in_step[key]  # told once
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
            else:  # if it is ours, its fact is under way
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
            assert current is not None, "only what stands is deleted"
            self.counts["delete"] += 1
            self._table.wrote(key, current.model_copy(update={"deleting": True}))
        else:
            assert wanted is not None, "what is patched is wanted"
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
        text = (
            f"{_text(key)} exists already and has no label {MANAGED_BY_LABEL}={MANAGED_BY}: it is left alone; remove it"
        )
        say(Reason.OBJECT_NOT_OURS, text, _text(key))

    def refused(self, key: Key, current: AnyFact, refused: ClusterRefused, say: Say, owner: str) -> None:
        """A write that the caller made itself was refused: tell, and stop until something changes."""
        self._refused(key, None, current, refused, say)
        self._for_whom.add(key, owner)

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
    """Whether LedgerLB made the object."""
    if isinstance(fact, CN2ObjectFact | SubnetFact):
        return fact.ours
    if isinstance(fact, VirtualNetworkFact):
        return fact.labels.get(MANAGED_BY_LABEL) == MANAGED_BY
    return False


def _patch(wanted: Wanted, current: AnyFact) -> dict[str, Any]:
    """The merge patch that makes the object what is wanted, and leaves alone what nobody asked about."""
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
