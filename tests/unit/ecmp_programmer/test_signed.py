"""Planner and agent where keys are trusted: they put right what somebody else wrote, and believe nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerlb.core.errors import ForeignRecord
from ledgerlb.eventlog.keys import SigningKey, TrustedKeys
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.signing import SigningLog
from ledgerlb.eventlog.topics import PATHS, REPORTS, Topic
from tests.support.keys import keys_in
from tests.unit.ecmp_programmer.pipeline import Pipeline
from tests.unit.ecmp_programmer.test_agent import Lab, path_set
from tests.unit.ecmp_programmer.test_planner import ADDRESS, started

Sign = Callable[[Pipeline], SigningLog]


@pytest.fixture
def sign(tmp_path: Path) -> Sign:
    """Let the processor trust keys, and return the log that signs with one of them."""
    keys_in(tmp_path)

    def start(pipeline: Pipeline) -> SigningLog:
        pipeline.processor._projection.trust(TrustedKeys(tmp_path / "trusted"))  # type: ignore[attr-defined]
        return SigningLog(pipeline.log, SigningKey(tmp_path / "key"))

    return start


async def read(pipeline: Pipeline, topic: Topic, first: int) -> list[str]:
    """Hand the processor the records from ``first`` on; return the keys of those that it did not believe."""
    foreign = []
    for record in pipeline.records(topic)[first:]:
        try:
            pipeline.processor.take(record)
        except ForeignRecord:
            foreign.append(record.key)
    return foreign


async def test_the_planner_writes_again_what_nobody_signed_even_with_the_right_bytes(sign: Sign) -> None:
    pipeline = await started()
    log = sign(pipeline)
    before = len(pipeline.records(PATHS))
    right = next(record for record in pipeline.records(PATHS) if record.key == ADDRESS)
    await pipeline.log.append(PATHS, [NewRecord(ADDRESS, right.value)])
    assert await read(pipeline, PATHS, before) == [ADDRESS]
    await pipeline.processor.settle(log)
    (again,) = pipeline.records(PATHS)[before + 1 :]
    assert (again.key, again.value, len(again.headers)) == (ADDRESS, right.value, 2)
    assert await read(pipeline, PATHS, before + 1) == []
    await pipeline.processor.settle(log)
    assert len(pipeline.records(PATHS)) == before + 2, "one is enough"


async def test_an_agent_keeps_what_it_forwards_when_somebody_else_says_withdraw(sign: Sign) -> None:
    lab = Lab()
    log = sign(lab.pipeline)
    await lab.pipeline.publish(path_set())
    unsigned = lab.pipeline.records(PATHS)[0]
    await log.append(PATHS, [NewRecord(unsigned.key, unsigned.value)])
    await log.append(REPORTS, [])
    assert await read(lab.pipeline, PATHS, 0) == [unsigned.key]
    await lab.pipeline.processor.settle(log)
    assert lab.backend.there == {unsigned.key: path_set()}
    await lab.pipeline.log.append(PATHS, [NewRecord(unsigned.key, None)])
    assert await read(lab.pipeline, PATHS, 2) == [unsigned.key]
    await lab.pipeline.processor.settle(log)
    assert lab.backend.there == {unsigned.key: path_set()}


async def test_an_agent_reports_again_where_somebody_else_reported_in_its_name(sign: Sign) -> None:
    lab = Lab()
    log = sign(lab.pipeline)
    await lab.pipeline.publish(path_set())
    unsigned = lab.pipeline.records(PATHS)[0]
    await log.append(PATHS, [NewRecord(unsigned.key, unsigned.value)])
    await read(lab.pipeline, PATHS, 1)
    await lab.pipeline.processor.settle(log)
    reported = [record for record in lab.pipeline.records(REPORTS) if not record.key.startswith("heartbeat")]
    end = len(lab.pipeline.records(REPORTS))
    await lab.pipeline.log.append(REPORTS, [NewRecord(reported[-1].key, None)])
    assert await read(lab.pipeline, REPORTS, end) == [reported[-1].key]
    await lab.pipeline.processor.settle(log)
    again = lab.pipeline.records(REPORTS)[end + 1 :]
    assert [record.key for record in again] == [reported[-1].key]
