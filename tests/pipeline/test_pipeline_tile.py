"""A page in one tile, of a shape that the detector takes."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.image import PageImage
from worker.domain.manifest import TileShapes
from worker.pipeline.detect.tile import PAD_VALUE, scaled, tile_page
from worker.pipeline.detect.tile_spans import spans
from worker.pipeline.options import PipelineOptions

ANY_SHAPE = TileShapes()
OPTIONS = PipelineOptions(detection_long_side=960)


def page(width: int, height: int) -> PageImage:
    return PageImage(np.zeros((height, width, 3), dtype=np.uint8))


@given(length=st.integers(1, 20_000), side=st.integers(64, 2048), overlap=st.integers(0, 63))
def test_spans_keep_each_pixel_once_and_overlap_enough(length: int, side: int, overlap: int) -> None:
    pieces = list(spans(length, side, overlap))
    assert pieces[0].kept_start == pieces[0].start == 0
    assert pieces[-1].kept_stop == pieces[-1].stop == length
    for piece in pieces:
        assert piece.start <= piece.kept_start < piece.kept_stop <= piece.stop
        assert piece.stop - piece.start == min(side, length)
    for left, right in pairwise(pieces):
        assert left.kept_stop == right.kept_start
        assert left.stop - right.start >= overlap


@pytest.mark.parametrize(
    ("width", "height", "map_size"),
    [
        (1080, 1528, (679, 960)),
        (500, 400, (960, 768)),
        (1, 1, (2, 2)),
        (100, 60, (200, 120)),
        (2000, 2000, (960, 960)),
        (2000, 2001, (960, 960)),
        (6000, 100, (960, 16)),
        (4000, 3000, (960, 720)),
        (65_535, 1, (960, 1)),
        (1, 65_535, (1, 960)),
    ],
)
def test_the_scale_follows_the_size(width: int, height: int, map_size: tuple[int, int]) -> None:
    tiled = tile_page(page(width, height), ANY_SHAPE, OPTIONS)
    assert (tiled.width, tiled.height) == map_size
    assert tiled.scale == pytest.approx(math.sqrt(map_size[0] * map_size[1] / (width * height)))
    corner = tiled.to_page.apply(np.array([[tiled.width, tiled.height]], dtype=np.float64))
    np.testing.assert_allclose(corner, [[width, height]])


def test_fixed_shapes_are_filled_up() -> None:
    shapes = TileShapes(fixed=((640, 640), (960, 960)))
    tiled = tile_page(page(500, 600), shapes, replace(OPTIONS, max_enlargement=1.0))
    assert tiled.tile.pixels.shape == (640, 640, 3)
    tiled = tile_page(page(4000, 3000), shapes, OPTIONS)
    assert tiled.tile.pixels.shape == (960, 960, 3)


def test_a_detector_with_small_tiles_gets_no_larger_ones() -> None:
    tiled = tile_page(page(1900, 1900), TileShapes(fixed=((640, 640),)), OPTIONS)
    assert tiled.tile.pixels.shape == (640, 640, 3)
    tiled = tile_page(page(1900, 1900), TileShapes(max_side=500), OPTIONS)
    assert tiled.tile.pixels.shape == (480, 480, 3)


@pytest.mark.parametrize(("width", "height"), [(90, 50), (96, 50), (90, 64), (96, 64), (40, 30), (700, 900), (1, 1)])
def test_a_tile_is_the_page_at_its_scale_and_gray_around_it(width: int, height: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 100, (height, width, 3), dtype=np.uint8)
    tiled = tile_page(PageImage(pixels), ANY_SHAPE, replace(OPTIONS, detection_long_side=96))
    np.testing.assert_array_equal(
        tiled.tile.pixels[: tiled.height, : tiled.width], scaled(pixels, tiled.width, tiled.height)
    )
    assert (tiled.tile.pixels[tiled.height :] == PAD_VALUE).all()
    assert (tiled.tile.pixels[:, tiled.width :] == PAD_VALUE).all()


@pytest.mark.parametrize("scale", [0.45, 0.3, 0.1])
def test_a_page_that_shrinks_much_is_averaged_in_its_place(scale: float) -> None:
    """Red tells the column and green the row; blue is a chequerboard of single pixels, which is gray from afar."""
    columns, rows = np.meshgrid(np.arange(1001) / 4, np.arange(601) / 4)
    board = np.indices((601, 1001)).sum(axis=0) % 2 * 200
    shrunk = scaled(np.dstack([board, rows, columns]).astype(np.uint8), round(1001 * scale), round(601 * scale))
    height, width = shrunk.shape[:2]
    expected_columns, expected_rows = np.meshgrid(
        (np.arange(width) + 0.5) * 1001 / width / 4, (np.arange(height) + 0.5) * 601 / height / 4
    )
    assert np.abs(shrunk[..., 2] - expected_columns).max() < 1.5
    assert np.abs(shrunk[..., 1] - expected_rows).max() < 1.5
    assert np.abs(shrunk[1:-1, 1:-1, 0].astype(int) - 100).max() <= 30
