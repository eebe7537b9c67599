"""What keeps a tuning from being chosen."""

from worker.domain.errors import LabelwireError


class SweepError(LabelwireError):
    """The pictures show no traffic, or nothing that was tried may be served."""
