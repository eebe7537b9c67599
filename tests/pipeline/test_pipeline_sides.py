"""What a classifier says of a few lines, and when that is enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.recognize.upside_down import LinePositions, certain, decide, log_odds, sample


def places(rows: list[tuple[float, float, float]], *, down: bool = False) -> LinePositions:
    """Lines of 30 pixels' height as (left, top, width), or the same running down."""
    quads = [np.array([[x, y], [x + w, y], [x + w, y + 30], [x, y + 30]], dtype=np.float64) for x, y, w in rows]
    return LinePositions.of([quad[:, ::-1] if down else quad for quad in quads])


@given(
    count=st.integers(0, 60),
    down=st.lists(st.booleans(), min_size=60, max_size=60),
    widths=st.lists(st.integers(10, 500), min_size=60, max_size=60),
    limit=st.integers(1, 12),
)
def test_a_sample_holds_no_line_twice_and_no_more_than_asked(
    count: int, down: list[bool], widths: list[int], limit: int
) -> None:
    quads = []
    for row, (turned, width) in enumerate(zip(down[:count], widths, strict=False)):
        quad = np.array([[0, row], [width, row], [width, row + 1], [0, row + 1]], dtype=np.float64) * (1, 40)
        quads.append(quad[:, ::-1] if turned else quad)
    chosen = sample(LinePositions.of(quads), limit)
    assert len(set(chosen)) == len(chosen) <= limit
    axes = {down[index] for index in chosen}
    assert axes == set(down[:count]) or limit == 1 or not count


def test_a_sample_comes_from_all_over_the_page_and_takes_long_lines() -> None:
    page = places([(0, 40 * row, 300 if row % 5 == 2 else 90) for row in range(40)])
    assert sorted(sample(page, 8)) == [2, 7, 12, 17, 22, 27, 32, 37]


@pytest.mark.parametrize(
    ("probabilities", "enough"),
    [
        ([0.01] * 8, True),
        ([0.99] * 7 + [0.3], True),
        ([0.01] * 7 + [0.99], True),
        ([0.01] * 6 + [0.99] * 2, False),
        ([0.45] * 8, False),
        ([0.95], True),
        ([0.7], False),
        ([], False),
    ],
)
def test_a_vote_is_certain_where_little_speaks_against_it(probabilities: list[float], *, enough: bool) -> None:
    assert certain(log_odds(probabilities)) is enough


def test_evidence_is_bounded() -> None:
    assert log_odds([0.0, 0.5, 1.0]).tolist() == [-3.0, 0.0, 3.0]


@pytest.mark.parametrize("down", [False, True])
def test_a_line_goes_with_its_neighbourhood(*, down: bool) -> None:
    rows = [(0.0, 40.0 * row, 300.0) for row in range(8)] + [(0.0, 2000 + 40.0 * row, 300.0) for row in range(8)]
    evidence = np.array([-3.0] * 8 + [3.0] * 8)
    evidence[3], evidence[11] = 2.0, 0.0  # one is wrong, one was not asked
    assert decide(places(rows, down=down), evidence).tolist() == [False] * 8 + [True] * 8


def test_a_line_far_from_all_others_stands_as_most_do() -> None:
    rows = [(0.0, 40.0 * row, 300.0) for row in range(4)] + [(0.0, 9000.0, 40.0)]
    assert decide(places(rows), np.array([3.0, 3.0, 3.0, 3.0, 0.0])).tolist() == [True] * 5
