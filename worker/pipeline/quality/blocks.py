"""What the pixels of a page say about how well it can be read, block by block.

A block is a square of `BLOCK_PIXELS`; each figure is found within it alone, so that pages and windows out of huge pages
are measured alike. Invariant: nothing here knows what text is; where the text stands is said later, by the detector.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import PageImage, Pixels

BLOCK_PIXELS: Final = 32

Figures = NDArray[np.float32]
Corner = tuple[float, float]
_NOWHERE: Final = (math.nan, math.nan)
_STRIP_ROWS: Final = 4 * BLOCK_PIXELS
_DOUBLINGS: Final = 2
_SAMPLED_PIXELS: Final = 500_000

# Eight directions, 22.5 degrees apart or nearly: (columns, rows) between the two places of a difference. A picture that
# was moved has sharp edges along its way; only across a direction close to it are all edges wide.
DIRECTIONS: Final = ((2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (-1, 2), (-2, 2), (-2, 1))
_DISTANCES: Final = np.array([math.hypot(*step) for step in DIRECTIONS], dtype=np.float32)
_NOISE_OF_RESIDUAL: Final = 1.545  # deviation of white noise by its mean absolute distance from its 3 x 3 smoothing


@dataclass(frozen=True, slots=True)
class PixelMeasures:
    """Figures of `n` blocks.

    `grid` is the (rows, columns) of blocks that a whole page has, row by row; windows have none. `middles` is float32
    [n, 2], the blocks' middles (x, y) in page pixels, NaN for windows of unknown places. The others are float32 [n] in
    gray levels from 0 to 255 of the lightly smoothed picture: `lowest`, `highest`, `average`, and `residual`, the
    deviation of the noise where the block has no edges. `slopes` is float32 [n, 8], the steepest change in levels a
    pixel along each of eight directions; of large pages only an even sample of blocks has them, the others NaN. `page`
    is a whole page's own pixels, uint8 [H, W, 3] BGR, not copied, for a closer look at what lies on it.
    """

    middles: Figures
    lowest: Figures
    highest: Figures
    average: Figures
    residual: Figures
    slopes: Figures
    grid: tuple[int, int] | None = None
    page: Pixels | None = None

    @property
    def contrast(self) -> Figures:
        """Levels between the darkest and the brightest place of each block."""
        return self.highest - self.lowest


def measure(page: PageImage) -> PixelMeasures:
    """Measure a whole page."""
    grid = max(1, page.height // BLOCK_PIXELS), max(1, page.width // BLOCK_PIXELS)
    return replace(measure_windows([page.pixels], [(0, 0)]), grid=grid, page=page.pixels)


def measure_windows(windows: Sequence[Pixels], corners: Sequence[Corner] | None = None) -> PixelMeasures:
    """Measure at least one window of a page at its full resolution, uint8 [h, w, 3] BGR each.

    `corners` are the windows' (left, top) on the page in pixels, where they are known.
    """
    places = [_NOWHERE] * len(windows) if corners is None else corners
    strips = [strip for window, place in zip(windows, places, strict=True) for strip in _strips(window, place)]
    share = math.ceil(sum(pixels.shape[0] * pixels.shape[1] for pixels, _ in strips) / _SAMPLED_PIXELS)
    measured = [_measured(*strip, (number % share, share)) for number, strip in enumerate(strips)]
    middles, lowest, highest, average, residual, slopes = (np.concatenate(of) for of in zip(*measured, strict=True))
    return PixelMeasures(middles, lowest, highest, average, residual, slopes)


def _strips(window: Pixels, corner: Corner) -> Iterator[tuple[Pixels, Corner]]:
    """Cut into strips of whole blocks that stay in a core's cache; what makes no whole block is left off."""
    for top in range(0, max(1, window.shape[0] - BLOCK_PIXELS + 1), _STRIP_ROWS):
        yield window[top : top + _STRIP_ROWS], (corner[0], corner[1] + top)


