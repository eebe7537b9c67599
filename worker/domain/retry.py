"""What follows a failed attempt: a value, not a decorator."""

from dataclasses import dataclass, replace

from worker.domain.errors import Disposition, JobError
from worker.domain.headers import DerivedHeaders
from worker.domain.records import OutgoingRecord, Record

_LONGEST_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class RetryInPlace:
    """Try again in place after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RetryOnTopic:
    """Write the record to the retry topic of this level (from 1), due after so many seconds."""

    level: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Write the dead letter."""


Decision = RetryInPlace | RetryOnTopic | GiveUp


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides by disposition: the job is wrong, the job may be wrong, or a server is away.

    `permanent`: give up. `systemic`: retry in place without end, after `initial_seconds` at first and `max_seconds` at
    most; such failures do not count as attempts. `retry`: one retry topic for each of `delays_seconds`, then give up;
    with ordered keys (`in_place`) the same delays in place.

    Back-off in place has full jitter (a uniform draw between nothing and the exponential bound spreads the load of many
    workers best: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), with half of the bound as a
    floor, so that no attempt follows at once. The jitter of a retry topic is at most a tenth of its delay, so that the
    topic stays in due order.
    """

    initial_seconds: float
    max_seconds: float
    delays_seconds: tuple[float, ...] = ()
    in_place: bool = False

    def decide(self, error: JobError, attempt: int, draw: float, *, others_fail: bool = False) -> Decision:
        """Say what follows attempt number `attempt` (from 1); `draw` is uniform in [0, 1).

        If `others_fail` as well and none succeeds, the cause may be the server: the last delay is then repeated, as
        often as there are delays. It is not repeated for ever, because jobs that are wrong could then excuse each
        other without end. (An outage uses up no attempts: the circuits see to that.)
        """
        if error.disposition is Disposition.PERMANENT:
            return GiveUp()
        if error.disposition is Disposition.SYSTEMIC:
            return self.back_off(attempt, draw)
        if attempt > (2 if others_fail else 1) * len(self.delays_seconds):
            return GiveUp()
        later = self._later(min(attempt, len(self.delays_seconds)), draw)
        return RetryInPlace(later.seconds) if self.in_place else later

    def slowest_retry(self, draw: float) -> RetryOnTopic | None:
        """Return a retry on the slowest retry topic, for a job that cannot wait here; None if there is none."""
        if self.in_place or not self.delays_seconds:
            return None
        return self._later(len(self.delays_seconds), draw)

    def _later(self, level: int, draw: float) -> RetryOnTopic:
        return RetryOnTopic(level, self.delays_seconds[level - 1] * (1 + _LONGEST_JITTER * draw))

    def back_off(self, failures: int, draw: float) -> RetryInPlace:
        """Return how long to wait in place after so many failures in a row (from 1)."""
        bound = min(self.max_seconds, self.initial_seconds * 2.0 ** min(failures - 1, 30))
        return RetryInPlace(bound * (0.5 + draw / 2))


def retry_record(
    record: Record, topic: str, *, job_id: str, attempt: int, due_at_ms: int, first_failed_at_ms: int
) -> OutgoingRecord:
    """Return what to write to a retry topic: the record as it was received, after so many attempts."""
    derived = replace(
        DerivedHeaders.of(record),
        job_id=job_id,
        attempt=attempt,
        due_at_ms=due_at_ms,
        first_failed_at_ms=first_failed_at_ms,
    )
    return OutgoingRecord(topic, record.key, record.value, derived.onto(record.headers))
