"""The data that the stages of reading a page pass on, all of it frozen; tiles and crops have their map to the page.

`PageImage` → `Tile` → `ProbabilityMap` → `TextRegion` → `LineCrop` → `TextLine` → `PageText`.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.domain.barcode import DecodedBarcode
from worker.domain.fields import Field
from worker.domain.geometry import Points, Transform
from worker.domain.quality import PageQuality

Pixels = NDArray[np.uint8]


class ImageFormat(StrEnum):
    """The picture formats that are read."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    PDF = "pdf"
    AVIF = "avif"
    HEIF = "heif"


_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class PageHeader:
    """The header of one page of a picture, read without decoding it.

    `width` and `height` are the stored pixels, before EXIF turns them; `orientation` is the EXIF value, 1 to 8.
    `streams` says that its rows can be decoded a few at a time, so that it need not fit into memory. `stretch` is by
    what its stored pixels must be stretched across and down to be square: a fax of 204 x 98 dots an inch has (1, 2.08).
    """

    width: int
    height: int
    orientation: int = 1
    streams: bool = False
    stretch: tuple[float, float] = (1.0, 1.0)

    @property
    def pixels(self) -> int:
        """The number of pixels to work on, which are square."""
        return self.width * self.height if self.is_square else math.prod(self.squared.upright_size)

    @property
    def is_square(self) -> bool:
        """Whether its pixels are square as they are stored."""
        return self.stretch == (1.0, 1.0)

    @property
    def squared(self) -> "PageHeader":
        """The page as it is with square pixels."""
        across, down = self.stretch
        width, height = round(self.width * across), round(self.height * down)
        return replace(self, width=width, height=height, stretch=(1.0, 1.0))

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as EXIF says the page stands."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of a picture, read without decoding it: its real format and its pages, at least one."""

    format: ImageFormat
    pages: tuple[PageHeader, ...]

    @property
    def pixels(self) -> int:
        """The number of pixels of the largest page; pages are decoded one after another."""
        return max(page.pixels for page in self.pages)

    @property
    def total_pixels(self) -> int:
        """The number of pixels of all pages."""
        return sum(page.pixels for page in self.pages)


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
    coordinates to those of the page's probability map.
    """

    pixels: Pixels
    to_map: Transform


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
    """A line straightened for the recognizer.

    `pixels` is uint8 [line_height, bucket width, 3] BGR, padded on the right; `content_width` is how many of its
    columns are picture. `span` is the part of the region's length that it shows, from 0 to 1: a line that is longer
    than the widest bucket is cut into crops that overlap.
    """

    region: TextRegion
    pixels: Pixels
    content_width: int
    span: tuple[float, float] = (0.0, 1.0)

    @property
    def bucket(self) -> int:
        """The width of the bucket in pixels."""
        return int(self.pixels.shape[1])


class Character(NamedTuple):
    """One character of a line as the recognizer saw it; a page has many, and a tuple is made in a third of the time.

    `position` is where its middle lies along the line, from 0 (left end of the text) to 1. `alternatives` are other
    characters that the recognizer held possible there, with their probabilities, best first; empty where the model
    gives only one a step.
    """

    text: str
    confidence: float
    position: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line that was read.

    `polygon` is float64 [4, 2] in page pixels, clockwise from the text's own top left; `rotation_degrees` is the
    clockwise angle of the text on the page, in [0, 360). `characters` spell `text`; they may be absent.
    """

    text: str
    confidence: float
    polygon: Points
    rotation_degrees: float
    characters: tuple[Character, ...] = ()


@dataclass(frozen=True, slots=True)
class PageText:
    """What a page says. `lines` are in reading order; `width` and `height` are the page's, upright by EXIF.

    Fields and barcodes name lines and each other by their places in these tuples.
    """

    width: int
    height: int
    lines: tuple[TextLine, ...] = ()
    barcodes: tuple[DecodedBarcode, ...] = ()
    fields: tuple[Field, ...] = ()
    quality: PageQuality | None = None
