"""What keeps a lower precision from being judged, or from being written."""

from worker.domain.errors import LabelwireError


class CalibrationError(LabelwireError):
    """A set of pictures does not show what a model will meet."""


class GateError(LabelwireError):
    """A lower precision reads worse than it may, or cannot be judged."""
