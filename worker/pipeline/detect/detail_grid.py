"""Where there is anything on a page at all: a grid of cells, each of which has detail or has none.

Invariant: what counts are steps of gray that the paper's own grain does not make; a speck is no detail.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels
from worker.pipeline.decode.thumbnail import halved, shrunk

CELL_PIXELS: Final = 32
# A step between neighboring levels at half resolution counts from here on, over what the paper's grain makes; print
# that hardly shows has steps of 10 to 20. A dot of a character makes three of them.
_MIN_STEP: Final = 8
_GRAIN_STEPS: Final = 4
_STEPS_FROM: Final = 3
# Fewer, in cells that touch, are a speck: the least character that is read, alone on its paper, has more.
_STEPS_OF_A_CHARACTER: Final = 12

Counts = NDArray[np.float32]


def count_steps(strip: Pixels) -> Counts:
    """Return how much there is in each cell of a page or strip, uint8 [h, w, 3] BGR; colors of equal gray look alike.

    Returns the steps between neighboring pixels at half resolution, float32 [rows, columns], one count for each cell
    of `CELL_PIXELS` square.
    """
    half = _half_gray(strip)
    steps = np.zeros(half.shape, dtype=np.uint8)
    if half.shape[1] > 1:  # OpenCV takes no empty pictures
        steps[:, 1:] = cv2.absdiff(half[:, 1:], half[:, :-1])
    if half.shape[0] > 1:
        steps[1:] = cv2.max(steps[1:], cv2.absdiff(half[1:], half[:-1]))
    # Most of any page is paper, so the middle step is the paper's grain.
    levels = np.cumsum(cv2.calcHist([steps], [0], None, [256], [0, 256]))
    grain = int(np.searchsorted(levels, levels[-1] / 2))
    marked = (steps > _MIN_STEP + _GRAIN_STEPS * grain).astype(np.float32)
    cells = (-(-strip.shape[1] // CELL_PIXELS), -(-strip.shape[0] // CELL_PIXELS))
    share = cv2.resize(marked, cells, interpolation=cv2.INTER_AREA).reshape(cells[::-1])
    return np.round(share * (CELL_PIXELS // 2) ** 2)


def _half_gray(strip: Pixels) -> Pixels:
    """Return the grays of a strip at half resolution, uint8, rounded up; what an odd edge shows is its neighbor's.

    Averaged by anything but exactly two, a page took six times as long.
    """
    height, width = strip.shape[:2]
    if min(height, width) == 1:
        return np.asarray(cv2.cvtColor(shrunk(strip, 2), cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    gray = cv2.cvtColor(halved(strip), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.copyMakeBorder(gray, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8)


def has_steps(steps: Counts) -> NDArray[np.bool_]:
    """Return which cells, whose steps are given, have more than the paper's grain, be it a speck."""
    return np.asarray(steps >= _STEPS_FROM)


def cells_with_detail(steps: Counts) -> NDArray[np.bool_]:
    """Return which cells, whose steps are given, have anything on them, specks left out."""
    marked = has_steps(steps)
    _, labels = cv2.connectedComponents(marked.astype(np.uint8), connectivity=8)
    together = np.bincount(labels.ravel(), weights=steps.ravel())
    return np.asarray(marked & (together[labels] >= _STEPS_OF_A_CHARACTER))
