"""Regions found strip by strip are those of the whole map."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.domain.geometry import Transform
from worker.domain.image import Pixels, ProbabilityMap, TextRegion
from worker.domain.manifest import DetectionThresholds
from worker.pipeline.detect.regions import find_regions
from worker.pipeline.large.strip_map import StripMap

WIDTH = 240
TO_PAGE = Transform.scale_then_shift(2.0, 2.0, 0.0, 0.0)


def text_map(seed: int, height: int) -> Pixels:
    """Return a map of upright and lying bars, some of which touch."""
    random = np.random.default_rng(seed)
    values = np.zeros((height, WIDTH), dtype=np.uint8)
    for _ in range(24):
        tall = random.random() < 0.3
        h, w = (
            (random.integers(30, 70), random.integers(6, 12))
            if tall
            else (random.integers(6, 12), random.integers(30, 90))
        )
        y, x = random.integers(0, height - h), random.integers(0, WIDTH - w)
        values[y : y + h, x : x + w] = random.integers(170, 256)
    return values


def placed(regions: list[TextRegion]) -> NDArray[np.float64]:
    """Return left, top, right and bottom of each region, in one order."""
    rows = [[*region.quad.min(axis=0), *region.quad.max(axis=0)] for region in regions]
    return np.array(sorted(rows, key=lambda row: [round(value) for value in row]))


def in_strips(values: Pixels, cuts: list[int], thresholds: DetectionThresholds, max_open_rows: int) -> list[TextRegion]:
    strips = StripMap(WIDTH, TO_PAGE, thresholds, max_open_rows=max_open_rows)
    edges = [0, *sorted(cuts), values.shape[0]]
    found = [region for top, bottom in pairwise(edges) for region in strips.add(values[top:bottom])]
    return found + strips.skip_to(values.shape[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_strips_give_the_regions_of_the_whole_map(seed: int, cuts: list[int], dilate: bool) -> None:  # noqa: FBT001
    # Bars have sharp edges, so that the rounding of a corner moves their score: leave the score out.
    thresholds = DetectionThresholds(dilate=dilate, box_score=0.0)
    values = text_map(seed, 300)
    whole = find_regions(ProbabilityMap(values, TO_PAGE), thresholds)
    assert whole
    np.testing.assert_allclose(placed(in_strips(values, cuts, thresholds, 300)), placed(whole), atol=0.01)


def test_rows_that_no_open_region_needs_are_forgotten() -> None:
    strips = StripMap(WIDTH, TO_PAGE, DetectionThresholds(), max_open_rows=200)
    values = np.zeros((100, WIDTH), dtype=np.uint8)
    values[20:30, 20:90] = 255
    assert len(strips.add(values)) == 1
    assert strips.open_from >= 80
    values[:] = 0
    values[60:, 100:110] = 255
    assert strips.add(values) == []
    assert 100 <= strips.open_from <= 160


def test_a_region_without_end_is_closed_at_the_limit() -> None:
    strips = StripMap(WIDTH, TO_PAGE, DetectionThresholds(), max_open_rows=150)
    column = np.zeros((100, WIDTH), dtype=np.uint8)
    column[:, 100:112] = 255
    found = [len(strips.add(column)) for _ in range(5)]
    assert sum(found) == 2
    assert strips.open_from >= 500 - 150 - 100


def test_a_gap_ends_what_was_open() -> None:
    strips = StripMap(WIDTH, TO_PAGE, DetectionThresholds(), max_open_rows=150)
    values = np.zeros((50, WIDTH), dtype=np.uint8)
    values[40:, 20:90] = 255
    assert strips.add(values) == []
    [region] = strips.skip_to(1000)
    assert strips.open_from == 1000
    assert region.quad[:, 1].max() == pytest.approx(2 * (50 + region.growth_pixels / 2), abs=2.5)
