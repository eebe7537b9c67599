"""How much is decoded at once: jobs and pixels, in two lanes.

Invariants: within a lane jobs are admitted in the order in which they asked. A job over its lane's whole pixel budget
is admitted when the lane is empty. The large lane takes nothing from the small lane's budget. Within its budget, a job
of the small lane is admitted when it is needed to keep the models or the cores busy, or when no other one is under way.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final

from worker.runtime.weighted_gate import WeightedGate
from worker.runtime.work_ahead import CURRENT_JOB, AdmittedJob, WorkAhead


class Lane(StrEnum):
    """Large pictures have a lane of their own, so that they never delay small ones.

    In the lane `background` is what may as well be left out; jobs are in one of the other two.
    """

    SMALL = "small"
    LARGE = "large"
    BACKGROUND = "background"


# The lane of the current task's job.
CURRENT_LANE: Final[ContextVar[Lane]] = ContextVar("labelwire_lane", default=Lane.SMALL)


class _Budget:
    """Jobs and pixels of one lane."""

    def __init__(self, max_jobs: int, max_pixels: int) -> None:
        self.max_jobs = max_jobs
        self._max_pixels = max_pixels
        self.jobs = 0
        self.pixels = 0

    @property
    def is_half_empty(self) -> bool:
        """Whether less than half of the jobs and pixels are taken."""
        return 2 * self.jobs < self.max_jobs and 2 * self.pixels < self._max_pixels

    def fits(self, pixels: int) -> bool:
        """Whether one more job of so many pixels may begin."""
        return self.jobs == 0 or (self.jobs < self.max_jobs and self.pixels + pixels <= self._max_pixels)


class _Budgets(dict[Lane, _Budget]):
    """The gate's rule: each lane has its own budget, and small jobs begin only where they keep the models busy."""

    def __init__(self, budgets: Mapping[Lane, _Budget], work: WorkAhead) -> None:
        super().__init__(budgets)
        self._work = work

    def next_lane(self, heads: Mapping[Lane, int]) -> Lane | None:
        """Return a lane whose first job fits and is needed."""
        return next((lane for lane, pixels in heads.items() if self[lane].fits(pixels) and self.needs(lane)), None)

    def needs(self, lane: Lane) -> bool:
        """Whether one more job is needed: a large one always is."""
        return lane is Lane.LARGE or not self._work.is_enough(self[lane].jobs)

    def enter(self, lane: Lane, pixels: int) -> None:
        """Take a job's pixels."""
        self[lane].jobs += 1
        self[lane].pixels += pixels

    def leave(self, lane: Lane, pixels: int) -> None:
        """Give a job's pixels back."""
        self[lane].jobs -= 1
        self[lane].pixels -= pixels


class Admission:
    """Admits jobs to decoding."""

    def __init__(
        self, work: WorkAhead, *, max_jobs: int, max_pixels: int, large_from_pixels: int, max_large_jobs: int
    ) -> None:
        self._work = work
        self._large_from_pixels = large_from_pixels
        self._budgets = _Budgets(
            {Lane.SMALL: _Budget(max_jobs, max_pixels), Lane.LARGE: _Budget(max_large_jobs, max_pixels)}, work
        )
        self._gate = WeightedGate(self._budgets, self._budgets)
        work.on_change(self._gate.admit_waiting)

    def lane_of(self, pixels: int) -> Lane:
        """Return the lane for a picture of so many pixels."""
        return Lane.LARGE if pixels > self._large_from_pixels else Lane.SMALL

    @asynccontextmanager
    async def admitted(self, pixels: int) -> AsyncIterator[Lane]:
        """Wait until a picture of so many pixels is admitted; its pixels count during the block."""
        lane = self.lane_of(pixels)
        async with self._gate.entered(lane, pixels):
            job = AdmittedJob()
            token = CURRENT_JOB.set(job if lane is Lane.SMALL else None)
            try:
                yield lane
            finally:
                CURRENT_JOB.reset(token)
                self._work.ended(job)

    def would_admit(self, pixels: int) -> bool:
        """Whether a picture of so many pixels would be admitted at once."""
        lane = self.lane_of(pixels)
        return not self._gate.is_awaited(lane) and self._budgets[lane].fits(pixels) and self._budgets.needs(lane)

    def has_room(self) -> bool:
        """Whether the small lane is less than half full, so that work which may be left out delays no job much.

        There is none while no further job is needed.
        """
        return self._budgets[Lane.SMALL].is_half_empty and self._budgets.needs(Lane.SMALL)

    @property
    def jobs(self) -> int:
        """Jobs that are admitted now."""
        return sum(budget.jobs for budget in self._budgets.values())

    @property
    def wanted_jobs(self) -> int:
        """How many small jobs keep the models busy, at most as many as may be admitted."""
        enough, small = self._work.enough_jobs, self._budgets[Lane.SMALL]
        return small.max_jobs if enough is None else min(enough, small.max_jobs)

    @property
    def pixels(self) -> int:
        """Pixels of the admitted jobs."""
        return sum(budget.pixels for budget in self._budgets.values())
