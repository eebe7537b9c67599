"""Lines are cut straight, from the right place, into a bucket that holds them."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.image import PageImage, TextRegion
from worker.pipeline.models import LineShape
from worker.pipeline.recognize.crop import crop_line, crop_lines

SHAPE = LineShape(height=48, pad_value=127, stride=8, bucket_widths=(96, 320, 640))


def region(x: float, y: float, width: float, height: float, degrees: float = 0.0) -> TextRegion:
    """A line whose top left lies at (x, y)."""
    radians = math.radians(degrees)
    along = np.array([math.cos(radians), math.sin(radians)])
    down = np.array([-along[1], along[0]])
    start = np.array([x, y])
    return TextRegion(
        np.array([start, start + along * width, start + along * width + down * height, start + down * height]), 1.0
    )


def gradient_page(width: int = 400, height: int = 300) -> PageImage:
    """Blue tells the column, green the row: both of the pixel's middle, halved."""
    columns, rows = np.meshgrid(np.arange(width) / 2, np.arange(height) / 2)
    return PageImage(np.dstack([columns, rows, np.zeros_like(rows)]).astype(np.uint8))


@pytest.mark.parametrize(
    ("width", "content", "bucket"),
    [(1, 2, 96), (48, 96, 96), (50, 96, 96), (51, 102, 320), (160, 320, 320), (300, 600, 640), (336, 640, 640)],
)
def test_the_bucket_is_the_smallest_that_nearly_holds_the_line(width: float, content: int, bucket: int) -> None:
    (crop,) = crop_line(PageImage(np.full((60, 6000, 3), 200, dtype=np.uint8)), region(10, 10, width, 24), SHAPE)
    assert crop.pixels.shape == (48, bucket, 3)
    assert crop.pixels.dtype == np.uint8
    assert (crop.bucket, crop.content_width) == (bucket, content)
    assert (crop.pixels[:, :content] == 200).all()
    assert (crop.pixels[:, content:] == 127).all()


@settings(max_examples=60, deadline=None)
@given(degrees=st.sampled_from([0.0, 90.0, 180.0, 270.0]) | st.floats(0, 360), scale=st.floats(0.5, 1.4))
def test_each_pixel_of_a_crop_comes_from_its_place_on_the_page(degrees: float, scale: float) -> None:
    page = gradient_page()
    line = region(200, 150, 90 * scale, 30 * scale, degrees)
    (crop,) = crop_line(page, line, SHAPE)
    along, down = line.quad[1] - line.quad[0], line.quad[3] - line.quad[0]
    for column, row in ((5, 5), (crop.content_width - 6, 40), (crop.content_width // 2, 24)):
        place = line.quad[0] + along * (column + 0.5) / crop.content_width + down * (row + 0.5) / 48
        blue, green, _ = crop.pixels[row, column].astype(float)
        assert abs(blue - (place[0] - 0.5) / 2) < 1.5
        assert abs(green - (place[1] - 0.5) / 2) < 1.5


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_line_of_the_crops_own_height_is_copied_pixel_by_pixel(quarters: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 90, 3), dtype=np.uint8)
    page = np.zeros((200, 200, 3), dtype=np.uint8)
    turned = np.rot90(noise, -quarters)
    page[20 : 20 + turned.shape[0], 30 : 30 + turned.shape[1]] = turned
    height, width = turned.shape[:2]
    corners = np.array([[30, 20], [30 + width, 20], [30 + width, 20 + height], [30, 20 + height]], dtype=np.float64)
    (crop,) = crop_line(PageImage(page), TextRegion(np.roll(corners, -quarters, axis=0), 1.0), SHAPE)
    np.testing.assert_array_equal(crop.pixels[:, :90], noise)


def test_what_lies_beyond_the_page_repeats_its_edge() -> None:
    page = PageImage(np.full((20, 20, 3), 90, dtype=np.uint8))
    for line in (region(-30, -30, 200, 60), region(15, 15, 40, 20), region(100, 100, 20, 10)):
        (crop,) = crop_line(page, line, SHAPE)
        assert (crop.pixels[:, : crop.content_width] == 90).all()


def test_lines_on_a_page_longer_than_opencvs_warp_takes_are_cut() -> None:
    page = PageImage(np.full((40, 40_000, 3), 33, dtype=np.uint8))
    (crop,) = crop_line(page, region(39_000, 5, 200, 30), SHAPE)
    assert (crop.pixels[:, : crop.content_width] == 33).all()


def test_fine_patterns_in_large_print_are_averaged_not_picked() -> None:
    """A chequerboard of single pixels is gray from afar; picking pixels would give a coarse pattern."""
    board = (np.indices((600, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    page = PageImage(cv2.cvtColor(board, cv2.COLOR_GRAY2BGR).astype(np.uint8))
    (crop,) = crop_line(page, region(50.3, 50.2, 1000, 450), SHAPE)
    assert np.ptp(crop.pixels[4:-4, 4 : crop.content_width - 4].astype(int)) < 40


def test_no_regions_give_no_crops() -> None:
    assert crop_lines(gradient_page(), [], SHAPE) == []


def test_a_lines_crops_do_not_depend_on_the_lines_beside_it() -> None:
    """Level, askew, too long for one crop, over the page's edge, and down the page."""
    page = PageImage(np.random.default_rng(2).integers(0, 256, (300, 900, 3), dtype=np.uint8))
    lines = [
        region(20, 70, 130, 25),
        region(200.5, 90.25, 130, 25, 3),
        region(10, 150, 880, 24),
        region(-10, 280, 100, 40),
        region(700, 60, 90, 30, 90),
    ]
    together = crop_lines(page, lines, SHAPE, top=50)
    alone = [crop for line in lines for crop in crop_line(page, line, SHAPE, top=50)]
    assert [crop.region for crop in together] == [lines[line] for line in (0, 1, 2, 2, 2, 2, 3, 4)]
    for one, other in zip(together, alone, strict=True):
        assert (one.region, one.content_width, one.span) == (other.region, other.content_width, other.span)
        np.testing.assert_array_equal(one.pixels, other.pixels)
