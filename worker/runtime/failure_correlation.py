"""Whether other jobs fail as well: this tells a fault of the job from a fault of the server."""

from worker.domain.records import Coordinate

_KEPT_FAILURES = 2  # the job's own, and another's


class FailureCorrelation:
    """The last success, and the last failures of different jobs. Times are epoch milliseconds."""

    def __init__(self) -> None:
        self._succeeded_at_ms = 0
        self._failed_at_ms: dict[Coordinate, int] = {}

    def succeeded(self, now_ms: int) -> None:
        """Note that a job was read and published."""
        self._succeeded_at_ms = now_ms

    def failed(self, origin: Coordinate, now_ms: int) -> None:
        """Note that a job failed, perhaps by a fault of the server."""
        self._failed_at_ms.pop(origin, None)
        self._failed_at_ms[origin] = now_ms
        if len(self._failed_at_ms) > _KEPT_FAILURES:
            del self._failed_at_ms[next(iter(self._failed_at_ms))]

    def others_fail(self, origin: Coordinate, since_ms: int) -> bool:
        """Say whether other jobs failed since then and none succeeded: the fault is then the server's."""
        if self._succeeded_at_ms >= since_ms:
            return False
        return any(other != origin and at_ms >= since_ms for other, at_ms in self._failed_at_ms.items())
