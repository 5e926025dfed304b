"""Whether the data path serves the addresses that a Service publishes: what is true of it, and never more.

Only what an agent with a real back end reported counts as programmed. The back end ``record`` programs nothing. An
answer that has been given stays while an agent is still to confirm it, so that a new agent does not rewrite the status
of every Service twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.paths.agents import AgentTable, LiveAgents
from ledgerlb.core.paths.pathset import Report, Unserved
from ledgerlb.core.publication.conditions import PROGRAMMED
from ledgerlb.core.publication.model import Elsewhere, Reachability
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import shortened

UnservedAt = Mapping[str, Sequence[Unserved]]
"""The Services without a usable backend, by address."""
NOTHING_UNSERVED: Final[UnservedAt] = MappingProxyType({})
_NAMED: Final = 3
"""Most agents that a message names."""


def reachability(  # noqa: PLR0917 - all that the answer depends on
    service: ServiceFact,
    published: Sequence[Holding],
    live: LiveAgents,
    agents: AgentTable,
    elsewhere: Elsewhere,
    unserved: UnservedAt,
) -> Reachability | None:
    """Return whether the published holdings are programmed; None where none is published."""
    if not published:
        return None
    addresses = ", ".join(holding.address for holding in published)
    if found := _in_use_elsewhere(published, elsewhere):
        return Reachability("False", Reason.ADDRESS_IN_USE_ELSEWHERE, found)
    lacking = [one for holding in published if (one := _unserved(service, holding, unserved)) is not None]
    if len(lacking) == len(published):
        return Reachability("False", lacking[0].reason, lacking[0].message)
    if not live.programming:
        return _nobody(addresses, live)
    degraded = lacking[0].message if lacking else ""
    answers = [_answers(holding, live, agents) for holding in published]
    failed = [report for reports in answers for report in reports if report.state == "failed"]
    if failed:
        return Reachability("False", Reason.PROGRAMMING_FAILED, _failures(failed))
    done = f"{addresses}: programmed"
    if all(len(reports) == len(live.programming) for reports in answers) or _was_told(service, done):
        return Reachability("True", Reason.PROGRAMMED, done, degraded)
    return Reachability(
        "Unknown", Reason.WAITING_FOR_AGENTS, f"waits until every agent has programmed {addresses}", degraded
    )


def _in_use_elsewhere(published: Sequence[Holding], elsewhere: Elsewhere) -> str:
    """Explain which addresses the data path serves for other networks; empty where it serves none for them.

    The message names networks only: the other holder may be another tenant's Service.
    """
    owners = [(h, owner) for h in published if (owner := elsewhere.get((h.network, h.address)))]
    texts = [
        f"network {owner} has held {holding.address} for longer than {holding.network}, and its traffic goes there"
        for holding, owner in owners
    ]
    return f"{'; '.join(texts)}: use another address, or give the networks different prefixes" if texts else ""


def _unserved(service: ServiceFact, holding: Holding, unserved: UnservedAt) -> Unserved | None:
    return next((one for one in unserved.get(holding.address, ()) if one.service == service.full_name), None)


def _nobody(addresses: str, live: LiveAgents) -> Reachability:
    if live.recording:
        text = f"{addresses}: recorded only; the back end record of the agents programs nothing"
        return Reachability("False", Reason.RECORD_ONLY, text)
    return Reachability("False", Reason.NO_AGENTS, f"no agent is alive that could program {addresses}")


def _answers(holding: Holding, live: LiveAgents, agents: AgentTable) -> list[Report]:
    """Return what the live agents with a real back end report of this very holding."""
    return [
        report
        for report in agents.reports(holding.address)
        if report.agent in live.programming
        and report.state != "withdrawn"
        and (not report.allocations or holding.allocation in report.allocations)
    ]


def _failures(failed: Iterable[Report]) -> str:
    texts = [f"agent {report.agent} cannot program {report.address}: {report.message}" for report in failed]
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return shortened("; ".join(texts[:_NAMED]) + more)


def _was_told(service: ServiceFact, done: str) -> bool:
    return any(c.type == PROGRAMMED and c.status == "True" and c.message == done for c in service.conditions)
