"""An isolation without a child process.

Invariant: it counts crashes as the real one does, by the same `CrashHistory`; what would crash the child crashes
nothing here.
"""

import asyncio
from collections.abc import Awaitable, Callable

from worker.domain.errors import ErrorCode, JobError
from worker.domain.poison import CrashHistory
from worker.domain.records import Coordinate, Record
from worker.domain.result import LabelText


def _harmless(_: Record) -> bool:
    return False


class FakeIsolation:
    """An `Isolation` over a function that reads.

    `deadly` says which records crash their reader each time; `crash` lets the next tries crash, whatever the record.
    `tried` lists the coordinate of each try, `crashes` those of the tries that crashed, `model_sets` the set that each
    reading was asked for with.
    """

    def __init__(
        self, read: Callable[[Record, int], Awaitable[LabelText]], *, deadly: Callable[[Record], bool] = _harmless
    ) -> None:
        self.tried: list[Coordinate] = []
        self.crashes: list[Coordinate] = []
        self.model_sets: list[str] = []
        self.closed = False
        self._read = read
        self._deadly = deadly
        self._lock = asyncio.Lock()
        self._to_crash = 0

    def crash(self, times: int) -> None:
        """Let so many of the next tries end in a crash."""
        self._to_crash += times

    async def read(self, record: Record, attempt: int, model_set: str) -> LabelText:
        """Read the job of a record, after those that were asked for before. Raises JobError, POISON after crashes."""
        self.model_sets.append(model_set)
        async with self._lock:
            history = CrashHistory()
            while True:
                if self.closed:
                    raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, "The isolation is closed.")
                self.tried.append(record.coordinate)
                await asyncio.sleep(0)
                if not self._crashes(record):
                    return await self._read(record, attempt)
                self.crashes.append(record.coordinate)
                history.crashed("signal SIGSEGV")

    async def close(self) -> None:
        """Refuse records from now on."""
        self.closed = True

    def _crashes(self, record: Record) -> bool:
        if self._to_crash:
            self._to_crash -= 1
            return True
        return self._deadly(record)
