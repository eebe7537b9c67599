"""The time that a bench may take in all.

Invariant: nothing is cut short in silence; whoever has too little time left gets the sentence that the report shows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from worker.lab.evaluation.errors import MeasurementError


class BudgetError(MeasurementError):
    """Too little is left of a bench's time."""


class TimeBudget:
    """So many seconds from now on, by a monotonic `clock`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._begun = clock()

    @property
    def spent(self) -> float:
        """The seconds since the begin."""
        return self._clock() - self._begun

    @property
    def left(self) -> float:
        """The seconds that are left, none once they are spent."""
        return max(0.0, self.seconds - self.spent)

    def require(self, seconds: float, what: str) -> None:
        """Raise BudgetError if `what` needs more seconds than are left."""
        if self.left < seconds:
            raise BudgetError(
                f"{what} needs {seconds:.0f} s, and {self.left:.0f} s of {self.seconds:.0f} s are left: build the "
                "models before, or give more time with --minutes"
            )

    @asynccontextmanager
    async def limit(self, seconds: float, what: str) -> AsyncIterator[None]:
        """Cancel a block that takes longer, as on a GPU that hangs, and raise BudgetError."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise BudgetError(
                f"{what} was not done in the {seconds:.0f} s of {self.seconds:.0f} s that it had: give more time with "
                "--minutes"
            ) from error
