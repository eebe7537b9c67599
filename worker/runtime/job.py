"""A record that the worker works on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.domain.offsets import OffsetTracker
from worker.domain.records import Record
from worker.runtime.admission import Lane


@dataclass(slots=True)
class InflightJob:
    """A record between its receipt and its outcome.

    `tracker` is that of the assignment it came with. `suspect` says that it may have crashed the worker that had it
    before. `working` is true while stopping it would throw work away. `large` says that its picture is of the large
    lane, once that is known; `on_large` is called then. `queued` says that it only waits for its dead letter, so that
    other jobs may be taken meanwhile; `on_queued` is called then, in the job's task. `ahead` is true until the job
    begins, fails, or waits for its picture; `on_begun` is called then with whether it had to wait for other jobs, None
    where that says nothing.
    """

    record: Record
    tracker: OffsetTracker
    suspect: bool = False
    working: bool = False
    large: bool = False
    fetched_bytes: int = 0
    on_large: Callable[[], None] | None = None
    queued: bool = False
    on_queued: Callable[[], None] | None = None
    ahead: bool = True
    on_begun: Callable[[bool | None], None] | None = None

    def set_lane(self, lane: Lane) -> None:
        """Note the lane of the job's picture."""
        if lane is Lane.LARGE and not self.large:
            self.large = True
            if self.on_large is not None:
                self.on_large()

    def mark_queued(self) -> None:
        """Note that the job only waits for its dead letter."""
        if not self.queued:
            self.queued = True
            if self.on_queued is not None:
                self.on_queued()

    def mark_begun(self, *, waited: bool | None = None) -> None:
        """Note that the job begins, or that it does not wait for other jobs; `waited` says whether it did."""
        if self.ahead:
            self.ahead = False
            if self.on_begun is not None:
                self.on_begun(waited)

    @property
    def size_bytes(self) -> int:
        """The memory that the job takes: its record, and its picture where that was fetched."""
        return self.record.size_bytes + self.fetched_bytes

    @contextmanager
    def with_fetched(self, fetched_bytes: int) -> Iterator[None]:
        """Count the fetched bytes during the block."""
        self.fetched_bytes = fetched_bytes
        try:
            yield
        finally:
            self.fetched_bytes = 0

    def complete(self) -> None:
        """Count its offset as done."""
        self.tracker.complete(self.record.coordinate.offset)