def _measured(window: Pixels, corner: Corner, part: tuple[int, int]) -> tuple[Figures, ...]:
    gray = _whole_blocks(np.asarray(cv2.cvtColor(window, cv2.COLOR_BGR2GRAY), dtype=np.uint8))
    smooth = np.asarray(cv2.GaussianBlur(gray, (3, 3), 0), dtype=np.uint8)
    return (
        _middles(gray.shape[0] // BLOCK_PIXELS, gray.shape[1] // BLOCK_PIXELS, corner),
        _extreme(smooth, np.minimum),
        _extreme(smooth, np.maximum),
        _average(smooth),
        _residual(gray, smooth),
        _slopes(smooth, *part),
    )


def _middles(rows: int, columns: int, corner: Corner) -> Figures:
    middles = np.empty((rows, columns, 2), dtype=np.float32)
    middles[..., 0] = (np.arange(columns) + 0.5) * BLOCK_PIXELS + corner[0]
    middles[..., 1] = (np.arange(rows)[:, np.newaxis] + 0.5) * BLOCK_PIXELS + corner[1]
    return middles.reshape(-1, 2)


def _slopes(smooth: Pixels, number: int, parts: int) -> Figures:
    """Return the slopes of part `number` of a strip's blocks, counted from its left; those of the others are NaN.

    Each strip gives another part, so that no row of the page goes without.
    """
    rows, columns = smooth.shape[0] // BLOCK_PIXELS, smooth.shape[1] // BLOCK_PIXELS
    first, last = columns * number // parts, columns * (number + 1) // parts
    slopes = np.full((rows, columns, len(DIRECTIONS)), np.nan, dtype=np.float32)
    if last > first:
        steepest = _steepest(smooth[:, first * BLOCK_PIXELS : last * BLOCK_PIXELS])
        slopes[:, first:last] = steepest.reshape(rows, last - first, len(DIRECTIONS))
    return slopes.reshape(-1, len(DIRECTIONS))


def _whole_blocks(gray: Pixels) -> Pixels:
    """Leave off what makes no whole block; repeat the last row and column of a window that is smaller than one."""
    height, width = gray.shape
    missing = max(0, BLOCK_PIXELS - height), max(0, BLOCK_PIXELS - width)
    if any(missing):
        padded = cv2.copyMakeBorder(gray, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        return _whole_blocks(np.asarray(padded, dtype=np.uint8))
    return gray[: height // BLOCK_PIXELS * BLOCK_PIXELS, : width // BLOCK_PIXELS * BLOCK_PIXELS]


def _steepest(smooth: Pixels) -> Figures:
    """Return the steepest change of each block along the eight directions, float32 [n, 8] in levels a pixel."""
    height, width = smooth.shape
    differences = np.zeros((len(DIRECTIONS), height, width), dtype=np.uint8)
    for difference, (columns, rows) in zip(differences, DIRECTIONS, strict=True):
        left, right = max(0, -columns), max(0, columns)
        first = smooth[: height - rows, left : width - right]
        second = smooth[rows:, right : width - left]
        cv2.absdiff(first, second, dst=difference[: height - rows, left : width - right])
    return _extreme(differences.reshape(-1, width), np.maximum).reshape(len(DIRECTIONS), -1).T / _DISTANCES


def _extreme(levels: Pixels, which: np.ufunc) -> Figures:
    """Reduce each block to its least or greatest level; whole rows first, which is fast."""
    rows = which.reduce(levels.reshape(-1, BLOCK_PIXELS, levels.shape[1]), axis=1)
    return np.asarray(which.reduce(_across(rows), axis=0), dtype=np.float32)


def _residual(gray: Pixels, smooth: Pixels) -> Figures:
    # Averages are whole numbers: stretched before, so that a slight noise is not rounded away.
    distance = cv2.absdiff(gray, smooth)
    for _ in range(_DOUBLINGS):
        cv2.add(distance, distance, dst=distance)
    return _average(np.asarray(distance, dtype=np.uint8)) * np.float32(_NOISE_OF_RESIDUAL / 2**_DOUBLINGS)


def _average(levels: Pixels) -> Figures:
    rows = np.add.reduce(levels.reshape(-1, BLOCK_PIXELS, levels.shape[1]), axis=1, dtype=np.uint16)
    return np.asarray(
        np.rint(np.add.reduce(_across(rows), axis=0, dtype=np.float32) / np.float32(BLOCK_PIXELS**2)), dtype=np.float32
    )


def _across(rows: NDArray[Any]) -> NDArray[Any]:
    """Return one column for each block of a row; numpy reduces over the first axis faster than over the last."""
    return np.ascontiguousarray(rows.reshape(-1, BLOCK_PIXELS).T)
