"""Pages whose pixels are oblong, worked on as if they were square, and what was read brought back to the stored pixels.

Invariant: the axis with fewer dots an inch is stretched, so that nothing is lost, and polygons are in pixels of the
picture as it is stored.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.barcode import DecodedBarcode
from worker.domain.geometry import Transform
from worker.domain.image import PageHeader, PageImage, PageText, Pixels, TextLine
from worker.pipeline.explanation import PageSearch, rectangle

_FULL_TURN_DEGREES: Final = 360.0
# Of thin print a linear one leaves so little between two rows that a comma was read as a point.
_INTERPOLATION: Final = cv2.INTER_CUBIC
_SLOPE: Final = -0.75  # OpenCV's
_NEIGHBORS: Final = (-1, 0, 1, 2)
_ROWS_AT_ONCE: Final = 64  # in floating point


def squared(page: PageImage, header: PageHeader) -> PageImage:
    """Stretch an upright page of oblong pixels to square ones."""
    size = header.squared.upright_size
    return PageImage(np.asarray(cv2.resize(page.pixels, size, interpolation=_INTERPOLATION), dtype=np.uint8))


def squared_strips(strips: Iterable[Pixels], header: PageHeader, rows: int) -> Iterator[Pixels]:
    """Stretch the strips of a page as it is stored, and yield it again in strips of `rows` rows, the last of the rest.

    No more is held than two strips.
    """
    to = header.squared
    rows_of_page = _StretchedRows(strips, header.height / to.height, header.height, to.width)
    for top in range(0, to.height, rows):
        yield rows_of_page.rows(top, min(rows, to.height - top))


class _StretchedRows:
    """The rows of a page between those that come: each is mixed of the four that are next to it, as OpenCV does."""

    def __init__(self, strips: Iterable[Pixels], step: float, height: int, width: int) -> None:
        self._strips = iter(strips)
        self._step = step
        self._last = height - 1
        self._width = width
        self._held = np.empty((0, width, 3), np.uint8)
        self._top = 0

    def rows(self, top: int, count: int) -> Pixels:
        """Return rows [top, top + count) of the stretched page; none above may be asked for later."""
        stretched = np.empty((count, self._width, 3), np.uint8)
        for done in range(0, count, _ROWS_AT_ONCE):
            many = min(_ROWS_AT_ONCE, count - done)
            stretched[done : done + many] = self._mixed(top + done, many)
        return stretched

    def _mixed(self, top: int, count: int) -> Pixels:
        at = (np.arange(top, top + count) + 0.5) * self._step - 0.5
        above = np.floor(at).astype(np.intp)
        rows = [np.clip(above + offset, 0, self._last) for offset in _NEIGHBORS]
        self._hold(int(rows[0][0]), int(rows[-1][-1]))
        mixed = np.zeros((count, self._width, 3), np.float32)
        for offset, numbers in zip(_NEIGHBORS, rows, strict=True):
            weights = _cubic(np.abs(at - above - offset)).astype(np.float32)
            mixed += weights[:, None, None] * self._held[numbers - self._top]
        return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)

    def _hold(self, first: int, last: int) -> None:
        while self._top + len(self._held) <= last:
            strip = next(self._strips)
            if strip.shape[1] != self._width:
                resized = cv2.resize(strip, (self._width, len(strip)), interpolation=_INTERPOLATION)
                strip = np.asarray(resized, dtype=np.uint8)
            kept = self._held[max(0, first - self._top) :]
            self._top += len(self._held) - len(kept)
            self._held = np.concatenate([kept, strip])


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of rows at distances of up to 2 (Keys, cubic convolution)."""
    near = ((_SLOPE + 2) * distance - (_SLOPE + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _SLOPE - 4 * _SLOPE
    return np.where(distance <= 1, near, far)


@dataclass(frozen=True, slots=True)
class PixelStretch:
    """How a page's stored pixels were stretched, to bring back what was read on square ones; pages are upright.

    `size` is the stored page's (width, height); `across` and `down` are stored pixels for each square one.
    """

    size: tuple[int, int]
    across: float
    down: float

    @classmethod
    def of(cls, header: PageHeader) -> "PixelStretch":
        """Return the stretch of a page."""
        (width, height), (wide, high) = header.upright_size, header.squared.upright_size
        return cls((width, height), width / wide, height / high)

    def to_stored_text(self, text: PageText) -> PageText:
        """Return what a page says with its places in stored pixels."""
        width, height = self.size
        lines, barcodes = tuple(map(self._line, text.lines)), tuple(map(self._barcode, text.barcodes))
        return replace(text, width=width, height=height, lines=lines, barcodes=barcodes)

    def to_stored_search(self, search: PageSearch) -> PageSearch:
        """Return how a page was searched, in stored pixels."""
        return replace(search, tiles=tuple(rectangle(tile, self._transform) for tile in search.tiles))

    @property
    def _transform(self) -> Transform:
        return Transform.scale_then_shift(self.across, self.down, 0.0, 0.0)

    def _line(self, line: TextLine) -> TextLine:
        along = math.radians(line.rotation_degrees)
        rotation = math.degrees(math.atan2(math.sin(along) * self.down, math.cos(along) * self.across))
        polygon = self._transform.apply(line.polygon)
        return replace(line, polygon=polygon, rotation_degrees=round(rotation, 9) % _FULL_TURN_DEGREES)

    def _barcode(self, code: DecodedBarcode) -> DecodedBarcode:
        return replace(code, polygon=self._transform.apply(code.polygon))
