"""What every `Isolation` does: the fake, and the real one with children that end by real signals."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.contracts.isolated_child import DEADLY, GOOD, blobs, child_command, child_environment
from tests.runtime.parts import BLANK, FOLDER, PICTURE, Parts, by_uri, record
from worker.adapters.clock import SystemClock
from worker.adapters.isolation.isolation import ChildIsolation
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import Record
from worker.lab.chaos.poison import PoisonKind, poisonous
from worker.ports import Isolation
from worker.runtime.budget import AttemptBudget
from worker.runtime.job_processor import JobProcessor
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation

POISON = record(poisonous(PICTURE, PoisonKind.SEGV), offset=7)


@dataclass(frozen=True)
class Apart:
    """An isolation, and how many crashes it has seen."""

    isolation: Isolation
    crashes: Callable[[], int]


async def fake(threads: ThreadPoolExecutor) -> Apart:
    parts = Parts(threads, blobs=blobs())
    reading = JobProcessor(parts.reader, threads, parts.clock, AttemptBudget(30), parts.blobs, parts.room)
    isolation = FakeIsolation(reading.read, deadly=lambda record: is_deadly(record.value or b""))
    return Apart(isolation, lambda: len(isolation.crashes))


def is_deadly(value: bytes) -> bool:
    return b"LABELWIRE-" in value or DEADLY.encode() in value


async def child(_: ThreadPoolExecutor) -> Apart:
    events = RecordedEvents()
    isolation = ChildIsolation(
        child_command(), environment=child_environment(), attempt_seconds=30, clock=SystemClock(), event_sink=events
    )
    return Apart(isolation, lambda: len(events.all))


@pytest.fixture(params=[fake, child], ids=lambda maker: maker.__name__)
async def apart(request: pytest.FixtureRequest, pixel_threads: ThreadPoolExecutor) -> AsyncIterator[Apart]:
    made: Apart = await request.param(pixel_threads)
    yield made
    await made.isolation.close()


@pytest.fixture(scope="session")
def pixel_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def texts(result: object) -> list[str]:
    return [line.text for line in result.pages[0].lines]  # type: ignore[attr-defined]


async def failure(isolation: Isolation, record: Record) -> JobError:
    with pytest.raises(JobError) as raised:
        await isolation.read(record, 1, "")
    return raised.value


async def test_a_good_picture_is_read_as_it_is_read_at_home(apart: Apart, pixel_threads: ThreadPoolExecutor) -> None:
    parts = Parts(pixel_threads)
    sent = Record(record().coordinate, None, PICTURE, (("content-type", b"image/png"), ("own", b"\xff\0")), 12)
    result = await apart.isolation.read(sent, 3, "")
    home = await JobProcessor(
        parts.reader, pixel_threads, parts.clock, AttemptBudget(30), parts.blobs, parts.room
    ).read(sent, 3)
    assert result.model_dump(exclude={"timing_ms"}) == home.model_dump(exclude={"timing_ms"})
    assert texts(result) == ["HELLO"]
    assert result.attempt == 3


@pytest.mark.parametrize(
    ("value", "code", "stage"),
    [
        (PICTURE[: len(PICTURE) // 2], ErrorCode.IMAGE_CORRUPT, Stage.DECODE),
        (b"no picture", ErrorCode.IMAGE_UNSUPPORTED, Stage.DECODE),
        (None, ErrorCode.JOB_INVALID, Stage.CONSUME),
    ],
)
async def test_a_bad_picture_fails_as_it_fails_at_home(
    apart: Apart, value: bytes | None, code: ErrorCode, stage: Stage
) -> None:
    error = await failure(apart.isolation, record(value))
    assert (error.code, error.stage) == (code, stage)
    assert error.message.endswith(".")
    assert apart.crashes() == 0


async def test_a_picture_that_lies_elsewhere_is_fetched_apart(apart: Apart) -> None:
    result = await apart.isolation.read(by_uri(GOOD), 2, "")
    assert texts(result) == ["HELLO"]
    assert (result.job_id, result.image.size_bytes, result.attempt) == ("job 0", len(PICTURE), 2)
    assert "fetch" in result.timing_ms


@pytest.mark.parametrize(
    ("uri", "code", "stage"),
    [
        (f"{FOLDER}absent.png", ErrorCode.URI_NOT_FOUND, Stage.FETCH),
        ("s3://elsewhere/a.png", ErrorCode.URI_FORBIDDEN, Stage.CONSUME),
    ],
)
async def test_what_cannot_be_fetched_convicts_nobody(apart: Apart, uri: str, code: ErrorCode, stage: Stage) -> None:
    error = await failure(apart.isolation, by_uri(uri))
    assert (error.code, error.stage) == (code, stage)
    assert apart.crashes() == 0


async def test_a_fetched_picture_that_crashes_three_times_is_convicted(apart: Apart) -> None:
    error = await failure(apart.isolation, by_uri(DEADLY, offset=4))
    assert error.code is ErrorCode.POISON
    assert apart.crashes() == 3
    assert texts(await apart.isolation.read(by_uri(GOOD), 1, "")) == ["HELLO"]


async def test_three_crashes_convict_and_the_next_picture_is_read(apart: Apart) -> None:
    error = await failure(apart.isolation, POISON)
    assert error.code is ErrorCode.POISON
    assert "three times (signal SIGSEGV)" in error.message
    assert apart.crashes() == 3
    assert texts(await apart.isolation.read(record(), 1, "")) == ["HELLO"]
    assert apart.crashes() == 3


async def test_records_that_come_together_are_read_one_after_another(apart: Apart) -> None:
    answers = await asyncio.gather(
        *(apart.isolation.read(sent, 1, "") for sent in (record(), POISON, record(BLANK), record())),
        return_exceptions=True,
    )
    assert [type(answer).__name__ for answer in answers] == ["LabelText", "JobError", "LabelText", "LabelText"]
    assert [texts(answer) for answer in answers if not isinstance(answer, JobError)] == [["HELLO"], [], ["HELLO"]]
    assert apart.crashes() == 3


async def test_a_cancelled_reading_convicts_nobody_and_the_next_one_is_read(apart: Apart) -> None:
    reading, waiting = (asyncio.create_task(apart.isolation.read(sent, 1, "")) for sent in (POISON, record()))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert texts(await waiting) == ["HELLO"]
    assert apart.crashes() <= 1


async def test_closed_it_refuses(apart: Apart) -> None:
    await apart.isolation.read(record(), 1, "")
    await apart.isolation.close()
    assert (await failure(apart.isolation, record())).code is ErrorCode.INFERENCE_UNAVAILABLE
    await apart.isolation.close()
