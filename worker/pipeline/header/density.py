"""How many dots an inch a page has, across and down, and whether its pixels are oblong.

Faxes have 204 dots an inch across and 98 down, some scanners and printers twice as many one way as the other.
Invariant: a density that cannot be meant, as zero, 1 : 1000 or the picture's own sides, counts as none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.pipeline.page_claim import SQUARE

_CENTIMETERS_PER_INCH: Final = 2.54
_METERS_PER_INCH: Final = 0.0254
# A fax of 204 x 196 dots is read as it is; what is more oblong than 4 : 1 nobody prints or scans.
_MIN_RATIO: Final = 1.2
_MAX_RATIO: Final = 4.0
_MIN_DOTS_PER_INCH: Final = 30.0
_MAX_DOTS_PER_INCH: Final = 4800.0
_MIN_RATIO_WITHOUT_UNIT: Final = 1.5
_SAME: Final = 0.02


@dataclass(frozen=True, slots=True)
class Density:
    """Dots across and down the stored pixels: an inch, or as they relate where the file names no unit."""

    across: float
    down: float
    per_inch: bool = True

    @classmethod
    def per_centimeter(cls, across: float, down: float) -> "Density":
        """Return the density of dots a centimeter."""
        return cls(across * _CENTIMETERS_PER_INCH, down * _CENTIMETERS_PER_INCH)

    @classmethod
    def per_meter(cls, across: float, down: float) -> "Density":
        """Return the density of dots a meter."""
        return cls(across * _METERS_PER_INCH, down * _METERS_PER_INCH)

    def stretch(self, width: int, height: int) -> tuple[float, float]:
        """Return by what a picture of stored pixels is to be stretched across and down to have square ones."""
        if min(self.across, self.down) <= 0 or min(width, height) <= 0:
            return SQUARE
        ratio = self.across / self.down
        oblong = max(self.across, self.down) / min(self.across, self.down)
        if not _MIN_RATIO <= oblong <= _MAX_RATIO:
            return SQUARE
        if self.per_inch:
            meant = min(self.across, self.down) >= _MIN_DOTS_PER_INCH and (
                max(self.across, self.down) <= _MAX_DOTS_PER_INCH
            )
        else:
            meant = oblong >= _MIN_RATIO_WITHOUT_UNIT and abs(ratio * height / width - 1) > _SAME
        if not meant:
            return SQUARE
        return (1.0, ratio) if ratio > 1 else (1 / ratio, 1.0)


def stretch_of(densities: Iterable[Density], width: int, height: int) -> tuple[float, float]:
    """Return the stretch by the first of a file's densities that says that its pixels are oblong."""
    stretches = (density.stretch(width, height) for density in densities)
    return next((stretch for stretch in stretches if stretch != SQUARE), SQUARE)
