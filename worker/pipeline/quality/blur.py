"""How far edges are smeared, out of the slopes along eight directions; a picture that moved is smeared along one.

Invariant: a picture that is as sharp in all directions, clean or out of focus, is measured by its widest one alone.
"""

import math
from typing import Final

import numpy as np

from worker.pipeline.quality.blocks import DIRECTIONS, Figures

SLOPE_OF_EDGE: Final = math.sqrt(2 * math.pi)  # contrast over steepest slope of a Gaussian edge, in its deviations

_OWN_BLUR_PIXELS: Final = 1.06  # what measuring adds: the smoothing and the difference over two pixels
_MOVED: Final = 1.5  # from this ratio of the widest direction to the narrowest on; of pictures at rest it is under 1.3
_FULL_CONTRAST_QUANTILE: Final = 0.9
# A path of length L smears an edge to a slope of contrast / L; its deviation is L / sqrt(12).
_VARIANCE_OF_PATH: Final = math.tau / 12
_ANGLES: Final = np.array([math.atan2(rows, columns) for columns, rows in DIRECTIONS])
_WAYS: Final = 25


def blur_pixels(contrast: Figures, slopes: Figures) -> float:
    """Return how far edges are smeared at worst, as a deviation in pixels.

    `contrast` is float32 [n] in levels, `slopes` float32 [n, 8] in levels a pixel.
    """
    widths = _widths(contrast, slopes)
    widest, narrowest = float(widths.max()), float(widths.min())
    if widest < _MOVED * narrowest:
        return _without_own(widest)
    # Moved by more than a stroke's width, thin strokes fade, so that their own contrast would hide how far.
    full = np.full_like(contrast, np.quantile(contrast, _FULL_CONTRAST_QUANTILE))
    along = _width_along_way(_widths(full, slopes))
    moved = max(0.0, along**2 - narrowest**2) * _VARIANCE_OF_PATH
    return _without_own(math.sqrt(narrowest**2 + moved))


def least_blur_pixels(contrast: Figures, slopes: Figures) -> float:
    """Return how far edges are smeared along the sharpest direction: what may be bars is wide along another."""
    return _without_own(float(_widths(contrast, slopes).min()))


def _widths(contrast: Figures, slopes: Figures) -> Figures:
    return np.asarray(np.median(contrast[:, np.newaxis] / slopes, axis=0) / SLOPE_OF_EDGE, dtype=np.float32)


def _without_own(width: float) -> float:
    return math.sqrt(max(width**2 - _OWN_BLUR_PIXELS**2, 0.0))


def _width_along_way(widths: Figures) -> float:
    """Return the width along the way that a picture moved, which lies between two of the eight directions.

    Edges across the way stay sharp: at an angle to it slopes rise by its sine. The way, the slope along it and that
    across it are fitted to the widest direction and its two neighbors.
    """
    middle = int(np.argmax(widths))
    three = np.array([middle - 1, middle, middle + 1]) % len(widths)
    angles = (_ANGLES[three] - _ANGLES[middle] + math.pi / 2) % math.pi - math.pi / 2
    ways = np.linspace(angles[0], angles[2], _WAYS) / 2
    slopes = 1 / widths[three].astype(np.float64)
    sines = np.abs(np.sin(angles - ways[:, np.newaxis])) / slopes
    model = np.stack([np.broadcast_to(1 / slopes, sines.shape), sines], axis=-1)  # relative: shallow slopes count alike
    fitted = np.linalg.pinv(model) @ np.ones(3)
    misfits = np.where(fitted[:, 0] > 0, np.sum(((model @ fitted[:, :, np.newaxis])[..., 0] - 1) ** 2, axis=1), np.inf)
    best = int(np.argmin(misfits))
    return float(1 / fitted[best, 0]) if math.isfinite(misfits[best]) else float(widths[middle])
