"""The figures of a page's text: how large it is, how sharp, how dark against its paper, and what covers it.

Invariant: only the blocks where text stands count for sharpness and contrast, so that neither an empty page nor a
blurred background says anything; where no text was found, the blocks of most contrast stand in for it. These may be
bars, which are wide along one direction however sharp they are.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import lengths_and_heights
from worker.domain.image import TextRegion
from worker.pipeline.quality.blocks import BLOCK_PIXELS, Figures, PixelMeasures
from worker.pipeline.quality.blur import SLOPE_OF_EDGE, blur_pixels, least_blur_pixels
from worker.pipeline.quality.occlusion import Labels, cutting_areas

Mask = NDArray[np.bool_]
PageSize = tuple[int, int]

TEXT_HEIGHT: Final = "text_height_pixels"
BLUR: Final = "blur_pixels"
BLUR_SHARE: Final = "blur_share"
CONTRAST: Final = "contrast_levels"
NOISE: Final = "noise_levels"
CONTRAST_TO_NOISE: Final = "contrast_to_noise"
PAPER: Final = "paper_level"
INK: Final = "ink_level"
GLARE: Final = "glare_share"
COVERED: Final = "covered_share"
DETECTION: Final = "detection_score"

_HEIGHT_OF_GROWTH: Final = 0.8  # of what the detector's box was grown by on both sides, this much is margin
_SLOPE_OF_NOISE: Final = 0.8  # of the steepest change that noise alone makes in a block, by its deviation
_MIN_NOISE_LEVELS: Final = 1.0  # of eight bits and JPEG
_HIDDEN_NOISE_LEVELS: Final = 4.0  # of a picture whose paper is clipped: the ink's noise is not seen
_WIDEST_EDGE_PIXELS: Final = 13.0  # a block cannot tell of wider ones
_MIN_PRINT_SHARE: Final = 0.25
_MIN_BLOCKS: Final = 3
_BUSY_QUANTILE: Final = 0.8
_EDGED_QUANTILE: Final = 0.3
_NOISE_QUANTILE: Final = 0.1

_CLIPPED_LEVEL: Final = 250.0
_PAPER_SIGMA_BLOCKS: Final = 4.0
_FLAT_LEVELS: Final = 10.0
_FLAT_RESIDUALS: Final = 5.0
_MAX_FLAT_LEVELS: Final = 40.0
_COVER_DARKNESS: Final = 0.25  # what lies on a label is at least this much darker than its paper
_MIN_DARKER_LEVELS: Final = 15.0
_MIN_COVER_SHARE: Final = 0.01
_TINY: Final = 1e-3


def text_figures(pixels: PixelMeasures, regions: Sequence[TextRegion], page_size: PageSize) -> dict[str, float]:
    """Return the figures that a page of (width, height) pixels has, by name; without text there are fewer."""
    text = _text_mask(pixels, regions, page_size)
    figures = ink_figures(pixels, text)
    if regions:
        height = text_height_pixels(regions)
        figures[TEXT_HEIGHT] = height
        figures[BLUR_SHARE] = figures[BLUR] / max(height, 1.0)
        figures[DETECTION] = float(np.mean([region.score for region in regions]))
        if pixels.grid is not None and text is not None:
            figures[GLARE], figures[COVERED] = _cover_shares(pixels, pixels.grid, text, regions)
    return figures


def ink_figures(pixels: PixelMeasures, text: Mask | None = None) -> dict[str, float]:
    """Return the figures of the blocks that hold text, bool [n]; where nobody knows, of the blocks of most contrast."""
    mask = pixels.contrast >= np.quantile(pixels.contrast, _BUSY_QUANTILE) if text is None else text
    noise = _noise_levels(pixels)
    contrasts, slopes = _edges(pixels, mask, noise)
    contrast = float(np.median(pixels.contrast[mask]))
    paper = float(np.median(pixels.highest[mask]))
    least_noise = _HIDDEN_NOISE_LEVELS if paper >= _CLIPPED_LEVEL else _MIN_NOISE_LEVELS
    return {
        BLUR: least_blur_pixels(contrasts, slopes) if text is None else blur_pixels(contrasts, slopes),
        CONTRAST: contrast,
        NOISE: noise,
        CONTRAST_TO_NOISE: contrast / math.hypot(noise, least_noise),
        PAPER: paper,
        INK: float(np.median(pixels.lowest[mask])),
    }


def text_height_pixels(regions: Sequence[TextRegion]) -> float:
    """Return the median height of lines, without the margin that the detector's boxes were grown by."""
    return float(np.median(_heights(regions)))


def _heights(regions: Sequence[TextRegion]) -> NDArray[np.float64]:
    quads = np.stack([region.quad for region in regions])
    growths = np.array([region.growth_pixels for region in regions], dtype=np.float64)
    return np.asarray(lengths_and_heights(quads)[1] - _HEIGHT_OF_GROWTH * growths, dtype=np.float64)


