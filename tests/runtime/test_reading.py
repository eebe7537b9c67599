"""An attempt ends at the job's deadline, whether or not its own time is held."""

import asyncio
import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from tests.runtime.parts import PICTURE, record
from tests.simulation.virtual_time import VirtualClock, VirtualExecutor, VirtualTimeLoop
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageHeader
from worker.domain.records import CONTENT_TYPE_HEADER
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import PictureReading
from worker.runtime.budget import AttemptBudget
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.job_processor import JobProcessor
from worker.runtime.model_client import ModelClient
from worker.testing.blob import MemoryBlobStore


class EndlessReader(ModelClient):
    """A reader whose server never answers."""

    def __init__(self) -> None:
        pass

    def header(self, picture: bytes) -> ImageHeader:
        return read_header(picture, ImageLimits(max_pixels=1_000_000))

    async def process(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str
    ) -> PictureReading:
        del picture, header, timeout_seconds, request_id
        await asyncio.get_running_loop().create_future()
        raise AssertionError


def end_of(deadline_seconds: float | None, budget: AttemptBudget, *, held: bool) -> tuple[ErrorCode, float]:
    """Return the code with which a job ends that is never answered, and after how many seconds."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def run() -> tuple[ErrorCode, float]:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            clock = VirtualClock(loop)
            document = {"image_base64": b64encode(PICTURE).decode()}
            if deadline_seconds is not None:
                at = datetime.fromtimestamp(clock.epoch_ms() / 1000 + deadline_seconds, UTC)
                document["deadline"] = at.isoformat()
            budget.set_paused(paused=held)
            reading = JobProcessor(
                EndlessReader(), VirtualExecutor(loop, lambda: 0.0), clock, budget, MemoryBlobStore(), FetchMemory(1, 1)
            )
            with pytest.raises(JobError) as raised:
                await reading.read(record(json.dumps(document).encode(), (CONTENT_TYPE_HEADER, b"application/json")), 1)
            return raised.value.code, loop.time()

        return runner.run(run())


def test_an_attempt_ends_when_its_time_is_over() -> None:
    code, seconds = end_of(None, AttemptBudget(5), held=False)
    assert (code, round(seconds)) == (ErrorCode.ATTEMPT_TIMED_OUT, 5)


def test_a_deadline_that_comes_first_is_what_the_job_ends_by() -> None:
    code, seconds = end_of(3, AttemptBudget(5), held=False)
    assert (code, round(seconds)) == (ErrorCode.DEADLINE_EXCEEDED, 3)


def test_a_deadline_runs_on_while_time_is_held() -> None:
    code, seconds = end_of(60, AttemptBudget(5), held=True)
    assert (code, round(seconds)) == (ErrorCode.DEADLINE_EXCEEDED, 60)
