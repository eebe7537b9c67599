"""What can go wrong with a measurement; each is one sentence for a person."""

from worker.domain.errors import LabelwireError


class DatasetError(LabelwireError):
    """A folder of pictures, or its truth, is not what it says."""


class MeasurementError(LabelwireError):
    """A system under measurement did not start, ended early or did not answer in time."""
