"""Reading order follows the lines, however the page lies."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.image import PageText, TextLine, TextRegion
from worker.pipeline.layout.reading_order import assemble, page_angle_degrees, place_lines, reading_order
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.read import ReadLine

OPTIONS = PipelineOptions()

# A label: (text, left, top, width, height), in reading order.
LABEL = [
    ("CARRIER EXPRESS", 100, 60, 900, 60),
    ("FROM", 80, 160, 90, 24),
    ("DATE", 700, 162, 80, 22),
    ("Anna Muster", 80, 200, 300, 28),
    ("2026-11-21", 700, 196, 200, 30),
    ("Hauptstrasse 1", 80, 240, 380, 28),
    ("1 KG", 700, 241, 90, 26),
    ("TO", 80, 320, 60, 40),
    ("BERLIN", 200, 310, 500, 60),
    ("0", 960, 330, 20, 26),
    ("1Z 999 AA1 01 2345 6784", 100, 420, 800, 30),
]


def quad(left: float, top: float, width: float, height: float) -> np.ndarray:
    return np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], dtype=float)


def placed(degrees: float, order: list[int]) -> list[TextLine]:
    """The label turned clockwise about its middle, its lines shuffled."""
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    middle = np.array([540.0, 260.0])
    lines = []
    for index in order:
        text, left, top, width, height = LABEL[index]
        polygon = (quad(left, top, width, height) - middle) @ turn.T + middle
        lines.append(TextLine(text, 1.0, polygon, degrees % 360))
    return lines


@settings(max_examples=200, deadline=None)
@given(
    degrees=st.floats(-10, 10) | st.sampled_from([0.0, 90.0, 180.0, 270.0]) | st.floats(0, 360),
    order=st.permutations(range(len(LABEL))),
)
def test_order_does_not_depend_on_how_the_page_lies(degrees: float, order: list[int]) -> None:
    lines = placed(degrees, order)
    assert [line.text for line in reading_order(lines)] == [entry[0] for entry in LABEL]


@given(degrees=st.floats(-179, 179), order=st.permutations(range(len(LABEL))))
def test_the_pages_angle_is_found(degrees: float, order: list[int]) -> None:
    off = (page_angle_degrees(placed(degrees, order)) - degrees + 180) % 360 - 180
    assert abs(off) < 1e-6


def test_a_few_vertical_lines_do_not_turn_the_page() -> None:
    lines = placed(3, list(range(len(LABEL))))
    sideways = TextLine("SIDE", 1.0, np.roll(quad(1050, 100, 30, 300), -1, axis=0), 90.0)
    texts = [line.text for line in reading_order([sideways, *lines])]
    assert [text for text in texts if text != "SIDE"] == [entry[0] for entry in LABEL]


def test_no_lines_have_an_order() -> None:
    assert reading_order([]) == []


def read_line(text: str, confidence: float, polygon: np.ndarray, *, upside_down: bool = False) -> ReadLine:
    return ReadLine(TextRegion(polygon, 0.9), text, confidence, upside_down)


SIZE = (200, 100)


def text_of(*lines: ReadLine) -> PageText:
    return assemble(SIZE, place_lines(lines, *SIZE, OPTIONS))


def test_doubtful_and_empty_lines_are_dropped() -> None:
    lines = [
        read_line("kept", 0.5, quad(0, 0, 50, 10)),
        read_line("doubtful", 0.49, quad(0, 20, 50, 10)),
        read_line("  ", 0.9, quad(0, 40, 50, 10)),
        read_line("", 0.9, quad(0, 60, 50, 10)),
    ]
    assert [line.text for line in text_of(*lines).lines] == ["kept"]


def test_a_blank_page_has_a_size_and_no_lines() -> None:
    text = text_of()
    assert (text.width, text.height, text.lines) == (200, 100, ())


def test_a_polygon_begins_at_the_texts_own_top_left_and_stays_on_the_page() -> None:
    upright, turned = text_of(
        read_line("up", 0.9, quad(-5, -3, 100, 20)),
        read_line("down", 0.9, quad(120, 70, 90, 20), upside_down=True),
    ).lines
    assert upright.polygon.tolist() == [[0, 0], [95, 0], [95, 17], [0, 17]]
    assert upright.rotation_degrees == 0.0
    assert turned.polygon.tolist() == [[200, 90], [120, 90], [120, 70], [200, 70]]
    assert turned.rotation_degrees == 180.0


@pytest.mark.parametrize("tilt", [-1e-9, 1e-9, -0.004, 0.0])
def test_a_rotation_is_never_360(tilt: float) -> None:
    polygon = quad(10, 10, 100, 20) + np.array([[0, 0], [0, 100 * math.sin(math.radians(tilt))], [0, 0], [0, 0]])
    (line,) = text_of(read_line("x", 0.9, polygon)).lines
    assert 0.0 <= line.rotation_degrees < 360.0


def test_a_polygon_is_pulled_in_by_a_part_of_what_its_region_was_grown() -> None:
    region = TextRegion(quad(20, 10, 100, 30), 0.9, growth_pixels=10.0)
    (line,) = text_of(ReadLine(region, "x", 0.9, upside_down=False)).lines
    assert line.polygon.tolist() == [[24, 14], [116, 14], [116, 36], [24, 36]]


def slow_order(lines: list[TextLine]) -> list[TextLine]:
    """The rule as it is written down: each line asks all rows, the last first."""
    if not lines:
        return []
    radians = math.radians(page_angle_degrees(lines))
    along = np.array([math.cos(radians), math.sin(radians)])
    down = np.array([-along[1], along[0]])
    sides = []
    for line in lines:
        x, y = line.polygon @ along, line.polygon @ down
        sides.append((x.min(), x.max(), y[:2].mean(), y[2:].mean()))
    middles = [(top + bottom) / 2 for _, _, top, bottom in sides]

    def belongs(index: int, row: list[int]) -> bool:
        left, right, top, bottom = sides[index]
        nearest = min(row, key=lambda other: max(left - sides[other][1], sides[other][0] - right))
        return bool(sides[nearest][2] <= middles[index] <= sides[nearest][3] or top <= middles[nearest] <= bottom)

    rows: list[list[int]] = []
    for index in sorted(range(len(lines)), key=lambda i: middles[i]):
        row = next((row for row in reversed(rows) if belongs(index, row)), None)
        if row is None:
            rows.append([index])
        else:
            row.append(index)
    rows.sort(key=lambda row: sum(middles[i] for i in row) / len(row))
    return [lines[i] for row in rows for i in sorted(row, key=lambda i: sides[i][0])]


@settings(max_examples=200, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 120), st.integers(1, 60)), max_size=40
    ),
    degrees=st.sampled_from([0.0, 4.0, 90.0, 180.0, 200.0]),
)
def test_order_is_that_of_the_rule(boxes: list[tuple[int, int, int, int]], degrees: float) -> None:
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    lines = [TextLine(str(place), 1.0, quad(*box) @ turn.T, degrees) for place, box in enumerate(boxes)]
    assert [line.text for line in reading_order(lines)] == [line.text for line in slow_order(lines)]


@pytest.mark.parametrize(("rows", "columns"), [(100, 50), (2500, 2)])
def test_five_thousand_lines_are_ordered_quickly(rows: int, columns: int) -> None:
    radians = math.radians(2)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    rng = np.random.default_rng(1)
    lines = [
        TextLine(f"{row} {column}", 1.0, quad(250 * column + offset, 80 * row + offset, 200, 40) @ turn.T, 2.0)
        for row in range(rows)
        for column, offset in enumerate(rng.integers(9, size=columns).tolist())
    ]
    shuffled = [lines[index] for index in rng.permutation(len(lines))]
    started = time.thread_time()
    ordered = reading_order(shuffled)
    assert time.thread_time() - started < 1.0  # 0.1 s on a quiet machine
    assert [line.text for line in ordered] == [line.text for line in lines]
