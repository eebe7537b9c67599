"""A first look at a large page: where anything is, and how large its print may be.

One pass over the page's strips gives a thumbnail, a grid that says where there is any detail, and a few windows at full
resolution. Invariant: memory is bounded by one strip and the thumbnail, whatever the page's height.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels
from worker.pipeline.decode.page_rows import STRIP_ROWS
from worker.pipeline.decode.thumbnail import Thumbnail, shrunk

CELL_PIXELS: Final = 32
_WINDOW_PIXELS: Final = STRIP_ROWS
_PIXELS_A_WINDOW: Final = 8_000_000
_MIN_WINDOWS, _MAX_WINDOWS = 4, 16
# A step between neighboring levels at half resolution counts from here on, over what the paper's grain makes; print
# that hardly shows has steps of 10 to 20. A dot of a character makes three of them.
_MIN_STEP: Final = 8
_GRAIN_STEPS: Final = 4
_STEPS_FROM: Final = 3
# Fewer, in cells that touch, are a speck: the least character that is read, alone on its paper, has more.
_STEPS_OF_A_CHARACTER: Final = 12

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of the page at full resolution: uint8 [h, w, 3] BGR, whose top left is (`left`, `top`) of the page."""

    pixels: Pixels
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first look saw.

    `thumbnail` is uint8 [h, w, 3] BGR of the whole page; `detail` is bool [rows, columns], one for each cell of
    `CELL_PIXELS` square of the page, true where there is anything to look at; `windows` are where most of it is.
    """

    width: int
    height: int
    thumbnail: Pixels
    detail: NDArray[np.bool_]
    windows: tuple[Window, ...]


class Surveyor:
    """Takes a page's strips from top to bottom, each of `STRIP_ROWS` rows but the last."""

    def __init__(self, width: int, height: int, thumbnail_long_side: int) -> None:
        self._width = width
        self._height = height
        self._thumbnail = Thumbnail(width, height, thumbnail_long_side)
        self._steps: list[Counts] = []
        # By the part of the page, the fullest window of it so far.
        self._fullest: dict[tuple[int, int], tuple[int, Window]] = {}
        self._rows = 0

    def add(self, strip: Pixels) -> None:
        """Look at the next strip, uint8 [rows, width, 3] BGR."""
        steps = steps_in_cells(strip)
        self._steps.append(steps)
        self._thumbnail.add(strip)
        self._consider(strip, steps >= _STEPS_FROM)
        self._rows += strip.shape[0]

    def survey(self) -> Survey:
        """Return what was seen."""
        detail = cells_with_detail(np.concatenate(self._steps))
        windows = tuple(window for _, window in self._fullest.values())
        return Survey(self._width, self._height, self._thumbnail.pixels(), detail, windows)

    def _consider(self, strip: Pixels, detail: NDArray[np.bool_]) -> None:
        """Keep the strip's windows that are fuller than those seen in their part of the page."""
        wanted = round(self._width * self._height / _PIXELS_A_WINDOW)
        parts = min(max(wanted, _MIN_WINDOWS), _MAX_WINDOWS) // 2
        down = self._rows * parts // self._height
        for side, (share, left) in enumerate(_fullest_halves(detail)):
            known, _ = self._fullest.get((down, side), (0, None))
            if share > known:
                column = min(left * CELL_PIXELS, max(0, self._width - _WINDOW_PIXELS))
                pixels = strip[:, column : column + _WINDOW_PIXELS].copy()
                self._fullest[down, side] = share, Window(pixels, column, self._rows)


def _fullest_halves(detail: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Return how many cells of detail the fullest window of each half of a strip has, and its first column of cells."""
    across = min(_WINDOW_PIXELS // CELL_PIXELS, detail.shape[1])
    sums = np.convolve(detail.sum(axis=0), np.ones(across, dtype=int), mode="valid")
    middle = (len(sums) + 1) // 2
    for first, last in ((0, middle), (middle, len(sums))):
        if last > first:
            column = first + int(np.argmax(sums[first:last]))
            yield int(sums[column]), column


def steps_in_cells(strip: Pixels) -> Counts:
    """Return how much there is in a strip, uint8 [h, w, 3] BGR; colors of equal gray look alike.

    Returns the steps between neighboring pixels at half resolution, float32 [rows, columns], one count for each cell
    of `CELL_PIXELS` square.
    """
    half = cv2.cvtColor(shrunk(strip, 2), cv2.COLOR_BGR2GRAY)
    steps = np.zeros(half.shape, dtype=np.uint8)
    steps[:, 1:] = cv2.absdiff(half[:, 1:], half[:, :-1])
    steps[1:] = cv2.max(steps[1:], cv2.absdiff(half[1:], half[:-1]))
    # Most of any page is paper, so the middle step is the paper's grain.
    levels = np.cumsum(cv2.calcHist([steps], [0], None, [256], [0, 256]))
    grain = int(np.searchsorted(levels, levels[-1] / 2))
    marked = (steps > _MIN_STEP + _GRAIN_STEPS * grain).astype(np.float32)
    cells = (-(-strip.shape[1] // CELL_PIXELS), -(-strip.shape[0] // CELL_PIXELS))
    share = cv2.resize(marked, cells, interpolation=cv2.INTER_AREA).reshape(cells[::-1])
    return np.round(share * (CELL_PIXELS // 2) ** 2)


def cells_with_detail(steps: Counts) -> NDArray[np.bool_]:
    """Return which cells, of which `steps_in_cells` are given, have anything to look at, specks left out."""
    marked = steps >= _STEPS_FROM
    _, labels = cv2.connectedComponents(marked.astype(np.uint8), connectivity=8)
    together = np.bincount(labels.ravel(), weights=steps.ravel())
    return np.asarray(marked & (together[labels] >= _STEPS_OF_A_CHARACTER))
