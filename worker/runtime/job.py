"""A record in the worker's hands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.domain.offsets import OffsetTracker
from worker.domain.records import Record
from worker.runtime.admission import Lane


@dataclass(slots=True)
class JobInHand:
    """A record on its way.

    `tracker` is that of the assignment it came with. `suspect` says that it may have ended the process that had it
    before. `working` is true while stopping it would throw work away; `large` says that its picture is of the large
    lane, once that is known; `on_large` is called then. `aside` says that it only waits for its dead letter, so that
    other jobs may be taken meanwhile; `on_aside` is called then, in its task.
    """

    record: Record
    tracker: OffsetTracker
    suspect: bool = False
    working: bool = False
    large: bool = False
    fetched_bytes: int = 0
    on_large: Callable[[], None] | None = None
    aside: bool = False
    on_aside: Callable[[], None] | None = None

    def of_lane(self, lane: Lane) -> None:
        """Note the lane of its picture."""
        if lane is Lane.LARGE and not self.large:
            self.large = True
            if self.on_large is not None:
                self.on_large()

    def wait_aside(self) -> None:
        """Note that it only waits for its dead letter."""
        if not self.aside:
            self.aside = True
            if self.on_aside is not None:
                self.on_aside()

    @property
    def size_bytes(self) -> int:
        """The memory that it takes: its record's, and that of its picture where that was fetched."""
        return self.record.size_bytes + self.fetched_bytes

    @contextmanager
    def holding(self, fetched_bytes: int) -> Iterator[None]:
        """Note for the block's time what was fetched for it."""
        self.fetched_bytes = fetched_bytes
        try:
            yield
        finally:
            self.fetched_bytes = 0

    def complete(self) -> None:
        """Count its offset as done."""
        self.tracker.complete(self.record.coordinate.offset)
