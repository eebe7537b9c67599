"""A page made small while its strips pass.

Invariant: no more is held than the small page, less than twice as long as is wanted.
"""

from typing import Final

import cv2
import numpy as np

from worker.domain.image import Pixels

_LARGEST_REDUCTION: Final = 64


class Thumbnail:
    """Takes a page of `width` x `height` pixels from top to bottom, in strips of multiples of 64 rows.

    Strips of a page that stays in memory, `strips_stay`, are made small only if the thumbnail is asked for.
    """

    def __init__(self, width: int, height: int, wanted_long_side: int, *, strips_stay: bool = False) -> None:
        self._wanted = wanted_long_side
        self._reduction = _reduction(max(width, height), wanted_long_side)
        self._reduced = np.empty((-(-height // self._reduction), -(-width // self._reduction), 3), dtype=np.uint8)
        self._rows = 0
        self._strips_stay = strips_stay
        self._waiting: list[Pixels] = []

    def add(self, strip: Pixels) -> None:
        """Take the next strip, uint8 [rows, width, 3] BGR; only the last one may have any number of rows."""
        if self._strips_stay:
            self._waiting.append(strip)
        else:
            self._reduce(strip)

    def _reduce(self, strip: Pixels) -> None:
        reduced = shrunk(strip, self._reduction)
        self._reduced[self._rows : self._rows + len(reduced)] = reduced
        self._rows += len(reduced)

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of `pixels`."""
        height, width = self._reduced.shape[:2]
        scale = min(1.0, self._wanted / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def pixels(self) -> Pixels:
        """Return the page, uint8 [h, w, 3] BGR; one that is not longer than wanted stays as it is."""
        for strip in self._waiting:
            self._reduce(strip)
        self._waiting.clear()
        return np.asarray(cv2.resize(self._reduced, self.size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrunk(strip: Pixels, reduction: int) -> Pixels:
    """Return pixels so many times smaller along each side, rounded up."""
    height, width = strip.shape[:2]
    size = (-(-width // reduction), -(-height // reduction))
    return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """Return pixels, at least 2 x 2, half as large along each side; an odd edge is left out.

    Averaging by exactly two takes a tenth of the time of averaging by any other number.
    """
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _reduction(long_side: int, wanted: int) -> int:
    """Return the largest power of two that leaves at least the wanted pixels."""
    reduction = 1
    while long_side // (2 * reduction) >= wanted and reduction < _LARGEST_REDUCTION:
        reduction *= 2
    return reduction
