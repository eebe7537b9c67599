"""Three loads on a reader of labels: one label at a time, as many as go in, and as they come in an open loop.

A label is read as a worker reads it, from the encoded picture to its fields, without Kafka. Latency in the open loop
runs from the time at which a label was due (coordinated omission: Tene, "How NOT to Measure Latency", 2013).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from worker.domain.errors import ErrorCode, JobError
from worker.runtime.model_client import ModelClient

# Far above what a label takes, and far below the budget: a GPU that hangs must not hold up the other precisions.
PICTURE_SECONDS: Final = 60.0
StageSeconds = Mapping[str, float]
Read = Callable[[int], Awaitable[StageSeconds]]
_Result = TypeVar("_Result")


class LabelReader:
    """Reads the pictures of a set by their numbers, which may run on beyond the set; `on_read` counts them."""

    def __init__(self, client: ModelClient, pictures: Sequence[bytes], on_read: Callable[[], None]) -> None:
        self._client = client
        self._pictures = pictures
        self._on_read = on_read

    async def read(self, number: int) -> StageSeconds:
        """Read a picture and return the seconds of each stage; none if it is refused as unreadable, as a worker would.

        Raises JobError for any other failure.
        """
        picture = self._pictures[number % len(self._pictures)]
        try:
            reading = await self._client.process(
                picture, self._client.header(picture), timeout_seconds=PICTURE_SECONDS, request_id=str(number)
            )
        except JobError as error:
            if error.code is not ErrorCode.IMAGE_QUALITY_POOR:
                raise
            return {}
        finally:
            self._on_read()
        return {stage.value: seconds for stage, seconds in reading.timing_seconds.items()}


async def one_at_a_time(read: Read, count: int) -> tuple[list[float], list[StageSeconds]]:
    """Read `count` labels, each alone; return the milliseconds and the seconds of the stages of each."""
    milliseconds, stages = [], []
    for number in range(count):
        begun = time.monotonic()
        stages.append(await read(number))
        milliseconds.append(1000 * (time.monotonic() - begun))
    return milliseconds, stages


async def full_load(read: Read, count: int, at_once: int) -> float:
    """Read `count` labels with `at_once` under way all the time; return the seconds."""
    numbers = iter(range(count))

    async def read_on() -> None:
        for number in numbers:
            await read(number)

    begun = time.monotonic()
    await _all(read_on() for _ in range(min(at_once, count)))
    return time.monotonic() - begun


async def open_loop(read: Read, due_seconds: Sequence[float]) -> list[float]:
    """Read a label at each time, whether or not those before are done; return the milliseconds since it was due."""
    begun = time.monotonic()

    async def read_when_due(number: int, due: float) -> float:
        await asyncio.sleep(begun + due - time.monotonic())
        await read(number)
        return 1000 * (time.monotonic() - begun - due)

    return await _all(read_when_due(number, due) for number, due in enumerate(due_seconds))


async def _all(work: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Return all results in order; the first error, as it is, cancels what still runs."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
