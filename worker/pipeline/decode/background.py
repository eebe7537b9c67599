"""The background that a picture with transparent pixels is laid on: one that its print shows on.

Invariant: white paper, unless what borders on transparent pixels would hardly show on it; the same for a page and for
its strips.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels

WHITE: Final = 255
_BACKGROUNDS: Final = (WHITE, 0, 128)  # in this order where they are as good
_OPAQUE_FROM: Final = 128
_FAINT_FROM: Final = 24  # of print that is opaque nowhere
_CONTRAST: Final = 64  # levels of gray, from which on print is read as a rule
# Of the border that may hardly show on white before another background is looked at: a white corner, a highlight.
_LOST_ON_WHITE: Final = 0.05
_MIN_PIXELS: Final = 16
_BAND_ROWS: Final = 256  # at once, so that no second page is held


@dataclass(slots=True)
class BorderLevels:
    """How bright the pixels are that border on transparent ones: counts of each level of gray.

    `faint` are those of print that is half transparent itself. It counts where there is no other.
    """

    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    faint: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, levels: Pixels) -> None:
        """Count those of uint8 [height, width, 4] BGRA."""
        for top in range(0, len(levels), _BAND_ROWS):
            self._add(levels[top : top + _BAND_ROWS])

    def _add(self, levels: Pixels) -> None:
        if int(levels[:, :, 3].min()) >= _OPAQUE_FROM:
            return
        gray = np.asarray(cv2.cvtColor(levels, cv2.COLOR_BGRA2GRAY), dtype=np.uint8)
        self.levels += _bordering(gray, levels[:, :, 3] >= _OPAQUE_FROM)
        self.faint += _bordering(gray, levels[:, :, 3] >= _FAINT_FROM)

    def background(self) -> int:
        """Return the level of gray of the background."""
        levels = self.levels if int(self.levels.sum()) >= _MIN_PIXELS else self.faint
        total = int(levels.sum())
        if total < _MIN_PIXELS or _lost(levels, WHITE) <= _LOST_ON_WHITE * total:
            return WHITE
        return min(_BACKGROUNDS, key=partial(_lost, levels))


def _bordering(gray: Pixels, shows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the levels of gray of what shows beside what does not."""
    inside = cv2.erode(shows.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.bincount(gray[shows & (inside == 0)], minlength=256)


def _lost(levels: NDArray[np.int64], background: int) -> int:
    """Return how many pixels hardly show on a background."""
    return int(levels[np.abs(np.arange(256) - background) < _CONTRAST].sum())
