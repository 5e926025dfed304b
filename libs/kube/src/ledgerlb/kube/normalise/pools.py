"""Facts of AddressPools, LedgerLB's own kind.

A folder of manifests has no API server that checks a pool against the schema. So a wrong value is noted in
``malformed``, and the pool says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.core.cluster.facts import AddressPoolFact
from ledgerlb.kube.normalise.fields import Lenient, Raw, flag, mapping, number, text, texts
from ledgerlb.kube.normalise.meta import Meta

FIELDS: Final = (
    "addresses",
    "exclude",
    "priority",
    "serviceSelector",
    "namespaceSelector",
    "quota",
    "quarantine",
    "lease",
    "disabled",
    "autoAssign",
    "spillOver",
)
"""The fields of ``spec``."""


def address_pool(obj: Raw, meta: Meta) -> AddressPoolFact:
    """Normalise an AddressPool; addresses, durations and selectors stay as written."""
    lenient = Lenient()
    spec = lenient.read({}, mapping, obj.get("spec"), "spec")
    unknown = sorted(str(field) for field in spec if field not in FIELDS)
    lenient.wrong += [(f"spec.{field}", f"is not a field of an AddressPool ({', '.join(FIELDS)})") for field in unknown]

    def selector(name: str) -> Mapping[str, Any] | None:
        value = spec.get(name)
        return None if value is None else dict(lenient.read({}, mapping, value, f"spec.{name}"))

    def duration(name: str) -> str | None:
        value = spec.get(name)
        return None if value is None else lenient.read("0s", text, value, f"spec.{name}")

    def switch(name: str, *, default: bool) -> bool:
        return lenient.read(default, flag, spec.get(name), f"spec.{name}", default)

    quota = spec.get("quota")
    status = obj.get("status")
    return AddressPoolFact(
        **meta.common(),
        labels=meta.labels,
        generation=number(meta.raw.get("generation"), "metadata.generation"),
        addresses=lenient.read((), texts, spec.get("addresses"), "spec.addresses"),
        exclude=lenient.read((), texts, spec.get("exclude"), "spec.exclude"),
        priority=lenient.read(0, number, spec.get("priority"), "spec.priority"),
        service_selector=selector("serviceSelector"),
        namespace_selector=selector("namespaceSelector"),
        quota=None if quota is None else lenient.read(0, number, quota, "spec.quota"),
        quarantine=duration("quarantine"),
        lease=duration("lease"),
        disabled=switch("disabled", default=False),
        auto_assign=switch("autoAssign", default=True),
        spill_over=switch("spillOver", default=False),
        status=dict(status) if isinstance(status, dict) else {},
        malformed=tuple(lenient.wrong),
    )
