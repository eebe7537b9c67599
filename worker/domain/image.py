"""The stage data of a page on its way from bytes to text. All of it is frozen, and each piece knows its place.

`PageImage` → `Tile` → `ProbabilityMap` → `TextRegion` → `LineCrop` → `TextLine` → `PageText`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, Transform

Pixels = NDArray[np.uint8]


class ImageFormat(StrEnum):
    """The picture formats that are read."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture claims to be, read without decoding it.

    `width` and `height` are the stored pixels, before EXIF turns them; `orientation` is the EXIF value, 1 to 8.
    """

    format: ImageFormat
    width: int
    height: int
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """The number of pixels to decode."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class PageImage:
    """A decoded page, upright by EXIF: uint8 [height, width, 3], BGR."""

    pixels: Pixels

    @property
    def width(self) -> int:
        """Columns in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows in pixels."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a page as the detector takes it.

    `pixels` is uint8 [h, w, 3] BGR, of a shape that the detector's manifest allows. `to_map` takes the tile's
    coordinates to those of the page's probability map. `kept` is the (left, top, right, bottom) rectangle of the tile,
    in pixels, that counts in the stitched map.
    """

    pixels: Pixels
    to_map: Transform
    kept: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class ProbabilityMap:
    """Text probability of a page: uint8 [height, width], 255 is certain; `to_page` takes it to page pixels."""

    values: Pixels
    to_page: Transform


@dataclass(frozen=True, slots=True)
class TextRegion:
    """A piece of the page that holds a line of text.

    `quad` is float64 [4, 2] in page pixels, clockwise from the top left of the region as it lies on the page; the first
    edge runs along the line. `score` is the mean probability inside, 0 to 1. `growth_pixels` is by how much each edge
    was moved out from what the detector marked.
    """

    quad: Points
    score: float
    growth_pixels: float = 0.0


@dataclass(frozen=True, slots=True)
class LineCrop:
    """A line straightened for the recogniser.

    `pixels` is uint8 [line_height, bucket width, 3] BGR, padded on the right; `content_width` is how many of its
    columns are picture.
    """

    region: TextRegion
    pixels: Pixels
    content_width: int

    @property
    def bucket(self) -> int:
        """The width of the bucket in pixels."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line that was read.

    `polygon` is float64 [4, 2] in page pixels, clockwise from the text's own top left; `rotation_degrees` is the
    clockwise angle of the text on the page, in [0, 360).
    """

    text: str
    confidence: float
    polygon: Points
    rotation_degrees: float


@dataclass(frozen=True, slots=True)
class PageText:
    """All lines of a page in reading order; `width` and `height` are the page's, upright by EXIF."""

    width: int
    height: int
    lines: tuple[TextLine, ...] = field(default=())
