"""Everything at rest: what the API server shows and what the log says, folded by the same code that the services use."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ledgerlb.core.cluster.facts import decode_fact
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.intents.fold import IntentFold
from ledgerlb.core.intents.model import Selection
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import PathSet, decode_path_set, decode_report
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS
from tests.support.kube_objects import Cluster, Object
from tests.support.logview import LogView

KINDS: Final = (
    "Service", "Namespace", "EndpointSlice", "NetworkAttachmentDefinition", "VirtualNetwork", "Subnet", "Kubemanager",
)  # fmt: skip
OBJECT_KINDS: Final = {"instanceips": "InstanceIP", "floatingips": "FloatingIP"}
_GROUP: Final = "/apis/core.contrail.juniper.net"
_TOPICS: Final = (FACTS, INTENTS, LEDGER, PATHS)


@dataclass
class Snapshot:
    """See module. `objects` are those of the API server by kind; `records` are the log's by topic, in order."""

    objects: dict[str, list[Object]]
    cn2_objects: list[Object] | None
    """InstanceIPs and FloatingIPs; None where the kinds are not served."""
    records: dict[str, list[Record]]
    view: ClusterView = field(default_factory=ClusterView)
    intents: IntentFold = field(default_factory=IntentFold)
    fold: LedgerFold = field(default_factory=LedgerFold)
    agents: AgentTable = field(default_factory=AgentTable)
    path_sets: dict[str, PathSet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for record in self.records[FACTS.name]:
            self.view.take(record.key, decode_fact(record.key, record.value))
        for record in self.records[INTENTS.name]:
            self.intents.take(record.key, record.value, record.offset)
        for record in self.records[LEDGER.name]:
            self.fold.take(record.key, record.value)
        for record in self.records[REPORTS.name]:
            self.agents.take(record.key, decode_report(record.key, record.value), datetime.now(UTC))
        for record in self.records[PATHS.name]:
            path_set = decode_path_set(record.key, record.value)
            if path_set is None:
                self.path_sets.pop(record.key, None)
            else:
                self.path_sets[record.key] = path_set

    def services(self) -> Iterator[tuple[str, Object]]:
        """Every Service of the API server but the API server's own, by full name."""
        for obj in self.objects["Service"]:
            metadata = obj["metadata"]
            if metadata["name"] != "kubernetes":
                yield f"{metadata['namespace']}/{metadata['name']}", obj

    def selection(self, name: str) -> Selection | None:
        return self.intents.selections.get(name)


def take(cluster: Cluster, log: LogView) -> Snapshot:
    """Look at everything once."""
    records: dict[str, list[Record]] = {topic.name: [] for topic in (*_TOPICS, REPORTS)}
    for record in log.records(*_TOPICS, REPORTS):
        records[record.topic].append(record)
    objects = {kind: cluster.objects(kind) for kind in KINDS}
    return Snapshot(objects, _cn2_objects(cluster), records)


def _cn2_objects(cluster: Cluster) -> list[Object] | None:
    """See Snapshot; in the version that the API server prefers."""
    status, group = cluster.request("GET", _GROUP)
    if status != http.HTTPStatus.OK:
        return None
    version = group["preferredVersion"]["version"]
    _, served = cluster.request("GET", f"{_GROUP}/{version}")
    if not {resource["name"] for resource in served["resources"]}.issuperset(OBJECT_KINDS):
        return None
    objects: list[Object] = []
    for plural, kind in OBJECT_KINDS.items():
        status, found = cluster.request("GET", f"{_GROUP}/{version}/{plural}")
        assert status == http.HTTPStatus.OK, found
        objects += ({**obj, "apiVersion": found["apiVersion"], "kind": kind} for obj in found["items"])
    return objects


def ends(log: LogView) -> dict[str, int]:
    """How long the topics are in which something is decided (agents' heartbeats go on for ever)."""
    return asyncio.run(_ends(log.url))


async def _ends(url: str) -> dict[str, int]:
    async with asyncio.timeout(20), connect(url) as log:
        return {topic.name: await log.end(topic) for topic in _TOPICS}
