"""One pass over the rows of a large page, which collects what is needed to plan its search; no model is asked.

It gives a thumbnail, a grid that says where there is any detail, and a few windows at full resolution. Invariant:
memory is bounded by one strip and the thumbnail, whatever the page's height.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import Stage
from worker.domain.image import Pixels
from worker.pipeline.barcodes.find import Codes
from worker.pipeline.decode.page_rows import STRIP_ROWS, PageRows
from worker.pipeline.decode.thumbnail import Thumbnail
from worker.pipeline.detect.detail_grid import CELL_PIXELS, Counts, cells_with_detail, count_steps, has_steps
from worker.pipeline.large.large_symbols import LargeCodes
from worker.pipeline.options import PipelineOptions
from worker.pipeline.stages import Stages

_WINDOW_PIXELS: Final = STRIP_ROWS
_PIXELS_A_WINDOW: Final = 8_000_000
_MIN_WINDOWS, _MAX_WINDOWS = 4, 16


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of the page at full resolution: uint8 [h, w, 3] BGR, whose top left is (`left`, `top`) of the page."""

    pixels: Pixels
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What was collected of a page.

    `thumbnail` shows the whole page; its pixels are made where they are asked for, which is seldom. `detail` is bool
    [rows, columns], one for each cell of `CELL_PIXELS` square of the page, true where there is anything; `windows` are
    where most of it is.
    """

    width: int
    height: int
    thumbnail: Thumbnail
    detail: NDArray[np.bool_]
    windows: tuple[Window, ...]


def take_survey(rows: PageRows, options: PipelineOptions, stages: Stages) -> tuple[Survey, Codes]:
    """Pass over a page's rows once. Raises JobError for a damaged page.

    The symbols are those of a streamed page that are too large for its bands, and others that are seen as well.
    """
    held = rows.whole() is not None
    surveyor = Surveyor(rows.width, rows.height, options.detection_long_side, strips_stay=held)
    codes = None if held else LargeCodes(rows.width, rows.height, options.barcodes)
    strips = rows.strips()
    while True:
        with stages.timed(Stage.SURVEY):
            strip = next(strips, None)
            if strip is None:
                break
            surveyor.add(strip)
        with stages.timed(Stage.BARCODES):
            if codes is not None:
                codes.add(strip)
    with stages.timed(Stage.BARCODES):
        found = Codes() if codes is None else codes.codes()
    with stages.timed(Stage.SURVEY):
        return surveyor.survey(), found


class Surveyor:
    """Takes a page's strips from top to bottom, each of `STRIP_ROWS` rows but the last."""

    def __init__(self, width: int, height: int, thumbnail_long_side: int, *, strips_stay: bool = False) -> None:
        self._width = width
        self._height = height
        self._thumbnail = Thumbnail(width, height, thumbnail_long_side, strips_stay=strips_stay)
        self._steps: list[Counts] = []
        # By the part of the page, the fullest window of it so far.
        self._fullest: dict[tuple[int, int], tuple[int, Window]] = {}
        self._rows = 0

    def add(self, strip: Pixels) -> None:
        """Take the next strip, uint8 [rows, width, 3] BGR."""
        steps = count_steps(strip)
        self._steps.append(steps)
        self._thumbnail.add(strip)
        self._consider(strip, has_steps(steps))
        self._rows += strip.shape[0]

    def survey(self) -> Survey:
        """Return what was collected."""
        detail = cells_with_detail(np.concatenate(self._steps))
        windows = tuple(window for _, window in self._fullest.values())
        return Survey(self._width, self._height, self._thumbnail, detail, windows)

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
