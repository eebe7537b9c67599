"""Overlap of polygons, against the plain formula for boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.geometry import Points
from worker.lab.evaluation.matching import overlap_matrix, pairs

Box = tuple[int, int, int, int]
boxes = st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.integers(1, 900), st.integers(1, 300))


def corners(box: Box) -> Points:
    left, top, width, height = box
    return np.array(
        [[left, top], [left + width, top], [left + width, top + height], [left, top + height]], dtype=np.float64
    )


def box_overlap(one: Box, other: Box) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


@given(boxes, st.tuples(st.integers(-500, 500), st.integers(-200, 200), st.integers(1, 900), st.integers(1, 300)))
def test_boxes_overlap_as_the_formula_says(one: Box, offset: Box) -> None:
    other = (one[0] + offset[0], one[1] + offset[1], offset[2], offset[3])

    overlap = overlap_matrix([corners(one)], [corners(other)])[0, 0]

    assert overlap == pytest.approx(box_overlap(one, other), abs=1e-4)


@given(boxes, st.floats(0, 2 * np.pi))
def test_a_turn_changes_no_overlap(one: Box, angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = (one[0] + one[2] // 3, one[1], one[2], one[3])

    turned = overlap_matrix([corners(one) @ turn.T], [corners(other) @ turn.T])[0, 0]

    assert turned == pytest.approx(box_overlap(one, other), abs=2e-3)


def test_the_direction_of_the_corners_does_not_matter() -> None:
    polygon = corners((0, 0, 10, 5))

    assert overlap_matrix([polygon], [polygon[::-1]])[0, 0] == pytest.approx(1)


def test_a_polygon_without_area_overlaps_nothing() -> None:
    flat = np.array([[0.0, 0], [10, 0], [10, 0], [0, 0]])

    assert overlap_matrix([flat], [flat, corners((0, 0, 10, 10))]).tolist() == [[0, 0]]


def test_no_polygons_give_no_pairs() -> None:
    assert pairs(overlap_matrix([], [corners((0, 0, 1, 1))])) == []


def test_more_pairs_win_over_better_ones() -> None:
    overlaps = np.array([[0.99, 0.5], [0.5, 0.0]])

    assert sorted(pairs(overlaps)) == [(0, 1), (1, 0)]


def test_a_pair_that_is_not_allowed_gives_way() -> None:
    overlaps = np.array([[0.9, 0.6]])

    assert pairs(overlaps, np.array([[False, True]])) == [(0, 1)]
