"""Jobs submitted straight to the broker, past the faults of the network, at a steady rate.

Invariant: `submitted` names just the jobs that the broker has acknowledged. A job whose acknowledgement never came is
submitted again under another id, because nobody knows whether it stands in the topic; it is then in `doubtful`.
"""

import asyncio
import itertools
import random
import threading
from collections.abc import Sequence
from typing import Final

from worker.domain.errors import JobError
from worker.lab.chaos.errors import ChaosError
from worker.lab.chaos.pictures import Picture
from worker.ports import RecordSink

_UNDECODABLE_SHARE: Final = 0.02
_REPEAT_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 120.0


class Load:
    """Submits jobs from a thread of its own until `stop`."""

    def __init__(self, sink: RecordSink, topic: str, prefix: str, *, seed: int) -> None:
        self._sink = sink
        self._topic = topic
        self._prefix = prefix
        self._chance = random.Random(seed)  # noqa: S311 - a load, no secret
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load", daemon=True)
        self._steady: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self.submitted: dict[str, Picture] = {}
        self.doubtful: set[str] = set()

    def start(self) -> None:
        """Be ready to submit."""
        self._thread.start()

    def submit(self, pictures: Sequence[Picture]) -> None:
        """Submit each of these once, soon."""
        self._loop.call_soon_threadsafe(self._begin_all, tuple(pictures))

    def run_steadily(self, good: Sequence[Picture], bad: Sequence[Picture], jobs_per_second: float) -> None:
        """Submit pictures of the two kinds from now on."""
        self._loop.call_soon_threadsafe(self._begin_steady, tuple(good), tuple(bad), jobs_per_second)

    def pause(self) -> None:
        """Begin no further jobs, and return once all that were begun are acknowledged. Raises ChaosError."""
        try:
            asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(_STOP_SECONDS)
        except TimeoutError as error:
            raise ChaosError(f"The broker did not take all jobs within {_STOP_SECONDS:.0f} s.") from error

    def stop(self) -> None:
        """End the thread; what was not acknowledged is given up."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin_all(self, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            task = self._loop.create_task(self._send(picture))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _begin_steady(self, good: Sequence[Picture], bad: Sequence[Picture], jobs_per_second: float) -> None:
        self._steady = self._loop.create_task(self._submit_steadily(good, bad, jobs_per_second))

    async def _submit_steadily(self, good: Sequence[Picture], bad: Sequence[Picture], jobs_per_second: float) -> None:
        begun = self._loop.time()
        for number in itertools.count(1):
            is_bad = bool(bad) and self._chance.random() < _UNDECODABLE_SHARE
            self._begin_all([self._chance.choice(bad if is_bad else good)])
            await asyncio.sleep(begun + number / jobs_per_second - self._loop.time())

    async def _send(self, picture: Picture) -> None:
        while True:
            job_id = f"{self._prefix}-{next(self._numbers):06d}"
            try:
                await self._sink.send(picture.job(self._topic, job_id))
            except JobError:
                self.doubtful.add(job_id)
                await asyncio.sleep(_REPEAT_SECONDS)
            else:
                self.submitted[job_id] = picture
                return

    async def _finish(self) -> None:
        if self._steady is not None:
            self._steady.cancel()
            self._steady = None
        while self._sending:
            await asyncio.wait(self._sending)

    async def _close(self) -> None:
        ending = [*self._sending, *([self._steady] if self._steady else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._sink.close()
