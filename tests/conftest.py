"""What every test gets: its place in a parallel run, default signals for child processes, logging as it was, whatever
a process under test did to it; and the examples of properties.

Properties try the same examples in every run, so that a change is judged by what it changes; ``LEDGERLB_SEED=random``
tries others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests.support import schedule, signals

settings.register_profile("ledgerlb", derandomize=os.environ.get("LEDGERLB_SEED") != "random", deadline=None)
settings.load_profile("ledgerlb")

_NAMES = ("", "ledgerlb", "ledgerlb.watcher", "kubernetes_asyncio", "asyncio", "aiohttp.access", "aiokafka")


def pytest_configure(config: pytest.Config) -> None:
    # The controller of parallel workers runs no test. Its workers inherit what it ignores and come here themselves.
    if not config.getoption("numprocesses", None):
        signals.start_children_with_default_signals()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> schedule.ByGroup | None:
    return schedule.ByGroup(config, log) if config.getvalue("dist") == "loadscope" else None  # type: ignore[arg-type]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = schedule.in_order(items)


def _as_text(_: object, __: str, event: dict[str, object]) -> str:
    message = str(event.pop("event", ""))
    event.pop("exc_info", None)
    return " ".join([message, *(f"{key}={value}" for key, value in event.items())])


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A process configures logging for itself, and many run inside the test process: put it back afterwards."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.level, list(logger.handlers), logger.disabled, logger.propagate) for logger in loggers]
    disabled = logging.root.manager.disable
    # Lines of structlog go to the standard library's loggers, where pytest's caplog finds them.
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _as_text],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    yield
    for logger, level, handlers, was_disabled, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.disabled, logger.propagate = was_disabled, propagate
    logging.disable(disabled)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
