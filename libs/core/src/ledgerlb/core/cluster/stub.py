"""A fact that stands in for an object that is too large for a record of the log.

Without one, the object would be missing from every answer, and no user would learn why. A Service that the log knows
already keeps its last good terms (addresses, ports, annotations), so that a holder goes on; its state in the cluster
(deletion, finalizer, status) is followed. Of any other object the stub has the identity, and says what was cut.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ledgerlb.core.cluster.facts import AnyFact, ServiceFact, encode_fact

_FOLLOWED: Final = ("generation", "deleting", "has_finalizer", "ingress", "conditions", "type", "load_balancer_class")
"""What a Service's stub takes from the object as it is now."""
_IDENTITY: Final = ("kind", "namespace", "name", "uid", "created", "deleting")
_SHOWN: Final = 2
"""Fields that the message names, the largest first."""


def stub_of(fact: AnyFact, size: int, limit: int, last_good: AnyFact | None = None) -> AnyFact | None:
    """Return the stand-in for a fact of ``size`` bytes, None where there is none of at most ``limit`` bytes, or none
    that could say so. ``last_good`` is what the log has of the object.
    """
    message = f"is too large: {size} bytes as a fact, at most {limit}; {_largest(fact)}"
    for stub in _candidates(fact, message, last_good):
        if len(encode_fact(stub)) <= limit:
            return stub
    return None


def _candidates(fact: AnyFact, message: str, last_good: AnyFact | None) -> list[AnyFact]:
    identity: dict[str, Any] = {name: getattr(fact, name) for name in _IDENTITY}
    if not isinstance(fact, ServiceFact):
        if "malformed" not in type(fact).model_fields:
            return []
        identity["malformed"] = (("object", message),)
        return [type(fact)(**identity, labels=labels) for labels in (fact.labels, {})]
    followed = {name: getattr(fact, name) for name in _FOLLOWED}
    found: list[AnyFact] = []
    if isinstance(last_good, ServiceFact) and last_good.uid == fact.uid:
        found.append(last_good.model_copy(update={**followed, "too_large": message}))
    found.append(ServiceFact(**{**identity, **followed}, too_large=message))
    return found


def _largest(fact: AnyFact) -> str:
    sizes = {name: len(json.dumps(value)) for name, value in fact.model_dump(mode="json").items()}
    named = sorted(sizes, key=lambda name: (-sizes[name], name))[:_SHOWN]
    return "the largest parts are " + " and ".join(f"{name} ({sizes[name]} bytes)" for name in named)
