"""VirtualNetwork and Subnets of NetworkAttachmentDefinitions, for clusters in which CN2 does not make them.

A NAD that can be used gets our finalizer, then its objects, then its status annotation; one that cannot gets the
annotation only, which says why. A NAD that goes takes its VirtualNetwork and Subnets with it before the finalizer goes.
Where CN2's own controller keeps a NAD (its finalizer, or a VirtualNetwork of its making), the NAD is CN2's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.cn2 import NadObjects, Wanted, nad_objects
from ledgerlb.cn2.model import DEFAULT_VERSION
from ledgerlb.cn2.network_objects import NAD_FINALIZER, STATUS_ANNOTATION, owner_of
from ledgerlb.core.cluster.facts import (
    AnyFact,
    FactRecord,
    NetworkAttachmentDefinitionFact,
    Synced,
    VirtualNetworkFact,
)
from ledgerlb.core.errors import ClusterRefused
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, Topic
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.writer import About, Write
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.objects.reconciler import is_ours
from ledgerlb.watcher.objects.table import Key

_NAD: Final = "NetworkAttachmentDefinition"
_NAD_GROUP: Final = "k8s.cni.cncf.io"
_KEYS: Final = (f"{_NAD}/", "VirtualNetwork/", "Subnet/", "Synced/")


class NetworkObjectReconciler(ObjectProcessor):
    """A Processor; see module. An owner is a NAD, by ``namespace/name``. ``enabled`` False: nothing is made or changed
    any more; what an earlier run made goes with its NAD.
    """

    name = "nad-objects"
    reads: tuple[Topic, ...] = (FACTS,)
    needs = (_NAD, "VirtualNetwork", "Subnet")

    def take(self, record: Record) -> None:
        """See Processor."""
        if record.key.startswith(_KEYS):
            self._take_fact(self._projection.fact(record).fact)

    def _take_fact(self, fact: FactRecord) -> None:
        if isinstance(fact, Synced):
            self._mark(fact)
            return
        self._take_object(fact)
        if fact.kind in {_NAD, "VirtualNetwork"}:
            self._note((fact.full_name,))

    def owners_of(self, fact: AnyFact) -> tuple[str, ...]:
        """See ObjectProcessor."""
        if fact.kind == _NAD:
            return (fact.full_name,)
        owner = owner_of(fact.annotations, fact.namespace)
        return (owner,) if owner else ()

    def about(self, owner: str) -> About | None:
        """See ObjectProcessor."""
        nad = self._nad(owner)
        if nad is None:
            return None
        return About(_NAD, f"{_NAD_GROUP}/{self._version()}", nad.namespace, nad.name, nad.uid)

    def _nad(self, owner: str) -> NetworkAttachmentDefinitionFact | None:
        fact = self._table.current((_NAD, owner))
        return fact if isinstance(fact, NetworkAttachmentDefinitionFact) else None

    def _version(self) -> str:
        return self._reconciler.versions.get(_NAD) or "v1"

    async def step(self, owner: str) -> bool:
        """See ObjectProcessor."""
        nad = self._nad(owner)
        version = self._reconciler.versions.get("VirtualNetwork") or DEFAULT_VERSION
        found = nad_objects(nad, self._settings, version=version) if nad is not None and not nad.deleting else None
        if nad is not None and self._is_cn2s(nad):
            return False
        if nad is None or found is None:
            return await self._clear(owner, nad)
        if not self._enabled:
            return False
        clash = self._clash(nad)
        if clash or not found.valid:
            return await self._annotate(nad, clash or found.status, finalizer=nad.has_finalizer)
        return await self._build(nad, found)

    def _is_cn2s(self, nad: NetworkAttachmentDefinitionFact) -> bool:
        network = self._table.current(("VirtualNetwork", nad.full_name))
        made_by_others = isinstance(network, VirtualNetworkFact) and not is_ours(network) and network.nad
        return nad.kept_by_cn2 or bool(made_by_others)

    def _clash(self, nad: NetworkAttachmentDefinitionFact) -> str:
        """Return why the NAD's VirtualNetwork cannot be made, empty if it can."""
        network = self._table.current(("VirtualNetwork", nad.full_name))
        if network is None or is_ours(network):
            return ""
        return f"failed: VirtualNetwork {nad.full_name} exists already and is not LedgerLB's; remove it"

    async def _build(self, nad: NetworkAttachmentDefinitionFact, found: NadObjects) -> bool:
        if not nad.has_finalizer:
            return await self._annotate(nad, nad.annotations.get(STATUS_ANNOTATION, ""), finalizer=True)
        wanted = {one.key: one for one in found.objects if not self._is_foreign(one.key)}
        if await self._bring(nad.full_name, wanted):
            return True
        if any(self._table.current(key) is None for key in wanted):
            return False  # refused, or changed by others for now: the annotation must not claim otherwise
        # Remove unwanted objects once nothing refers to them any more.
        extra = [key for key in self._objects(nad.full_name) if key not in wanted]
        if await self._bring(nad.full_name, dict.fromkeys(extra)):
            return True
        return await self._annotate(nad, found.status, finalizer=True)

    def _is_foreign(self, key: Key) -> bool:
        """Return whether a person made the Subnet for the NAD by hand; LedgerLB uses it as it is."""
        current = self._table.current(key)
        return key[0] == "Subnet" and current is not None and not is_ours(current)

    async def _clear(self, owner: str, nad: NetworkAttachmentDefinitionFact | None) -> bool:
        """Remove the VirtualNetwork, then the Subnets, then the finalizer."""
        left = self._objects(owner)
        for kind in ("VirtualNetwork", "Subnet"):
            there = [key for key in left if key[0] == kind]
            if there:
                return await self._bring(owner, dict.fromkeys(there))
        if nad is not None and nad.has_finalizer:
            return await self._annotate(nad, nad.annotations.get(STATUS_ANNOTATION, ""), finalizer=False)
        return False

    def _objects(self, owner: str) -> list[Key]:
        """Return our objects that belong to the NAD."""
        return [
            key
            for key in self._table.of_owner(owner)
            if key[0] != _NAD and (fact := self._table.current(key)) is not None and is_ours(fact)
        ]

    async def _bring(self, owner: str, wanted: Mapping[Key, Wanted | None]) -> bool:
        say = self._say(owner)
        for key, one in wanted.items():
            if await self._reconciler.bring(key, one, say, owner):
                return True
        return False

    async def _annotate(self, nad: NetworkAttachmentDefinitionFact, status: str, *, finalizer: bool) -> bool:
        """Our part of the NAD's metadata: the status annotation and the finalizer."""
        if nad.annotations.get(STATUS_ANNOTATION, "") == status and nad.has_finalizer == finalizer:
            return False
        key = (_NAD, nad.full_name)
        if self._reconciler.is_stopped(key, nad):
            return False
        metadata: dict[str, Any] = {"finalizers": [NAD_FINALIZER] if finalizer else []}
        if status:
            metadata["annotations"] = {STATUS_ANNOTATION: status}
        version = self._version()
        write = Write(_NAD, nad.namespace, nad.name, "apply-metadata", {"metadata": metadata}, nad.uid, version)
        try:
            result = await self._writer.write(write)
        except ClusterRefused as refused:
            self._reconciler.refused(key, nad, refused, self._say(nad.full_name), nad.full_name)
            return False
        self._counts["apply-metadata"] += 1
        last = result is None or (nad.deleting and not finalizer and not result["metadata"].get("finalizers"))
        self._table.wrote(key, None if last or result is None else fact_of(result))
        return True
