"""What goes through the pipe comes out equal."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.isolation import child_messages
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import Coordinate, Record

RECORDS = st.builds(
    Record,
    coordinate=st.builds(Coordinate, st.text(), st.integers(0, 2**31), st.integers(0, 2**63 - 1)),
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(st.characters()), st.none() | st.binary())).map(tuple),
    timestamp_ms=st.integers(0, 2**63 - 1),
    unreadable_headers=st.integers(0, 2**31),
)


def through_the_pipe(frame: bytes) -> Coroutine[Any, Any, child_messages.Frame]:
    stream = asyncio.StreamReader()
    stream.feed_data(frame)
    return child_messages.unpack(stream.readexactly)


@given(RECORDS, st.integers(1, 10**6))
def test_a_record_arrives_as_it_was(record: Record, attempt: int) -> None:
    async def arrived() -> child_messages.Frame:
        return await through_the_pipe(child_messages.pack_record(record, attempt, "v2"))

    assert child_messages.unpack_record(asyncio.run(arrived())) == (record, attempt, "v2")


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_an_error_arrives_with_its_code_stage_and_sentence(code: ErrorCode) -> None:
    frame = await through_the_pipe(child_messages.pack_answer(JobError(code, "It is “broken”.", stage=Stage.CROP)))
    with pytest.raises(JobError) as raised:
        child_messages.unpack_answer(frame)
    assert (raised.value.code, raised.value.stage, raised.value.message) == (code, Stage.CROP, "It is “broken”.")
