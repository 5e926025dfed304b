from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any, Self

import aiohttp
import pytest
import structlog

from ledgerlb.core.errors import InvalidSetting, LogUnavailable
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.logging import configure
from ledgerlb.runtime.parts import Parts
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import ProcessSettings
from tests.unit.runtime.parts import Recorder, new


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def settings(**overrides: Any) -> ProcessSettings:
    return ProcessSettings(log="memory:", http_port=0, log_format="json", **overrides)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def eventually(port: int, path: str, status: int) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                found, text = await get(port, path)
                if found == status:
                    return text
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


async def test_a_process_shows_its_health_and_metrics_and_stops_on_request() -> None:
    log, processor, stop, port = MemoryLog(), Recorder(), asyncio.Event(), free_port()
    await log.append(FACTS, new("a", "b"))
    process = ProcessSettings(log="memory:", http_port=port, log_format="json")
    task = asyncio.create_task(serve("test", [Parts(processors=(processor,))], process, log=log, stop=stop))
    assert json.loads(await eventually(port, "/readyz", 200)) == {"ok": True, "problems": []}
    assert (await get(port, "/healthz"))[0] == 200
    metrics = (await get(port, "/metrics"))[1]
    assert f'ledgerlb_records_folded_total{{processor="recorder",topic="{FACTS.name}"}} 2.0' in metrics
    stop.set()
    assert await task == 0
    assert log.closed


async def test_sigterm_stops_in_order() -> None:
    processor, finished = Recorder(), []

    async def extra(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        finished.append(True)

    assert await serve("test", [Parts(processors=(processor,), tasks=(extra,))], settings()) == 0
    assert finished == [True]


async def test_an_interrupt_that_the_starter_ignores_stays_ignored() -> None:
    """As of a shell for a job in the background: Ctrl-C is for the job in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    seen = []

    async def extra(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        seen.append(signal.getsignal(signal.SIGINT))
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()

    try:
        assert await serve("test", [Parts(processors=(Recorder(),), tasks=(extra,))], settings()) == 0
        assert seen == [signal.SIG_IGN]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


async def test_one_failing_part_ends_the_process_and_lets_the_others_finish() -> None:
    finished = []

    async def failing(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    async def other(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        await stop.wait()
        finished.append(True)

    assert await serve("test", [Parts(processors=(Recorder(),), tasks=(failing, other))], settings()) == 1
    assert finished == [True]


async def test_a_part_that_does_not_stop_is_cut_off_and_makes_the_status_bad() -> None:
    stop, cut = asyncio.Event(), []

    async def stubborn(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cut.append(True)
            raise

    asyncio.get_running_loop().call_later(0.1, stop.set)
    async with asyncio.timeout(10):
        assert await serve("test", [Parts(tasks=(stubborn,))], settings(stop_timeout=0.2), stop=stop) == 1
    assert cut == [True]


async def test_an_extra_task_that_is_done_does_not_end_the_process() -> None:
    stop, processor = asyncio.Event(), Recorder()

    async def brief(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        return

    task = asyncio.create_task(serve("test", [Parts(processors=(processor,), tasks=(brief,))], settings(), stop=stop))
    await asyncio.sleep(0.3)
    assert not task.done()
    stop.set()
    assert await task == 0


async def test_a_log_that_is_away_at_start_is_waited_for() -> None:
    class Late(MemoryLog):
        tries = 0

        async def __aenter__(self) -> Self:
            Late.tries += 1
            if Late.tries < 3:
                raise LogUnavailable("not yet there")
            return self

    stop, processor, port = asyncio.Event(), Recorder(), free_port()
    process = ProcessSettings(log="memory:", http_port=port, log_format="json")
    task = asyncio.create_task(serve("test", [Parts(processors=(processor,))], process, log=Late(), stop=stop))
    assert "not yet there" in await eventually(port, "/readyz", 503)
    assert (await get(port, "/healthz"))[0] == 200
    await eventually(port, "/readyz", 200)
    stop.set()
    assert await task == 0


async def test_an_address_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = ProcessSettings(log="memory:", http_port=taken.getsockname()[1])
        with pytest.raises(InvalidSetting, match="LEDGERLB_HTTP_PORT"):
            await serve("test", [], process)


def test_a_bad_setting_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(serve("test", [], ProcessSettings(log="carrier-pigeon://loft", http_port=0))) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert "carrier-pigeon" in told[-1]
    assert "Traceback" not in "".join(told)


def test_log_lines_are_json_with_service_and_level_also_from_libraries() -> None:
    out = io.StringIO()
    configure("ipam", "info", "json", out)
    structlog.get_logger("x").info("allocated", address="192.0.2.1")
    structlog.get_logger("x").debug("too quiet")
    logging.getLogger("aiokafka.client").info("chatter")
    logging.getLogger("some.library").warning("careful: %s", "now")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["level"], line["service"]) for line in lines] == [
        ("allocated", "info", "ipam"),
        ("careful: now", "warning", "ipam"),
    ]
    assert lines[0]["address"] == "192.0.2.1"
