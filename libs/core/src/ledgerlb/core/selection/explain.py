"""A choice in words: the result for every rung and every candidate."""

from __future__ import annotations

from typing import Final

from ledgerlb.core.intents.model import Selection
from ledgerlb.core.selection.choice import Choice
from ledgerlb.core.selection.rungs import DEFAULT_POOL
from ledgerlb.core.text import shortened

MAX_BRIEF: Final = 600
"""Characters of an explanation in a ledger entry, which holds those of many Services."""


def explain(choice: Choice | Selection) -> str:
    """Return the whole explanation as one paragraph."""
    return " ".join((_outcome(choice), _rungs(choice), *_candidates(choice), *_warnings(choice)))


def explain_briefly(choice: Choice) -> str:
    """Return the explanation for a ledger entry: the deciding rung and the candidates, in ``MAX_BRIEF`` characters."""
    text = " ".join((choice.message + ".", *_candidates(choice)))
    return shortened(text, MAX_BRIEF)


def _outcome(choice: Choice | Selection) -> str:
    if choice.network is None:
        return f"Service {choice.service} has no network: {choice.reason}: {choice.message}."
    return f"Service {choice.service} belongs to network {choice.network}: {choice.message}."


def _rungs(choice: Choice | Selection) -> str:
    results = (
        f"{result.rung} = {result.value!r} {result.outcome}" if result.value else f"{result.rung} {result.outcome}"
        for result in choice.rungs
    )
    return f"Rungs, highest first: {'; '.join(results)}."


def _candidates(choice: Choice | Selection) -> tuple[str, ...]:
    if not choice.candidates:
        return ()
    results = (
        f"{result.network} {'taken' if result.taken else 'not taken'} ({result.why})" for result in choice.candidates
    )
    order = "best" if choice.rung == DEFAULT_POOL else "oldest"
    return (f"Candidates, {order} first: {'; '.join(results)}.",)


def _warnings(choice: Choice | Selection) -> tuple[str, ...]:
    return (f"Warnings: {'; '.join(choice.warnings)}.",) if choice.warnings else ()
