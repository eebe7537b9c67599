"""How many records the worker takes before it needs them.

Invariants: a record is ahead from its receipt until its job begins, fails, or waits for something else than the other
jobs. There are never more of them than the limit, and at least `_LEAST` are allowed.

A record that is taken early only waits here, and not in the topic where other workers could take it. One that is taken
late leaves the models idle. So a job that found its turn at once, while no more records were allowed, came late: one
more is allowed from then on, as a sender does in slow start. A job that had to wait came early: one fewer is allowed,
down to one more than there are jobs in progress, so that the next records come within the time of a job.
"""

from typing import Final

_LEAST: Final = 2


class ReadAhead:
    """The number of records that may be ahead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.records = min(_LEAST, limit)

    def began(self, *, waited: bool, is_used_up: bool, in_progress: int) -> None:
        """Note that a record is not ahead any more; `is_used_up` says that no further one was allowed until then."""
        if waited:
            self.records = max(_LEAST, in_progress + 1, self.records - 1)
        elif is_used_up:
            self.records += 1
        self.records = min(self.records, self._limit)
