"""Logging of a process: structlog, as JSON lines or for a console, with the standard library's loggers joined in.

Line fields: ``timestamp`` (RFC 3339, UTC), ``level``, ``event``, ``service``, and the fields that the caller adds. Text
in them may come from the cluster: both forms escape every character that could steer a terminal.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

from ledgerlb.core.text import printable

_QUIET: Final = ("kubernetes_asyncio", "asyncio", "aiohttp.access")
"""Libraries whose warnings matter and whose other lines do not."""
_SILENT: Final = ("aiokafka",)
"""Libraries that repeat an error many times a second while a server is away; the event log reports it itself."""
_OF_LINES: Final = ("exception", "stack")
"""Fields whose text has several lines."""


def hush(level: str = "CRITICAL") -> None:
    """Silence the libraries whose errors the event log reports itself; a process that logs nothing needs no more."""
    for name in _SILENT:
        logging.getLogger(name).setLevel(level)


def _console_renderer(*, colours: bool) -> Callable[[Any, str, MutableMapping[str, Any]], str]:
    render = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)

    def console_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        return render(logger, method, {printable(key): _escaped(key, value) for key, value in event.items()})

    return console_line


def _escaped(key: str, value: object) -> object:
    """Return the value without characters that could steer a terminal; a traceback keeps its lines."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return "\n".join(map(printable, text.split("\n"))) if key in _OF_LINES else printable(text)


def configure(
    service: str,
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up the logging of the process; may be called again. ``stream`` defaults to standard error."""
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
    # JSON escapes everything that is not printable ASCII.
    renderer: Any = (
        _console_renderer(colours=out.isatty() and not os.environ.get("NO_COLOR"))
        if console
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
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
