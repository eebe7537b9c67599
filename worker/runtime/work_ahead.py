"""How many small jobs keep the models and this worker's cores busy.

Invariants: a Triton that does not say how many instances it has is never busy enough, and as many jobs begin as may.
Only small jobs count: requests of large ones let those go first, and what runs beside the jobs may be left out.

The rule: one more job begins while fewer of them are between two requests than the threads can decode and crop, and
one at hand for the next free thread; and while the models could run out of work. They cannot where each instance may
have its batch filled twice, once to run and once behind it, by jobs with one row each, and where answers show that
requests wait for one another. Requests do not wait where there are more instances than the server says, because
several servers stand behind one name, or where they are on a long way.

On a CPU batches gain nothing, so there a row counts as a batch: two instances need four jobs. On a GPU with batches of
64 rows, 128 jobs are far more than a worker may have, and its threads decide.

Requests wait where answers take much longer than at their fastest, as in congestion control by delay. The fastest ones
are remembered for as long as the worker runs, so servers that become slower for good are taken for busy ones. Servers
behind one name are taken to be alike: the answers of those that are half as fast, or 50 ms further away, look like a
queue.
Source: Brakmo and Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", 1995.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from worker.ports import InferenceRequest, ModelDescription, ServingCapacity

_BATCHES_EACH: Final = 2
# A request that finds one in front of it takes twice as long as at its fastest; this is half-way.
_WAITING_FROM: Final = 1.5
# Of each answer in the average, which follows some ten jobs.
_WEIGHT: Final = 0.1
# No request takes less to be sent and answered; remembered, it would make all others slow for good.
_LEAST_SECONDS: Final = 1e-4


class AdmittedJob:
    """A small job between its admission and its end; `requests` are those that have no answer yet.

    `asks_alone` says that there was no more than one since it last had none. What is left of a job that `has_ended`
    may still ask.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.asks_alone = True
        self.has_ended = False


class FastestAnswers:
    """The least time that one model took to answer, by the size of the request.

    How long a request of any size takes at most while nothing waits follows from those: no longer than a larger one,
    and no longer in proportion than a smaller one, because a part of the time is the same for all.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # by bytes; only what does not follow from the others

    def slowness(self, size_bytes: int, seconds: float) -> float:
        """Note an answer, and return how many times as long it took as one that waits for nothing may take."""
        if seconds < _LEAST_SECONDS:
            return 1.0
        known = self._seconds.items()
        least = min((_at_most(size_bytes, other, fastest) for other, fastest in known), default=seconds)
        if seconds > least:
            return seconds / least
        self._seconds = {other: fastest for other, fastest in known if fastest < _at_most(other, size_bytes, seconds)}
        self._seconds[size_bytes] = seconds
        return 1.0


def _at_most(size_bytes: int, other_bytes: int, other_seconds: float) -> float:
    """Return how long a request takes at most while nothing waits, if one of another size took so long."""
    return other_seconds * max(1.0, size_bytes / other_bytes)


# The current task's job, None where it is not one of the small lane that was admitted.
CURRENT_JOB: Final[ContextVar[AdmittedJob | None]] = ContextVar("labelwire_admitted_job", default=None)


class WorkAhead:
    """What small jobs ask of the models; `threads` decode and crop."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._capacities: dict[str, ServingCapacity] = {}
        self._asking: set[AdmittedJob] = set()
        self._fastest: dict[tuple[str, str], FastestAnswers] = defaultdict(FastestAnswers)  # by model and version
        self._slowness = float(_BATCHES_EACH)  # until answers show something else, requests wait
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener()` called whenever another job may be needed."""
        self._listeners.append(listener)

    def described(self, model: str, description: ModelDescription | None) -> None:
        """Note what the server says of a model, None if it has no such model."""
        if description is None or description.capacity is None:
            self._capacities.pop(model, None)
        else:
            self._capacities[model] = description.capacity
        self._changed()

    def ended(self, job: AdmittedJob) -> None:
        """Note that a job is not admitted any more, even if a request of it is not answered yet."""
        job.has_ended = True
        self._asking.discard(job)

    def is_enough(self, jobs: int) -> bool:
        """Say whether no further job is needed while so many small ones are admitted."""
        if not jobs or not self._capacities:
            return False
        # What is not asking is on a thread, or waits for one.
        if jobs - len(self._asking) > self._threads:
            return True
        enough = self.enough_jobs
        return enough is not None and jobs >= enough

    @property
    def enough_jobs(self) -> int | None:
        """How many jobs keep the models busy, None where more of them may do more."""
        if not self._capacities or self._slowness < _WAITING_FROM:
            return None
        return _BATCHES_EACH * max(one.instances * one.batch_rows for one in self._capacities.values())

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count a request of the current job during the block, from when it is asked to its answer."""
        job = CURRENT_JOB.get()
        if job is None or job.has_ended:
            yield
            return
        job.asks_alone = not job.requests
        job.requests += 1
        self._asking.add(job)
        self._changed()
        try:
            yield
        finally:
            job.requests -= 1
            if not job.requests:
                self._asking.discard(job)

    def answered(self, request: InferenceRequest, seconds: float) -> None:
        """Note how long a request took, the way to the server included."""
        job, rows = CURRENT_JOB.get(), next(iter(request.inputs.values()))
        # Requests of one job wait for one another, and one of many rows takes its time in any case.
        if job is None or not job.asks_alone or len(rows) > 1:
            return
        slowness = self._fastest[request.model, request.version].slowness(rows.nbytes, seconds)
        self._slowness += _WEIGHT * (slowness - self._slowness)
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
