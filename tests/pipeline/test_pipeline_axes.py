"""Rectangles begin where their lines do, and squarish ones run as the lines around them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.domain.image import TextRegion
from worker.pipeline.detect.text_direction import is_sideways, orient_quads


@given(
    degrees=st.floats(-44, 44),
    width=st.floats(2, 100),
    height=st.floats(2, 100),
    first=st.integers(0, 3),
    reverse=st.booleans(),
)
def test_a_quad_begins_where_its_line_does(
    *, degrees: float, width: float, height: float, first: int, reverse: bool
) -> None:
    assume(abs(height - 1.5 * width) > 1e-6)
    radians = math.radians(degrees)
    along = np.array([math.cos(radians), math.sin(radians)])
    down = np.array([-along[1], along[0]])
    start = np.array([200.0, 200.0])
    expected = np.array([start, start + along * width, start + along * width + down * height, start + down * height])
    if height >= 1.5 * width:
        expected = np.roll(expected, -1, axis=0)
    shuffled = np.roll(expected, first, axis=0)
    (quad,) = orient_quads([shuffled[::-1] if reverse else shuffled])
    np.testing.assert_allclose(quad, expected, atol=1e-6)


def rectangle(width: float, height: float) -> NDArray[np.float64]:
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)


@pytest.mark.parametrize(
    ("shapes", "running_down"),
    [
        ([(100, 20), (20, 20), (20, 25), (20, 40)], [False, False, False, True]),
        ([(20, 100), (20, 20), (25, 20), (40, 20)], [True, True, True, False]),
        ([(100, 20), (20, 90), (20, 20)], [False, True, False]),
        ([(20, 20)], [False]),
        ([], []),
    ],
)
def test_squarish_rectangles_run_as_the_page_does(shapes: list[tuple[float, float]], running_down: list[bool]) -> None:
    quads = orient_quads([rectangle(*shape) for shape in shapes])
    assert [bool(quad[1, 1] > quad[0, 1]) for quad in quads] == running_down


def placed(left: float, top: float, width: float, height: float) -> NDArray[np.float64]:
    return np.asarray(np.add(rectangle(width, height), (left, top)), dtype=np.float64)


def runs_down(quads: list[NDArray[np.float64]]) -> list[bool]:
    return [bool(abs(quad[1, 1] - quad[0, 1]) > abs(quad[1, 0] - quad[0, 0])) for quad in quads]


def test_on_a_mixed_page_squarish_rectangles_run_as_the_lines_around_them() -> None:
    """The left half of the page runs along it, the right half down."""
    along = [placed(0, 40 * row, 300, 30) for row in range(10)]
    down = [placed(600 + 40 * column, 0, 30, 320) for column in range(8)]
    squares = [placed(310, 80, 30, 32), placed(320, 240, 33, 30), placed(560, 100, 30, 30), placed(700, 330, 30, 33)]
    expected = [False] * 10 + [True] * 8 + [False, False, True, True]
    assert runs_down(orient_quads([*along, *down, *squares])) == expected
    turned = [quad[:, ::-1] for quad in (*along, *down, *squares)]
    assert runs_down(orient_quads(turned)) == [not flag for flag in expected]


@pytest.mark.parametrize("quarters", [0, 1])
def test_a_narrow_character_among_lines_runs_as_they_do(quarters: int) -> None:
    """A 1 in a column of its own is a tall rectangle; so is a short line that runs down, but that is longer."""
    rectangles = [placed(0, 40 * row, 300, 30) for row in range(10)]
    rectangles += [placed(400, 80, 17, 32), placed(450, 80, 28, 80)]
    if quarters:
        rectangles = [quad[:, ::-1] for quad in rectangles]
    assert runs_down(orient_quads(rectangles))[10:] == ([True, False] if quarters else [False, True])


def test_a_page_runs_sideways_if_nearly_all_of_it_does() -> None:
    def regions(*shapes: tuple[float, float]) -> list[TextRegion]:
        return [TextRegion(quad, 1.0) for quad in orient_quads([rectangle(*shape) for shape in shapes])]

    assert not is_sideways([])
    assert not is_sideways(regions((300, 30), (300, 30)))
    assert is_sideways(regions((30, 300), (30, 300), (60, 20)))
    assert not is_sideways(regions((30, 300), (200, 30)))
