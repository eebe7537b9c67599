"""What keeps a model set from being evaluated."""

from worker.domain.errors import LabelwireError


class AcceptanceError(LabelwireError):
    """A model set cannot be found, or cannot be served here."""
