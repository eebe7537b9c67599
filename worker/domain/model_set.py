"""The names of model sets, by which one Triton serves several of them side by side.

Invariant: the models of a set have the plain names with the set's name behind a dot, as `text_detector.v2`; those of
the set without a name have the plain names alone.
"""

import re
from typing import Annotated, Final

from pydantic import Field

from worker.domain.errors import LabelwireError

DEFAULT_SET: Final = ""
DEFAULT_TITLE: Final = "default"
"""What people call the set with the plain names; no set can be named so."""
_PATTERN: Final = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"

ModelSetName = Annotated[str, Field(pattern=f"^(?:{_PATTERN})?$")]


class ModelSetError(LabelwireError):
    """A model set has a name that no model can have."""


def served_name(name: str, model_set: str) -> str:
    """Return the name under which a model of a set is served."""
    return f"{name}.{model_set}" if model_set else name


def set_title(model_set: str) -> str:
    """Return how a set is named to people."""
    return model_set or DEFAULT_TITLE


def check_set_name(name: str) -> str:
    """Return the name of a model set, empty for the plain names. Raises ModelSetError."""
    if name == DEFAULT_TITLE:
        raise ModelSetError(
            f"{name!r} is what the models with the plain names are called: give a model set another name."
        )
    if name != DEFAULT_SET and re.fullmatch(_PATTERN, name) is None:
        raise ModelSetError(
            f"{name!r} is no name of a model set: use up to 32 lower-case letters, digits and hyphens, as `v2`."
        )
    return name
