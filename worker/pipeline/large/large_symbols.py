"""Symbols that are too large for any band of a streamed page, looked for in the page made small while its strips pass.

Each level is half as large as the one before. At the last one the page is small enough to be looked at whole; at those
before it, in bands that overlap. A symbol so large that the bands of a level cut it has large modules, so that the next
level shows it well. Invariant: no more is held than the last level whole and a band of each other level, whatever the
page's size.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from worker.domain.barcode import DecodedBarcode
from worker.domain.geometry import Points, Transform
from worker.domain.image import Pixels
from worker.pipeline.barcodes.find import Codes, find_codes, luminance
from worker.pipeline.decode.thumbnail import shrunk
from worker.pipeline.options import BarcodeOptions

SEEN_WHOLE_PIXELS: Final = 1024
"""A symbol of so many pixels of a level, or of the page itself in its bands, is never cut."""

_WHOLE_PIXELS: Final = 16_777_216  # of a level that is looked at whole: a reader of symbols needs many times its input
_BAND_ROWS: Final = 3 * SEEN_WHOLE_PIXELS


class LargeCodes:
    """Takes a page of `width` x `height` pixels from top to bottom, in strips of multiples of 64 rows.

    The last level has at most `whole_pixels`.
    """

    def __init__(self, width: int, height: int, options: BarcodeOptions, *, whole_pixels: int = _WHOLE_PIXELS) -> None:
        self._levels = list(_levels(width, height, options, whole_pixels))

    def add(self, strip: Pixels) -> None:
        """Take the next strip, uint8 [rows, width, 3] BGR; only the last one may have any number of rows."""
        gray = luminance(strip)
        for level in self._levels:
            gray = shrunk(gray, 2)
            level.add(gray)

    def codes(self) -> Codes:
        """Return what was found, once all strips have passed; several levels may have seen one symbol."""
        found = [level.codes() for level in self._levels]
        return Codes(
            tuple(code for codes in found for code in codes.barcodes),
            tuple(area for codes in found for area in codes.areas),
        )


def _levels(width: int, height: int, options: BarcodeOptions, whole_pixels: int) -> Iterator["_Level"]:
    reduction = 1
    while options.formats:
        reduction *= 2
        rows, columns = math.ceil(height / reduction), math.ceil(width / reduction)
        is_last = rows * columns <= whole_pixels
        yield _Level(reduction, columns, rows if is_last else min(rows, _BAND_ROWS), options)
        if is_last:
            return


class _Level:
    """The page so many times smaller: holds at most `rows` of it, and looks at them once they are there."""

    def __init__(self, reduction: int, width: int, rows: int, options: BarcodeOptions) -> None:
        self._reduction = reduction
        self._options = options
        self._held = np.empty((rows, width), dtype=np.uint8)
        self._top = 0
        self._used = 0
        self._fresh = 0  # rows that were not looked at yet
        self._barcodes: list[DecodedBarcode] = []
        self._areas: list[Points] = []

    def add(self, gray: Pixels) -> None:
        """Take the next rows, uint8 [n, width]."""
        while len(gray):
            if self._used == len(self._held):
                self._look()
                self._move_on()
            taken = gray[: len(self._held) - self._used]
            self._held[self._used : self._used + len(taken)] = taken
            self._used += len(taken)
            self._fresh += len(taken)
            gray = gray[len(taken) :]

    def codes(self) -> Codes:
        """Look at what is left, and return what was found in pixels of the page."""
        if self._fresh:
            self._look()
        return Codes(tuple(self._barcodes), tuple(self._areas))

    def _look(self) -> None:
        factor = float(self._reduction)
        to_page = Transform.scale_then_shift(factor, factor, 0.0, self._top * factor)
        found = find_codes(self._held[: self._used], self._options).placed(to_page)
        self._barcodes += found.barcodes
        self._areas += found.areas
        self._fresh = 0

    def _move_on(self) -> None:
        """Keep the last rows: a symbol may have begun in them."""
        gone = self._used - SEEN_WHOLE_PIXELS
        self._held[:SEEN_WHOLE_PIXELS] = self._held[gone : self._used]
        self._top += gone
        self._used = SEEN_WHOLE_PIXELS
