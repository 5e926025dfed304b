"""Refuse API servers that are too old: before Kubernetes 1.29 a Service whose last finalizer goes through its status
endpoint is not deleted.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, Protocol

import structlog

from ledgerlb.core.errors import ClusterError, InvalidSetting

OLDEST: Final = (1, 29)
"""The oldest version of Kubernetes that LedgerLB works with."""
_NEEDED: Final = f"Kubernetes {OLDEST[0]}.{OLDEST[1]} or newer"
ASK_SECONDS: Final = 5.0
"""Seconds to wait for the server's version at start."""

_logger = structlog.get_logger(__name__)


class Api(Protocol):
    """What asking for the version needs of a connection."""

    async def get(self, path: str) -> dict[str, Any]:
        """Return the body of a GET. Raises ClusterError."""
        ...


async def check_version(api: Api, server: str) -> None:
    """Ask the API server at ``server`` (its address, for people) for its version once.

    Raises InvalidSetting if it is too old. If the server does not tell its version within ``ASK_SECONDS``, log a
    warning and continue: an API server that is down must not keep the rest of the process down.
    """
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await api.get("/version")
    except (ClusterError, TimeoutError) as error:
        why = str(error) or f"no answer within {ASK_SECONDS:g} s"
        _logger.warning("cannot ask the API server for its version", server=server, error=why, needed=_NEEDED)
        return
    version = _version(answer)
    if version is None:
        found = answer.get("gitVersion")
        _logger.warning("cannot read the version of the API server", server=server, version=found, needed=_NEEDED)
    elif version < OLDEST:
        raise InvalidSetting(
            f"API server {server}",
            "version",
            f"runs {answer.get('gitVersion') or _text(version)}, where deleted Services would stay for ever",
            f"upgrade the cluster to {_text(OLDEST)} or newer",
        )


def _version(answer: dict[str, Any]) -> tuple[int, int] | None:
    """Return (major, minor) of an answer; providers write a minor version like ``29+``."""
    numbers = [re.match(r"\d{1,6}", str(answer.get(part, ""))) for part in ("major", "minor")]
    major, minor = (int(number.group()) if number else None for number in numbers)
    return None if major is None or minor is None else (major, minor)


def _text(version: tuple[int, int]) -> str:
    return f"Kubernetes {version[0]}.{version[1]}"
