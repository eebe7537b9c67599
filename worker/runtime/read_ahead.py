"""How many records the worker takes before it needs them.

Invariants: a record is ahead from its receipt until its job begins, fails, or is fetched a picture for, which may take
long. There are never more of them than the limit, and at least `_LEAST` are allowed.

A record that is taken early only waits here, and not in the topic where other workers could take it. One that is taken
late leaves the models idle. So a job that found its turn at once, while no more records were allowed, came late: one
more is allowed from then on, as a sender does in slow start. Jobs that had to wait came early: for each four of them
one fewer is allowed, down to half as many as are in progress and one, so that the next come within half a job's time.
"""

from typing import Final

_LEAST: Final = 2
_WAITED_FOR_ONE_FEWER: Final = 4


class ReadAhead:
    """The number of records that may be ahead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.records = min(_LEAST, limit)
        self._waited = 0

    def began(self, *, waited: bool, is_used_up: bool, in_progress: int) -> None:
        """Note that the job of a small picture begins, which was ahead.

        `is_used_up` says that no further one was allowed until then.
        """
        least = max(_LEAST, in_progress // 2 + 1)
        if waited:
            self._waited += 1
            self.records -= self._waited % _WAITED_FOR_ONE_FEWER == 0
        elif is_used_up:
            self.records += 1
        self.records = min(max(self.records, least), self._limit)
