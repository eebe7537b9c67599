"""The blur of slopes whose making is known."""

import math

import numpy as np
import pytest

from worker.pipeline.quality.blocks import DIRECTIONS, Figures
from worker.pipeline.quality.blur import SLOPE_OF_EDGE, blur_pixels, least_blur_pixels

FULL, FADED, BLOCKS = 240.0, 130.0, 40
SHARP = 1.2
ANGLES = np.array([math.atan2(rows, columns) for columns, rows in DIRECTIONS])


def moved(length: float, degrees: float) -> tuple[Figures, Figures]:
    """Return contrast and slopes of blocks smeared along a path: bold print keeps its contrast, the other fades."""
    contrast = np.where(np.arange(BLOCKS) % 5, FADED, FULL)
    across = np.abs(np.sin(ANGLES - np.radians(degrees)))
    slopes = FULL / length + across * FULL / (SHARP * SLOPE_OF_EDGE)
    return contrast.astype(np.float32), np.tile(slopes, (BLOCKS, 1)).astype(np.float32)


@pytest.mark.parametrize("length", [8, 14, 20])
@pytest.mark.parametrize("degrees", range(0, 180, 7))
def test_a_path_between_two_directions_is_measured_whole(length: int, degrees: int) -> None:
    assert blur_pixels(*moved(length, degrees)) == pytest.approx(length / math.sqrt(12), rel=0.15)


@pytest.mark.parametrize("width", [1.2, 2.0, 5.0])
def test_what_is_as_wide_in_all_directions_is_measured_by_its_own_contrast(width: float) -> None:
    contrast = np.linspace(60, 250, BLOCKS, dtype=np.float32)
    slopes = np.tile(contrast[:, None] / SLOPE_OF_EDGE / np.float32(width), (1, len(DIRECTIONS)))
    slopes[:, 3] /= 1.25
    assert blur_pixels(contrast, slopes) == pytest.approx(1.25 * width, abs=0.5)
    assert least_blur_pixels(contrast, slopes) == pytest.approx(width, abs=0.7)


def test_no_slope_along_the_way_is_blur_without_a_fit() -> None:
    contrast = np.full(BLOCKS, FULL, dtype=np.float32)
    slopes = np.full((BLOCKS, len(DIRECTIONS)), 100.0, dtype=np.float32)
    slopes[:, 0] = 1e-3
    assert math.isfinite(blur_pixels(contrast, slopes))
    assert blur_pixels(contrast, slopes) > 50
