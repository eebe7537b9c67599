"""Options that say which pictures are made, as `eval` and `synth` take them."""

import re
from typing import Final

from worker.domain.errors import SettingsError
from worker.lab.synth.camera import Degradation

ALL: Final = "all"
DEGRADATIONS: Final = ", ".join((ALL, *(kind.value for kind in Degradation)))
_SIZE: Final = re.compile(r"(\d{3,6})x(\d{3,6})", re.IGNORECASE)


def parse_size(text: str) -> tuple[int, int]:
    """Return `WIDTHxHEIGHT` as pixels. Raises SettingsError for anything else."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise SettingsError(f"{text!r} is no size; give WIDTHxHEIGHT in pixels, as 12800x8200.")
    return int(found[1]), int(found[2])


def parse_degradations(name: str) -> tuple[Degradation, ...]:
    """Return one degradation by its name, or every one for `all`. Raises SettingsError for an unknown name."""
    if name == ALL:
        return tuple(Degradation)
    try:
        return (Degradation(name),)
    except ValueError as error:
        raise SettingsError(f"{name!r} is no degradation; choose one of {DEGRADATIONS}.") from error
