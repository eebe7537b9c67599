"""Whether outcomes can be written.

Invariant: the condition `outcomes` is unmet while an outcome was refused and waits to be written again, or waits too
long for its acknowledgement; with the last of these it is met again, written or given back, so that the next one shows
whether the fault is mended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.domain.errors import JobError
from worker.ports import Clock
from worker.runtime.health import Health

OUTCOMES = "outcomes"
_MAX_ACK_SECONDS = 10.0


@dataclass(eq=False, slots=True)
class PendingOutcome:
    """One outcome that is not acknowledged yet; `refusal` is why the broker did not take it the last time.

    `size_refusals` counts how often it was refused for its size though its topic takes it.
    """

    topic: str
    since: float
    refusal: JobError | None = None
    size_refusals: int = 0


class OutcomeHealth:
    """Watches the outcomes that are not acknowledged yet."""

    def __init__(self, clock: Clock, health: Health) -> None:
        self._clock = clock
        self._health = health
        self._under_way: dict[PendingOutcome, None] = {}
        self._on_change: Callable[[], None] | None = None
        health.met(OUTCOMES)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this when the condition may have changed."""
        self._on_change = listener

    @contextmanager
    def writing(self, topic: str) -> Iterator[PendingOutcome]:
        """Watch an outcome until it is written, or given up for now."""
        writing = PendingOutcome(topic, self._clock.monotonic())
        self._under_way[writing] = None
        try:
            yield writing
        finally:
            del self._under_way[writing]
            if not self._health.is_met(OUTCOMES):
                self.update()

    def refused(self, writing: PendingOutcome, error: JobError) -> None:
        """Note that the broker did not take it."""
        writing.refusal = error
        self.update()

    def update(self) -> None:
        """Update the condition."""
        refused = next((writing.refusal for writing in self._under_way if writing.refusal), None)
        oldest = next(iter(self._under_way), None)  # they come in the order of time
        waited = self._clock.monotonic() - oldest.since if oldest else 0.0
        if refused is not None:
            self._health.unmet(OUTCOMES, refused.message)
        elif oldest is not None and waited > _MAX_ACK_SECONDS:
            self._health.unmet(
                OUTCOMES,
                f"Topic {oldest.topic} has acknowledged no record for {_MAX_ACK_SECONDS:g} s or more: see whether"
                " its partitions have leaders and as many replicas in sync as its min.insync.replicas.",
            )
        else:
            self._health.met(OUTCOMES)
        if self._on_change is not None:
            self._on_change()
