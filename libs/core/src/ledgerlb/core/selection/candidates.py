"""Whether a network can serve a Service, and which one of several does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledgerlb.core.addresses import Family
from ledgerlb.core.intents.model import CandidateResult
from ledgerlb.core.networks import ExternalNetwork
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import MAX_LINE, shortened

MAX_CANDIDATES: Final = 50
"""Most candidates in an explanation."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a Service needs of a network: ``families`` in order of preference, of which it requires ``required`` (empty:
    any one of ``families``), and admission of a Namespace with these labels.
    """

    namespace: str
    namespace_labels: Mapping[str, str]
    families: tuple[Family, ...]
    required: tuple[Family, ...]


class Obstacle(NamedTuple):
    """Why a network cannot serve a Service until an object changes."""

    reason: str
    message: str


def obstacle(network: ExternalNetwork, needs: Needs) -> Obstacle | None:
    """Return what keeps the network from serving the Service, None if nothing does. Free addresses are not considered
    here.
    """
    if network.problem is not None:
        return Obstacle(network.problem, network.message)
    allowed = network.allowed_namespaces
    if allowed is not None and not allowed.matches(needs.namespace_labels):
        return Obstacle(
            Reason.NETWORK_NOT_ALLOWED,
            f"namespace {needs.namespace} is not allowed on network {network.name} "
            f"(ledgerlb.io/allowed-namespaces: {allowed}); label the namespace so, or choose another network",
        )
    missing = missing_families(network, needs)
    if missing:
        lacks = " and ".join(f"IPv{family}" for family in missing)
        return Obstacle(
            Reason.FAMILY_UNAVAILABLE,
            f"network {network.name} has no {lacks} prefix; add one, or change the Service's "
            "ipFamilies or ipFamilyPolicy",
        )
    return None


def missing_families(network: ExternalNetwork, needs: Needs) -> tuple[Family, ...]:
    """Return the families that the Service needs and the network lacks."""
    has = network.families
    if needs.required:
        return tuple(family for family in needs.required if family not in has)
    return () if any(family in has for family in needs.families) else needs.families


def first_usable(
    candidates: Sequence[ExternalNetwork], needs: Needs
) -> tuple[ExternalNetwork | None, Obstacle | None, tuple[CandidateResult, ...]]:
    """Return the oldest candidate that can serve, the first candidate's obstacle if none can, and the result for every
    candidate (at most ``MAX_CANDIDATES``: the one taken and the oldest). ``candidates``: at least one, oldest first.
    """
    first: Obstacle | None = None
    passed: list[CandidateResult] = []
    for index, network in enumerate(candidates):
        found = obstacle(network, needs)
        if found is None:
            others = candidates[index + 1 : index + 1 + MAX_CANDIDATES]
            why = _why_taken(index, len(candidates))
            results = [*passed[: MAX_CANDIDATES - 1], CandidateResult(network=network.name, taken=True, why=why)]
            later = [
                CandidateResult(network=other.name, taken=False, why=f"younger than {network.name}") for other in others
            ]
            return network, None, tuple((results + later)[:MAX_CANDIDATES])
        first = first or found
        passed.append(
            CandidateResult(
                network=network.name, taken=False, why=shortened(f"{found.reason}: {found.message}", MAX_LINE)
            )
        )
    return None, first, tuple(passed[:MAX_CANDIDATES])


def _why_taken(index: int, count: int) -> str:
    if count == 1:
        return "the only match"
    return f"the oldest of {count} matches" if index == 0 else f"the oldest usable one of {count} matches"
