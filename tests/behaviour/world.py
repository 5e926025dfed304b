"""The small cluster of the behaviour tests.

Namespaces ``contrail``, ``net`` (whose networks are admitted), ``a``, ``b``; a Kubemanager with the selector ``default-external``; the network
``net/ext`` (192.0.2.0/24) that it chooses; one Node. Everything is a plain Kubernetes object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.builders.objects import (
    ADMITTED,
    EXCLUDE,
    LEASE,
    QUARANTINE,
    QUOTA,
    STRICT,
    Object,
    default_nad,
    kubemanager,
    namespace,
    node,
)


def ext(v4: Any = "192.0.2.0/24", v6: Any = None, **annotations: str) -> Object:
    """The default network ``net/ext``, with annotations of ours: ``ext(lease="0s")``."""
    keys = {"quarantine": QUARANTINE, "lease": LEASE, "quota": QUOTA, "exclude": EXCLUDE, "strict": STRICT}
    return default_nad("net/ext", v4, v6, annotations={keys[key]: text for key, text in annotations.items()})


def world(*more: Object, kubemanagers: Iterable[Object] | None = None, default: Object | None = None) -> Object:
    """The step that applies the whole small cluster, and ``more``."""
    network = default if default is not None else default_nad("net/ext")
    spaces = [namespace("contrail"), namespace("net", ADMITTED), namespace("a"), namespace("b")]
    given = {(obj["kind"], obj["metadata"]["name"]) for obj in more}
    spaces = [obj for obj in spaces if ("Namespace", obj["metadata"]["name"]) not in given]
    managers = [kubemanager()] if kubemanagers is None else list(kubemanagers)
    return {"apply": [*spaces, *managers, network, node("n1"), *more]}
