"""When a failed attempt is made again: a value, not a decorator."""

from dataclasses import dataclass

from worker.domain.errors import Disposition, JobError


@dataclass(frozen=True, slots=True)
class Delay:
    """Try again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Write the dead letter."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter, without end: only permanent errors give up.

    Full jitter (a uniform draw between nothing and the exponential bound) spreads the load of many workers best:
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Half of the bound is kept as a floor, so
    that no attempt follows at once.
    """

    initial_seconds: float
    max_seconds: float

    def decide(self, error: JobError, attempt: int, draw: float) -> Delay | GiveUp:
        """Say what follows attempt number `attempt` (from 1); `draw` is uniform in [0, 1)."""
        if error.disposition is Disposition.PERMANENT:
            return GiveUp()
        bound = min(self.max_seconds, self.initial_seconds * 2.0 ** min(attempt - 1, 30))
        return Delay(bound * (0.5 + draw / 2))
