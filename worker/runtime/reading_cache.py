"""Readings that were made before, kept in a cache that nobody has to trust or to wait for.

Invariants: a key names a picture's content and all that decides how it reads. Whatever the cache does, the job goes on:
a failure is a reading that is not there. A cache that fails is left alone, and tried again by one request at a time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeVar

from worker.domain.circuit import Circuit, CircuitPolicy, CircuitState
from worker.domain.errors import CacheError, RejectedEntryError, Stage
from worker.domain.events import (
    CacheCircuitChanged,
    CacheOperation,
    CacheRequestFinished,
    CacheResult,
)
from worker.pipeline.pipeline import PictureReading
from worker.ports import Clock, EventSink, ResultCache
from worker.runtime.stored_reading import decode, encode

_Answer = TypeVar("_Answer")

# A cache that is away costs the time of three requests, and then that of one every few seconds.
CACHE_CIRCUIT: Final = CircuitPolicy(failures=3, successes=1, cooldown_seconds=0.5, max_cooldown_seconds=5.0)
_REPORT_SECONDS: Final = 60.0


class ReadingCache:
    """Finds and keeps readings, and raises no error."""

    def __init__(
        self, cache: ResultCache, max_entry_bytes: int, executor: Executor, clock: Clock, event_sink: EventSink
    ) -> None:
        self._cache = cache
        self._max_entry_bytes = max_entry_bytes
        self._executor = executor
        self._clock = clock
        self._events = event_sink
        # One each, because a server that is full finds entries and takes none.
        self._circuits = {operation: Circuit(CACHE_CIRCUIT) for operation in CacheOperation}
        self._in_use = dict.fromkeys(CacheOperation, True)
        self._rejection_due_at = clock.monotonic()

    async def find(self, key: str) -> PictureReading | None:
        """Return the reading under a key, None where it cannot be had."""
        begun = self._clock.monotonic()
        pages, rejection = None, ""
        try:
            value = await self._ask(CacheOperation.GET, partial(self._cache.get, key))
            if value is not None:
                pages = await self._on_cpu(partial(decode, value, self._max_entry_bytes))
        except CacheError:
            result = CacheResult.ERROR
        except RejectedEntryError as error:
            result, rejection = CacheResult.REJECTED, self._rejection(error)
        else:
            result = CacheResult.MISS if pages is None else CacheResult.HIT
        seconds = self._clock.monotonic() - begun
        self._events.emit(CacheRequestFinished(CacheOperation.GET, result, seconds, rejection))
        return None if pages is None else PictureReading(pages, {Stage.CACHE: seconds}, from_cache=True)

    async def keep(self, key: str, reading: PictureReading) -> None:
        """Keep a reading under a key, where that can be done."""
        if not self._circuits[CacheOperation.GET].is_closed:
            return  # what is kept now would not be found, and the server may be away
        begun = self._clock.monotonic()
        result: CacheResult | None = None
        rejection = ""
        try:
            value = await self._on_cpu(partial(encode, reading.pages, self._max_entry_bytes))
            await self._ask(CacheOperation.PUT, partial(self._cache.put, key, value))
        except CacheError:
            result = CacheResult.ERROR
        except RejectedEntryError as error:
            result, rejection = CacheResult.REJECTED, self._rejection(error)
        seconds = self._clock.monotonic() - begun
        self._events.emit(CacheRequestFinished(CacheOperation.PUT, result, seconds, rejection))

    async def _ask(self, operation: CacheOperation, request: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Send a request if the operation's circuit lets it pass. Raises CacheError and RejectedEntryError."""
        circuit = self._circuits[operation]
        is_probe = circuit.begin_probe(self._clock.monotonic())
        if not (circuit.is_closed or is_probe):
            raise CacheError("The cache of readings failed before and is left alone for some seconds.")
        try:
            answer = await request()
        except CacheError as error:
            fail = circuit.probe_failed if is_probe else circuit.failed
            fail(self._clock.monotonic(), random.random())  # noqa: S311 - jitter is no secret
            self._announce(operation, str(error))
            raise
        except RejectedEntryError:
            self._note_answer(operation, is_probe=is_probe)
            raise
        except BaseException:
            if is_probe:
                circuit.probe_given_up()
            raise
        self._note_answer(operation, is_probe=is_probe)
        return answer

    def _note_answer(self, operation: CacheOperation, *, is_probe: bool) -> None:
        circuit = self._circuits[operation]
        if is_probe:
            circuit.probe_succeeded()
        else:
            circuit.succeeded()
        self._announce(operation, "")

    def _announce(self, operation: CacheOperation, reason: str) -> None:
        """Say once that the cache is left alone, and once that it is used again."""
        is_closed = self._circuits[operation].is_closed
        if is_closed is not self._in_use[operation]:
            self._in_use[operation] = is_closed
            state = CircuitState.CLOSED if is_closed else CircuitState.OPEN
            self._events.emit(CacheCircuitChanged(operation, state, reason))

    def _rejection(self, error: RejectedEntryError) -> str:
        """Return the reason where it is to be logged, which is at most once a minute, and else nothing."""
        now = self._clock.monotonic()
        if now < self._rejection_due_at:
            return ""
        self._rejection_due_at = now + _REPORT_SECONDS
        return str(error)

    async def _on_cpu(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
