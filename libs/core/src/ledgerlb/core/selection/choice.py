"""The results of selection, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from ledgerlb.core.addresses import Family
from ledgerlb.core.intents.model import CandidateResult, FactPosition, RungResult, Selection


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the rungs, regardless of what the Service holds. ``network`` None: see ``reason`` and ``message``.
    ``rung`` decided; None if none was present. ``objects`` are the record keys of the facts behind it. ``by_room``:
    another answer may follow once an AddressPool fills up or has room again.
    """

    network: str | None
    rung: str | None
    reason: str | None
    message: str
    rungs: tuple[RungResult, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()
    objects: tuple[str, ...] = ()
    by_room: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The network of one Service. ``network`` None: see ``reason`` and ``message``; the Service keeps what it holds.
    ``drift``: the network that a fresh choice would take, if it differs from the one kept;
    ``drift_reason``: why a fresh choice would find none. ``objects`` are the record keys of the facts behind it.
    ``by_room``: see Verdict.
    """

    service: str
    uid: str
    network: str | None
    rung: str | None
    reason: str | None
    message: str
    families: tuple[Family, ...]
    required: tuple[Family, ...]
    requested: tuple[str, ...] = ()
    drift: str | None = None
    drift_reason: str | None = None
    rungs: tuple[RungResult, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()
    warnings: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    by_room: bool = False

    def to_selection(self, revision: int, facts: tuple[FactPosition, ...] = ()) -> Selection:
        """Return the record for the intents topic."""
        return Selection(
            service=self.service,
            revision=revision,
            uid=self.uid,
            network=self.network,
            rung=self.rung,
            reason=self.reason,
            message=self.message,
            drift=self.drift,
            drift_reason=self.drift_reason,
            rungs=self.rungs,
            candidates=self.candidates,
            families=self.families,
            required=self.required,
            warnings=self.warnings,
            facts=facts,
        )
