"""Errors of the Kubernetes API: it refuses, or it does not answer. Leaves of the error tree of ``core.errors``.

    ClusterError
    ├── ClusterUnavailable
    │   └── ApiUnavailable       no answer, a broken answer, 429 or 5xx; ``retry_after`` seconds if the server says
    └── ClusterRefused
        └── ApiRefused           any other status over 399; ``status`` 404, 409, 410, 422, …

The in-memory cluster raises the same errors, so a writer handles both in one way.
"""

from __future__ import annotations

from typing import Final

from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable

NOT_FOUND: Final = 404
CONFLICT: Final = 409
EXPIRED: Final = 410
INVALID: Final = 422


class ApiUnavailable(ClusterUnavailable):
    """No usable answer; ``retry_after`` seconds (0 where the server did not say)."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ApiRefused(ClusterRefused):
    """A refusal. ``status`` is the HTTP status, ``reason`` is Kubernetes' (``NotFound``, ``Conflict``, ``Expired``)."""

    def __init__(self, message: str, status: int, reason: str = "") -> None:
        self.status = status
        self.reason = reason
        super().__init__(message)