def _text_mask(pixels: PixelMeasures, regions: Sequence[TextRegion], page_size: PageSize) -> Mask | None:
    """Return which blocks hold text, bool [n]; None where too few are known to."""
    if not regions or np.isnan(pixels.middles).any():
        return None
    width, height = page_size
    drawn = np.zeros((height // BLOCK_PIXELS + 1, width // BLOCK_PIXELS + 1), dtype=np.uint8)
    _fill(drawn, np.stack([region.quad for region in regions]))
    column, row = np.clip(
        (pixels.middles // BLOCK_PIXELS).astype(int).T, 0, [[drawn.shape[1] - 1], [drawn.shape[0] - 1]]
    )
    mask: Mask = drawn[row, column] > 0
    return mask if int(mask.sum()) >= _MIN_BLOCKS else None


def _fill(drawn: NDArray[np.uint8], polygons: NDArray[Any]) -> None:
    """Mark the blocks inside polygons [n, corners, 2] given in page pixels, to a 256th of a block."""
    for places in np.round((polygons / BLOCK_PIXELS - 0.5) * 256).astype(np.int32):
        cv2.fillConvexPoly(drawn, places, 1, shift=8)


def _noise_levels(pixels: PixelMeasures) -> float:
    """Take the quietest blocks: what else differs from its smoothing is print. A clipped scan has none."""
    return float(np.quantile(pixels.residual, _NOISE_QUANTILE))


def _edges(pixels: PixelMeasures, mask: Mask, noise: float) -> tuple[Figures, Figures]:
    """Return the contrast [n] and the eight slopes [n, 8] of the blocks that are measured for sharpness.

    A step of contrast C under a Gaussian of deviation s rises by at most C / (s sqrt(2 pi)) a pixel; a thin stroke
    loses contrast and slope alike.
    """
    measured = ~np.isnan(pixels.slopes[:, 0])
    sampled = measured & mask
    if int(sampled.sum()) < _MIN_BLOCKS:
        sampled = measured
    sampled &= pixels.contrast >= np.quantile(pixels.contrast[sampled], _EDGED_QUANTILE)
    contrast = np.maximum(pixels.contrast[sampled], 1.0)
    slopes = np.sqrt(np.maximum(pixels.slopes[sampled] ** 2 - (_SLOPE_OF_NOISE * noise) ** 2, _SLOPE_OF_NOISE / 2))
    # Rules and bars do not change along themselves at all, however sharp they are.
    print_like = (contrast[:, np.newaxis] / slopes / SLOPE_OF_EDGE < _WIDEST_EDGE_PIXELS).all(axis=1)
    return (contrast[print_like], slopes[print_like]) if print_like.mean() >= _MIN_PRINT_SHARE else (contrast, slopes)


def _cover_shares(
    pixels: PixelMeasures, grid: tuple[int, int], mask: Mask, regions: Sequence[TextRegion]
) -> tuple[float, float]:
    """Return which shares of the area that text spans are lost to glare, and lie under something darker than paper.

    Glare is white without any texture on paper that is not white itself: on a scan whose paper is clipped it cannot
    be told from paper. Only areas of two blocks and more along both sides, and of a hundredth of the whole, count; of
    the dark ones only those that cut lines of text, for others are print.
    """
    lowest, highest, average = (figures.reshape(grid) for figures in (pixels.lowest, pixels.highest, pixels.average))
    paper = _paper_around(highest, mask.reshape(grid))
    spanned = np.zeros(grid, dtype=np.uint8)
    corners = np.concatenate([region.quad for region in regions]).astype(np.float32)
    _fill(spanned, cv2.convexHull(corners)[np.newaxis, :, 0])
    candidate = spanned > 0
    flat = highest - lowest <= np.minimum(
        _FLAT_LEVELS + _FLAT_RESIDUALS * pixels.residual.reshape(grid), _MAX_FLAT_LEVELS
    )
    darker = np.maximum(_COVER_DARKNESS * paper, _MIN_DARKER_LEVELS)
    glare = candidate & (lowest >= _CLIPPED_LEVEL) & (paper < _CLIPPED_LEVEL)
    glare &= bool(np.median(pixels.highest[mask]) < _CLIPPED_LEVEL)
    covered = candidate & flat & (paper - average >= darker)
    whole = max(1, int(spanned.sum()))
    hidden = _large_areas(covered, whole)
    if hidden.any() and pixels.page is not None:
        cutting = cutting_areas(pixels.page, hidden, regions, np.maximum(_heights(regions), 1.0))
        hidden[~np.isin(hidden, list(cutting))] = 0
    return _share(_large_areas(glare, whole), whole), _share(hidden, whole)


def _paper_around(highest: Figures, mask: Mask) -> Figures:
    """Return the level of the paper at each block, out of the text around it: light is seldom even."""
    weight = mask.astype(np.float32)
    border = cv2.BORDER_CONSTANT
    weighed = cv2.GaussianBlur(weight * highest, (0, 0), _PAPER_SIGMA_BLOCKS, borderType=border)
    weights = np.asarray(cv2.GaussianBlur(weight, (0, 0), _PAPER_SIGMA_BLOCKS, borderType=border), dtype=np.float32)
    overall = np.float32(np.median(highest[mask]))
    near = np.asarray(weighed, dtype=np.float32) / np.maximum(weights, np.float32(_TINY))
    return np.where(weights > _TINY, near, overall).astype(np.float32)


def _large_areas(blocks: Mask, whole: int) -> Labels:
    """Return the numbers of the blocks' areas, int32 [rows, columns]; 0 outside and in what is too small to count."""
    solid = cv2.morphologyEx(blocks.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), dtype=np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(solid)
    large = statistics[:, cv2.CC_STAT_AREA] >= _MIN_COVER_SHARE * whole
    return np.where(large[labels], labels, 0).astype(np.int32)


def _share(areas: Labels, whole: int) -> float:
    return min(1.0, float((areas > 0).sum()) / whole)
