"""What is cut out of a picture lies where the transform says, to a fraction of a pixel."""

import math

import cv2
import numpy as np
import pytest

from worker.domain.geometry import Transform
from worker.domain.image import Pixels
from worker.pipeline.quality.occlusion import straight_end
from worker.pipeline.warp import warped

SIDE = 200
PAPER, INK = 220, 30
FINE = 8  # samples of a pixel along each axis


def half_inked(degrees: float, offset: float) -> Pixels:
    """A page that is ink from `offset` pixels beyond its middle on, in a direction, with the edge drawn to a sample."""
    radians = math.radians(degrees)
    y, x = (np.mgrid[0 : SIDE * FINE, 0 : SIDE * FINE] + 0.5) / FINE - SIDE / 2
    inked = np.cos(radians) * x + np.sin(radians) * y >= offset
    drawn = np.where(inked, INK, PAPER).astype(np.uint8)
    return np.asarray(cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def paper_along(levels: np.ndarray) -> float:
    """How many pixels of a row are paper, before the ink begins."""
    return float(((levels.astype(np.float64) - INK) / (PAPER - INK)).sum())


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180, 270])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_an_edge_lies_where_the_transform_says(degrees: float, scale: float, interpolation: int) -> None:
    along = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    down = np.array([-along[1], along[0]])
    corner = SIDE / 2 - 40 * along - 15 * down
    to_page = Transform(np.column_stack([along / scale, down / scale, corner]))
    size = round(80 * scale), round(30 * scale)
    ahead = warped(half_inked(degrees, 10), to_page, size, interpolation)
    assert paper_along(ahead[size[1] // 2]) / scale == pytest.approx(50, abs=0.15)
    below = warped(half_inked(degrees + 90, 5), to_page, size, interpolation)
    assert paper_along(below[:, size[0] // 2]) / scale == pytest.approx(20, abs=0.15)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 270])
@pytest.mark.parametrize("height", [20.0, 32.0, 64.0, 96.0])
def test_the_end_of_a_line_that_is_looked_at_for_cuts_lies_where_the_line_ends(degrees: float, height: float) -> None:
    along = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    down = np.array([-along[1], along[0]])
    columns, rows = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    end, before = np.array([SIDE / 2, SIDE / 2]), 40.0
    for direction, edge in ((along, before), (down, height / 2)):
        # Each level of gray is a pixel along the direction, and 128 is where the line ends.
        levels = 128 + direction[0] * (columns - end[0]) + direction[1] * (rows - end[1])
        page = np.repeat(np.rint(levels).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        strip, scale = straight_end(page, (end, along), (before, 30.0), height)
        along_strip = strip.mean(axis=0) if direction is along else strip.mean(axis=1)
        places = (np.arange(len(along_strip)) + 0.5) / scale - edge
        assert float(np.mean(along_strip - 128 - places)) == pytest.approx(0, abs=0.1)


def test_beyond_its_source_a_picture_repeats_the_edge_or_is_filled() -> None:
    pixels = np.full((4, 4, 3), 90, dtype=np.uint8)
    outside = Transform.scale_then_shift(1.0, 1.0, -8.0, 0.0)
    assert (warped(pixels, outside, (16, 4), cv2.INTER_LINEAR) == 90).all()
    filled = warped(pixels, outside, (16, 4), cv2.INTER_LINEAR, fill=7)
    assert (filled[:, :7] == 7).all()
    assert (filled[:, 8:12] == 90).all()
