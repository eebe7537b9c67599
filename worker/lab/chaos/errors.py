"""What goes wrong with a chaos run itself, besides what it finds."""

from worker.domain.errors import LabelwireError


class ChaosError(LabelwireError):
    """The run could not be carried out."""
