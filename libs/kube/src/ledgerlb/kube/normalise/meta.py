"""Metadata that every fact has, and the annotations that facts keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypedDict

from ledgerlb.core.cluster.foreign import FOREIGN
from ledgerlb.core.cluster.services import ANNOTATION_SOURCE_RANGES
from ledgerlb.kube.normalise.fields import Raw, WrongField, mapping, text, text_map, texts

KEPT_PREFIXES: Final = ("service.contrail.juniper.net/", "ledgerlb.io/", "kube-manager.juniper.net/")
KEPT: Final = frozenset({
    *FOREIGN,
    "juniper.net/nad-name", "juniper.net/nad-namespace", "juniper.net/networks-status", ANNOTATION_SOURCE_RANGES,
})  # fmt: skip
OUR_FINALIZERS: Final = "ledgerlb.io/"


class Common(TypedDict):
    """Arguments of a fact's constructor that ``Meta.common`` provides."""

    namespace: str
    name: str
    uid: str
    created: str
    annotations: dict[str, str]
    deleting: bool


@dataclass(frozen=True, slots=True)
class Meta:
    """The checked metadata of one object; ``annotations`` are all of them."""

    namespace: str
    name: str
    uid: str
    created: str
    labels: dict[str, str]
    annotations: dict[str, str]
    finalizers: tuple[str, ...]
    deleting: bool
    raw: Raw

    @staticmethod
    def of(obj: Raw, *, namespaced: bool) -> Meta:
        """Read the metadata of an object. Raises WrongField."""
        raw = mapping(obj.get("metadata"), "metadata")
        name = text(raw.get("name"), "metadata.name")
        if not name:
            raise WrongField("metadata.name", "is missing")
        return Meta(
            namespace=text(raw.get("namespace"), "metadata.namespace") if namespaced else "",
            name=name,
            uid=text(raw.get("uid"), "metadata.uid"),
            created=text(raw.get("creationTimestamp"), "metadata.creationTimestamp"),
            labels=text_map(raw.get("labels"), "metadata.labels"),
            annotations=text_map(raw.get("annotations"), "metadata.annotations"),
            finalizers=texts(raw.get("finalizers"), "metadata.finalizers"),
            deleting=raw.get("deletionTimestamp") is not None,
            raw=raw,
        )

    def common(self) -> Common:
        """Return the fields of ``Fact`` without labels: rules select only some kinds by labels."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "created": self.created,
            "annotations": {k: v for k, v in self.annotations.items() if k in KEPT or k.startswith(KEPT_PREFIXES)},
            "deleting": self.deleting,
        }

    @property
    def has_our_finalizer(self) -> bool:
        """Whether a finalizer of LedgerLB's own domain is set."""
        return any(entry.startswith(OUR_FINALIZERS) for entry in self.finalizers)

    def first_spec_manager(self) -> str:
        """Return the manager of the earliest ``managedFields`` entry that wrote ``spec``, empty if unknown."""
        entries: Any = self.raw.get("managedFields")
        if not isinstance(entries, list):
            return ""
        found: tuple[str, str] | None = None
        for entry in entries:
            if not isinstance(entry, dict) or entry.get("subresource"):
                continue
            fields = entry.get("fieldsV1")
            manager, time = entry.get("manager"), entry.get("time")
            if not isinstance(fields, dict) or "f:spec" not in fields or not isinstance(manager, str):
                continue
            stamp = time if isinstance(time, str) else ""
            if found is None or stamp < found[0]:
                found = (stamp, manager)
        return found[1] if found else ""
