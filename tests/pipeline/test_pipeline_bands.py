"""Bands of tiles cover what a page holds, once, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.image import Pixels
from worker.domain.manifest import TileShapes
from worker.pipeline.decode.page_rows import STRIP_ROWS
from worker.pipeline.decode.thumbnail import Thumbnail
from worker.pipeline.detect.detail_grid import CELL_PIXELS
from worker.pipeline.large.scan_plan import ScanPlan, plan_scan
from worker.pipeline.large.strip_map import stitch
from worker.pipeline.large.survey import Survey, Surveyor
from worker.pipeline.options import PipelineOptions

SHAPES = [TileShapes(), TileShapes(fixed=((256, 256),))]


def survey_of(detail: list[tuple[int, int]], rows: int, columns: int) -> Survey:
    cells = np.zeros((rows, columns), dtype=np.bool_)
    for row, column in detail:
        cells[row % rows, column % columns] = True
    width, height = columns * CELL_PIXELS, rows * CELL_PIXELS
    return Survey(width, height, Thumbnail(width, height, 8), cells, ())


def kept(plan: ScanPlan) -> Pixels:
    """Return how many tiles keep each pixel of the map."""
    counts = np.zeros((plan.height, plan.width), dtype=np.uint8)
    for band in plan.bands:
        for place in band.placements:
            rows, columns = place.rows, place.columns
            counts[rows.kept_start : rows.kept_stop, columns.kept_start : columns.kept_stop] += 1
    return counts


@settings(max_examples=150, deadline=None)
@given(
    detail=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12),
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    scale=st.sampled_from([0.25, 0.7, 1.0, 1.3]),
    overlap=st.integers(0, 96),
    shapes=st.sampled_from(SHAPES),
)
def test_all_detail_is_kept_once(
    detail: list[tuple[int, int]], rows: int, columns: int, scale: float, overlap: int, shapes: TileShapes
) -> None:
    survey = survey_of(detail, rows, columns)
    options = PipelineOptions(tile_side=256, tile_overlap=overlap)
    plan = plan_scan(survey, scale, shapes, options)
    counts = kept(plan)
    assert counts.max(initial=0) <= 1
    cell = CELL_PIXELS * scale
    for row, column in zip(*np.nonzero(survey.detail), strict=True):
        top, left = int(row * cell), int(column * cell)
        assert counts[top : int((row + 1) * cell), left : int((column + 1) * cell)].all()
    for above, below in pairwise(plan.bands):
        assert above.stop <= below.start
    for place in (place for band in plan.bands for place in band.placements):
        assert 0 <= place.rows.start <= place.rows.kept_start < place.rows.kept_stop <= place.rows.stop <= plan.height
        assert 0 <= place.columns.start < place.columns.stop <= plan.width
        assert max(place.rows.stop - place.rows.start, place.columns.stop - place.columns.start) <= 256


def test_a_page_without_detail_has_no_bands() -> None:
    assert plan_scan(survey_of([], 40, 40), 1.0, TileShapes(), PipelineOptions()).bands == ()


def test_what_lies_between_is_not_searched() -> None:
    plan = plan_scan(survey_of([(2, 2), (55, 58)], 60, 60), 1.0, TileShapes(), PipelineOptions())
    assert len(plan.tiles_on_page()) == 2
    assert kept(plan).mean() < 0.05


@settings(max_examples=40, deadline=None)
@given(side=st.sampled_from([128, 256, 384]), overlap=st.integers(0, 96), seed=st.integers(0, 9))
def test_the_stitched_map_does_not_depend_on_the_tiles(side: int, overlap: int, seed: int) -> None:
    """With a detector that looks at each pixel by itself, any grid gives the map of the whole page."""
    pixels = np.random.default_rng(seed).integers(1, 256, (700, 900), dtype=np.uint8)
    detail = np.ones((-(-700 // CELL_PIXELS), -(-900 // CELL_PIXELS)), dtype=np.bool_)
    survey = Survey(900, 700, Thumbnail(900, 700, 8), detail, ())
    plan = plan_scan(survey, 1.0, TileShapes(), PipelineOptions(tile_side=side, tile_overlap=overlap))
    stitched = np.concatenate(
        [
            stitch(
                band,
                [
                    pixels[place.rows.start : place.rows.stop, place.columns.start : place.columns.stop]
                    for place in band.placements
                ],
                plan.width,
            )
            for band in plan.bands
        ]
    )
    np.testing.assert_array_equal(stitched, pixels)


def surveyed(page: Pixels) -> Survey:
    surveyor = Surveyor(page.shape[1], page.shape[0], 256)
    for top in range(0, page.shape[0], STRIP_ROWS):
        surveyor.add(page[top : top + STRIP_ROWS])
    return surveyor.survey()


@pytest.mark.parametrize("noise_levels", [0, 1, 4])
def test_print_is_told_from_the_papers_grain(noise_levels: int) -> None:
    page = np.full((1500, 1100, 3), 200, dtype=np.int16)
    page += np.random.default_rng(1).normal(0, noise_levels, page.shape).round().astype(np.int16)
    page[700:730:6, 500:620] -= 60  # strokes of gray print
    survey = surveyed(np.clip(page, 0, 255).astype(np.uint8))
    assert survey.detail.shape == (47, 35)
    assert survey.detail[22, 16:19].all()
    elsewhere = survey.detail.copy()
    elsewhere[20:25, 14:21] = False
    assert elsewhere.mean() < 0.01
    assert survey.windows[0].left <= 500 < survey.windows[0].left + survey.windows[0].pixels.shape[1]


def test_specks_are_left_out_and_lone_characters_are_not() -> None:
    page = np.full((1100, 700, 3), 250, dtype=np.uint8)
    page[300:303, 200:203] = 60  # a grain of dust
    page[509:514, 407:410] = 60  # one on the border of two strips and of two cells
    page[800:812, 500:502] = 60  # the least 1
    page[803, 498:501] = 60
    detail = surveyed(page).detail
    assert list(zip(*np.nonzero(detail), strict=True)) == [(25, 15)]


def test_a_survey_does_not_depend_on_what_is_below() -> None:
    page = np.full((1300, 700, 3), 255, dtype=np.uint8)
    page[100:120:5, 100:300] = 0
    survey, longer = surveyed(page), surveyed(np.pad(page, ((0, 512), (0, 0), (0, 0)), constant_values=255))
    np.testing.assert_array_equal(survey.detail[:16], longer.detail[:16])
    assert max(survey.thumbnail.pixels().shape) == 256


def test_a_thumbnail_of_strips_that_stay_is_made_when_it_is_asked_for() -> None:
    page = np.random.default_rng(4).integers(0, 255, (1100, 700, 3), dtype=np.uint8)
    at_once, later = (Thumbnail(700, 1100, 256, strips_stay=stay) for stay in (False, True))
    for top in range(0, 1100, 512):
        at_once.add(page[top : top + 512])
        later.add(page[top : top + 512])
    np.testing.assert_array_equal(later.pixels(), at_once.pixels())
    np.testing.assert_array_equal(later.pixels(), at_once.pixels())
