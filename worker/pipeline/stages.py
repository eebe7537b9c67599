"""The stages of one picture: where they run, and how long each takes."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar, TypeVarTuple, Unpack

from worker.domain.errors import Stage
from worker.ports import UNTRACED, Clock, Tracer

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Stages:
    """Runs work in the executor's threads and counts the seconds of each stage, over all pages of a picture."""

    def __init__(self, executor: Executor, clock: Clock, tracer: Tracer = UNTRACED) -> None:
        self.seconds: dict[Stage, float] = defaultdict(float)
        self._executor = executor
        self._clock = clock
        self._tracer = tracer

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Count the block's time for a stage."""
        started = self._clock.monotonic()
        try:
            with self._tracer.stage(stage):
                yield
        finally:
            self.seconds[stage] += self._clock.monotonic() - started

    async def on_cpu(self, work: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments) -> _Result:
        """Run work that needs a core."""
        # With this task's context, by which a trace knows what belongs to what.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(context.run, work, *arguments))

    def in_order(self) -> dict[Stage, float]:
        """Return the seconds in the order of the way, whatever ran at the same time."""
        return {stage: self.seconds[stage] for stage in Stage if stage in self.seconds}
