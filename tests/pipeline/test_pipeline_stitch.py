"""Boxes are found on the stitched map as PP-OCR's post-processing finds them."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.domain.geometry import Transform
from worker.domain.image import Pixels, ProbabilityMap
from worker.domain.manifest import DetectionThresholds
from worker.pipeline.detect.regions import find_regions

THRESHOLDS = DetectionThresholds()
Rect = tuple[float, float, float, float, float]  # center x and y, width, height, degrees


def draw(rects: list[tuple[Rect, int]], *, width: int = 320, height: int = 240) -> Pixels:
    values = np.zeros((height, width), dtype=np.uint8)
    for (x, y, w, h, degrees), level in rects:
        cv2.fillPoly(values, [cv2.boxPoints(((x, y), (w, h), degrees)).astype(np.int32)], (level,))
    return values


def regions_of(values: Pixels, thresholds: DetectionThresholds = THRESHOLDS) -> list[tuple[NDArray[np.float64], float]]:
    found = find_regions(ProbabilityMap(values, Transform.identity()), thresholds)
    return sorted(((region.quad, region.score) for region in found), key=lambda item: tuple(item[0].mean(axis=0)))


def reference(values: Pixels) -> list[tuple[NDArray[np.float64], float]]:
    """Post-process as published, slowly: whole-picture masks, and a polygon offset by a disc to grow regions."""
    binary = cv2.dilate((values / 255 > 0.3).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
    contours, _ = cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours:
        rect = cv2.minAreaRect(contour)
        corners = cv2.boxPoints(rect)
        if min(rect[1]) < 3:
            continue
        mask = np.zeros_like(values)
        cv2.fillPoly(mask, [corners.astype(np.int32)], (1,))
        score = float(values[mask > 0].mean()) / 255
        if score < 0.5:
            continue
        distance = cv2.contourArea(corners) * 1.6 / cv2.arcLength(corners, True)
        around = np.linspace(0, 2 * math.pi, 720, endpoint=False)
        disc = np.column_stack([np.cos(around), np.sin(around)]) * distance
        grown = cv2.minAreaRect((corners[:, np.newaxis] + disc).reshape(-1, 2).astype(np.float32))
        if min(grown[1]) < 5:
            continue
        found.append((np.asarray(cv2.boxPoints(grown), dtype=np.float64), score))
    return sorted(found, key=lambda item: tuple(item[0].mean(axis=0)))


def apart(quad: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest distance of a corner of one to the nearest corner of the other."""
    return float(np.hypot(*(quad[:, np.newaxis] - other).T).min(axis=0).max())


rects = st.tuples(
    st.floats(40, 280), st.floats(40, 200), st.floats(1, 120), st.floats(1, 60), st.floats(-45, 45)
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(drawn=st.lists(st.tuples(rects, st.integers(60, 255)), max_size=6))
@example(drawn=[((55.5, 40.0, 14.0, 3.0, -22.0), 184), ((55.5, 58.0, 14.0, 3.0, -22.0), 184)])  # one above the other
def test_boxes_equal_those_of_the_reference(drawn: list[tuple[Rect, int]]) -> None:
    values = draw(drawn)
    mine, theirs = regions_of(values), reference(values)
    assert len(mine) == len(theirs)
    for quad, score in mine:
        nearest = min(range(len(theirs)), key=lambda index: apart(quad, theirs[index][0]))
        expected, expected_score = theirs.pop(nearest)
        assert apart(quad, expected) < 0.5
        assert score == pytest.approx(expected_score, abs=0.02)


def test_there_is_no_ceiling_on_regions() -> None:
    values = np.zeros((1200, 1200), dtype=np.uint8)
    for top in range(0, 1200, 24):
        for left in range(0, 1200, 24):
            values[top : top + 8, left : left + 12] = 255
    assert len(regions_of(values)) == 2500


def test_an_empty_map_has_no_regions() -> None:
    assert regions_of(np.zeros((32, 32), dtype=np.uint8)) == []


@pytest.mark.parametrize("dilate", [True, False])
def test_without_growth_a_box_has_the_edges_of_its_pixels(dilate: bool) -> None:  # noqa: FBT001
    values = np.zeros((100, 200), dtype=np.uint8)
    values[20:40, 50:150] = 255
    ((quad, score),) = regions_of(values, DetectionThresholds(unclip_ratio=0, dilate=dilate))
    np.testing.assert_allclose(quad, [[50, 20], [150, 20], [150, 40], [50, 40]], atol=0.01)
    assert score > 0.9


def test_regions_are_given_in_page_pixels() -> None:
    values = np.zeros((100, 200), dtype=np.uint8)
    values[20:40, 50:150] = 255
    page_map = ProbabilityMap(values, Transform.scale_then_shift(2.0, 3.0, 0.0, 0.0))
    (region,) = find_regions(page_map, DetectionThresholds(unclip_ratio=0))
    np.testing.assert_allclose(region.quad, [[100, 60], [300, 60], [300, 120], [100, 120]], atol=0.01)
