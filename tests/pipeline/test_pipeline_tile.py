"""Tiles cover a page once, in shapes that the detector takes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.image import PageImage
from worker.domain.manifest import TileShapes
from worker.pipeline.options import PipelineOptions
from worker.pipeline.tile import spans, tile_page

ANY_SHAPE = TileShapes()
OPTIONS = PipelineOptions(detection_long_side=960)
SMALL_TILES = PipelineOptions(tiled_from_pixels=1, tile_scale=1.0, tile_side=96, tile_overlap=32)


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


@given(width=st.integers(1, 400), height=st.integers(1, 400))
def test_every_pixel_of_the_map_is_kept_exactly_once(width: int, height: int) -> None:
    tiled = tile_page(page(width, height), ANY_SHAPE, SMALL_TILES)
    covered = np.zeros((tiled.height, tiled.width), dtype=int)
    for tile in tiled.tiles:
        left, top, right, bottom = tile.kept
        corners = tile.to_map.apply(np.array([[left, top], [right, bottom]], dtype=np.float64)).astype(int)
        covered[corners[0, 1] : corners[1, 1], corners[0, 0] : corners[1, 0]] += 1
        assert tile.pixels.shape[0] % 32 == 0
        assert tile.pixels.shape[1] % 32 == 0
        assert right <= tile.pixels.shape[1]
        assert bottom <= tile.pixels.shape[0]
    assert covered.min() == covered.max() == 1


@pytest.mark.parametrize(
    ("width", "height", "map_size", "tiles"),
    [
        (1080, 1528, (679, 960), 1),
        (500, 400, (960, 768), 1),
        (1, 1, (2, 2), 1),
        (100, 60, (200, 120), 1),
        (2000, 2000, (960, 960), 1),
        (2000, 2001, (1200, 1201), 4),
        (6000, 100, (960, 16), 1),
        (4000, 3000, (2400, 1800), 9),
        (65_535, 1, (960, 1), 1),
        (1, 65_535, (1, 960), 1),
    ],
)
def test_the_scale_follows_the_size(width: int, height: int, map_size: tuple[int, int], tiles: int) -> None:
    tiled = tile_page(page(width, height), ANY_SHAPE, OPTIONS)
    assert (tiled.width, tiled.height) == map_size
    assert len(tiled.tiles) == tiles
    corner = tiled.to_page.apply(np.array([[tiled.width, tiled.height]], dtype=np.float64))
    np.testing.assert_allclose(corner, [[width, height]])


def test_fixed_shapes_are_filled_up() -> None:
    shapes = TileShapes(fixed=((640, 640), (960, 960)))
    tiled = tile_page(page(500, 600), shapes, replace(OPTIONS, max_enlargement=1.0))
    assert [tile.pixels.shape for tile in tiled.tiles] == [(640, 640, 3)]
    tiled = tile_page(page(4000, 3000), shapes, OPTIONS)
    assert {tile.pixels.shape for tile in tiled.tiles} == {(960, 960, 3)}


def test_a_detector_with_small_tiles_gets_no_larger_ones() -> None:
    tiled = tile_page(page(1900, 1900), TileShapes(fixed=((640, 640),)), OPTIONS)
    assert [tile.pixels.shape for tile in tiled.tiles] == [(640, 640, 3)]
    tiled = tile_page(page(1900, 1900), TileShapes(max_side=500), OPTIONS)
    assert [tile.pixels.shape for tile in tiled.tiles] == [(480, 480, 3)]


def test_a_tile_shows_its_part_of_the_page() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    tiled = tile_page(PageImage(pixels), ANY_SHAPE, SMALL_TILES)
    for tile in tiled.tiles:
        left, top = tile.to_map.apply(np.zeros((1, 2)))[0].astype(int)
        np.testing.assert_array_equal(tile.pixels, pixels[top : top + 96, left : left + 96])


def test_tiles_are_no_larger_than_it_takes() -> None:
    tiled = tile_page(page(4000, 3000), ANY_SHAPE, OPTIONS)
    assert {tile.pixels.shape for tile in tiled.tiles} == {(736, 928, 3)}
