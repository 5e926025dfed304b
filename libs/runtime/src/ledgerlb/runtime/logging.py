"""Logging of a process: structlog, as JSON lines or for a console, with the standard library's loggers joined in.

Line fields: ``timestamp`` (RFC 3339, UTC), ``level``, ``event``, ``service``, and whatever the caller adds.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog

_QUIET: Final = ("kubernetes_asyncio", "asyncio", "aiohttp.access")
"""Libraries whose warnings matter and whose chatter does not."""
_SILENT: Final = ("aiokafka",)
"""Libraries that repeat the same error many times a second while a server is away; the event log tells it itself."""


def hush(level: str = "CRITICAL") -> None:
    """Keep libraries quiet whose errors are told by whoever uses them; all that a process needs which logs nothing."""
    for name in _SILENT:
        logging.getLogger(name).setLevel(level)


def configure(
    service: str,
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set logging up for the process; may be called again. ``stream`` defaults to standard error."""
    out = stream if stream is not None else sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    hush("DEBUG" if level == "debug" else "CRITICAL")
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
