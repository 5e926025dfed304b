"""Settings that decisions depend on: the same keys in every service, in Helm values and in scenarios.

Keys are camelCase in YAML (``contrailNamespace``), as in Kubernetes. Durations are seconds, or text such as ``5m``
or ``24h``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic.alias_generators import to_camel

from ledgerlb.core.addresses import parse_cidr
from ledgerlb.core.cluster.labels import parse_selector_text
from ledgerlb.core.errors import BadInput

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+\Z")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
LONGEST: Final = 36500 * 86400.0
"""Seconds of the longest duration, about a hundred years: dates further ahead could overflow."""


DEFAULT_SELECTORS: Final[Mapping[str, Any]] = {
    "default-external": {
        "networkSelector": {"matchLabels": {"service.contrail.juniper.net/externalNetwork": "default-external"}}
    }
}
"""The selectors of CN2's documentation: a network with this label serves Services for which nothing else chooses."""


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``0s``, ``5m``, ``1h30m``; raises BadInput."""
    cleaned = text.strip()
    if not _DURATION.match(cleaned):
        raise BadInput(
            "duration",
            "",
            f"{text!r} is not a duration",
            "write it like 30s, 5m, 1h30m or 24h; 0s turns it off",
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(cleaned))
    if seconds > LONGEST:
        raise BadInput("duration", "", f"{text!r} is longer than 36500d", "write a shorter one")
    return seconds


def _seconds(value: object) -> object:
    if isinstance(value, str):
        # Environment variables are text, also where they hold a number of seconds.
        try:
            value = float(value) if _NUMBER.match(value.strip()) else parse_duration(value)
        except BadInput as error:
            raise ValueError(str(error)) from error
    if isinstance(value, bool) or (isinstance(value, int | float) and not 0 <= value <= LONGEST):
        raise ValueError(f"{value!r} is not a duration: write seconds from 0 to {LONGEST:.0f}, or text like 5m")
    return value


def _namespace_and_name(value: str | None) -> str | None:
    if value is None:
        return None
    namespace, _, name = value.partition("/")
    if not namespace or not name or "/" in name:
        raise ValueError("write namespace/name")
    return value


def _selector(value: str | None) -> str | None:
    if value is not None:
        try:
            parse_selector_text(value)
        except BadInput as error:
            raise ValueError(str(error)) from error
    return value


def _selectors(value: object) -> object:
    return DEFAULT_SELECTORS if value is None else value


def _listed(value: object) -> object:
    """Split text, as a variable of the environment has it, at its commas."""
    return tuple(item.strip() for item in value.split(",")) if isinstance(value, str) else value


def _prefixes(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    try:
        return None if value is None else tuple(parse_cidr(text, "setting", "externalPrefixes").text for text in value)
    except BadInput as error:
        raise ValueError(str(error)) from error


Seconds = Annotated[float, BeforeValidator(_seconds)]
_Name = Annotated[str, Field(min_length=1)]


class _Camel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class KubemanagerName(_Camel):
    """Which Kubemanager resource holds the external network selectors."""

    namespace: _Name = "contrail"
    name: _Name = "contrail-k8s-kubemanager"


class Defaults(_Camel):
    """Defaults for networks without the annotation. Durations in seconds; 0 turns the feature off.

    ``strict_quarantine``: a full network refuses a Service rather than cut a quarantine short.
    ``decisions_per_minute``: how many decisions about its Services a namespace may cause within a minute (None: any).
    """

    quarantine: Seconds = 300.0
    lease: Seconds = 86400.0
    quota_per_namespace: Annotated[int | None, Field(ge=0)] = None
    strict_quarantine: bool = False
    decisions_per_minute: Annotated[int | None, Field(ge=1)] = None


class DomainSettings(_Camel):
    """See module. ``external_network_selectors`` has the shape of the Kubemanager's
    ``spec.externalNetworkSelectors`` and is used where no Kubemanager exists (None: the label of CN2's documentation
    chooses the default network, and ``{}`` defines no selector); ``load_balancer_class`` None serves
    the Services that set no class.

    ``foreign_annotations`` honours the annotations by which MetalLB and Cilium are asked for addresses.

    ``contrail_namespace`` None finds it (see ``cluster.contrail``), and ``service_network`` None follows it.

    ``network_namespaces`` (a label selector in text form) names the namespaces whose networks are admitted; None admits
    the contrail namespace and the namespaces with the label ``ledgerlb.io/external-networks: "true"``.
    ``restrict_networks`` serves admitted networks only. ``external_prefixes`` are the prefixes that may ever be
    announced; None sets no bound.
    """

    contrail_namespace: _Name | None = None
    kubemanager: KubemanagerName = KubemanagerName()
    external_network_selectors: Annotated[Mapping[str, Any], BeforeValidator(_selectors)] = DEFAULT_SELECTORS
    load_balancer_class: _Name | None = None
    multus: bool = False
    foreign_annotations: bool = False
    network_namespaces: Annotated[str | None, AfterValidator(_selector)] = None
    restrict_networks: bool = False
    external_prefixes: Annotated[tuple[str, ...] | None, BeforeValidator(_listed), AfterValidator(_prefixes)] = None
    defaults: Defaults = Defaults()
    agent_timeout: Seconds = 300.0
    service_network: Annotated[str | None, AfterValidator(_namespace_and_name)] = None
    _releasing: bool = PrivateAttr(default=False)

    @property
    def is_releasing(self) -> bool:
        """Whether LedgerLB serves no Service any more: ``ledgerlb release-all`` takes it off all of them."""
        return self._releasing

    def releasing(self) -> DomainSettings:
        """Return the same settings for a process that takes LedgerLB off all Services. No file can say so."""
        copy = self.model_copy()
        copy._releasing = True  # noqa: SLF001 - of the same class
        return copy
