"""How the stored pixels of a page are turned to stand as EXIF says (EXIF 2.32, tag 0x0112).

A page that is decoded in strips is read as it is stored, but for mirrored ones, whose strips are mirrored back: what is
left is a turn, and text reads as well turned.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from worker.domain.barcode import DecodedBarcode
from worker.domain.geometry import Transform
from worker.domain.image import PageHeader, TextLine

_MIRRORED: Final = {2: 1, 4: 3, 5: 8, 7: 6}  # and what is left to do after mirroring left and right
_FULL_TURN_DEGREES: Final = 360.0


@dataclass(frozen=True, slots=True)
class ExifTurn:
    """From the page as it is streamed to the page as it stands: first `mirrored`, then turned clockwise."""

    mirrored: bool
    clockwise_degrees: float
    to_upright: Transform

    @classmethod
    def none(cls) -> "ExifTurn":
        """Return the turn of a page that stands already."""
        return cls(mirrored=False, clockwise_degrees=0.0, to_upright=Transform.identity())

    @classmethod
    def of(cls, page: PageHeader) -> "ExifTurn":
        """Return the turn of a page."""
        mirrored = page.orientation in _MIRRORED
        width, height = float(page.width), float(page.height)
        degrees, matrix = {
            1: (0.0, [[1, 0, 0], [0, 1, 0]]),
            3: (180.0, [[-1, 0, width], [0, -1, height]]),
            6: (90.0, [[0, -1, height], [1, 0, 0]]),
            8: (270.0, [[0, 1, 0], [-1, 0, width]]),
        }[_MIRRORED.get(page.orientation, page.orientation)]
        return cls(mirrored, degrees, Transform(np.array(matrix, dtype=np.float64)))

    def line(self, line: TextLine) -> TextLine:
        """Return a line where it is on the upright page."""
        rotation = (line.rotation_degrees + self.clockwise_degrees) % _FULL_TURN_DEGREES
        return replace(line, polygon=self.to_upright.apply(line.polygon), rotation_degrees=rotation)

    def barcode(self, code: DecodedBarcode) -> DecodedBarcode:
        """Return a symbol where it is on the upright page."""
        return replace(code, polygon=self.to_upright.apply(code.polygon))
