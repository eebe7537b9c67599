"""What can go wrong with a registry of models."""

from worker.domain.errors import LabelwireError


class RegistryError(LabelwireError):
    """A registry cannot do what was asked."""


class DamagedError(RegistryError):
    """Something in a registry is not what was written there."""


class UnknownVersionError(RegistryError):
    """No version, or more than one, is meant."""


class PromotionError(RegistryError):
    """A version may not come into use."""
