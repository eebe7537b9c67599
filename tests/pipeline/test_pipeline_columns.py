"""Columns of characters in a picture: found by their ink, and taken only where they read as a container's number."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from tests.extract.pages import found
from tests.pipeline.container_columns import NUMBER, Print, drawn, merged, regions_of
from worker.domain.geometry import Points
from worker.domain.image import Character, PageImage, PageText, Pixels, TextRegion
from worker.pipeline.layout.columns import Column, find_columns, with_columns
from worker.pipeline.layout.reading_order import place_lines
from worker.pipeline.models import LineShape
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.read import ReadLine

SHAPE = LineShape(height=48, pad_value=114, stride=8, bucket_widths=(320, 640, 1280))


def columns_of(pixels: Pixels, quads: Sequence[Points]) -> list[Column]:
    return find_columns(PageImage(pixels), regions_of(quads))


def turned(pixels: Pixels, quads: Sequence[Points], quarters: int) -> tuple[Pixels, list[Points]]:
    """Turn a picture and what is found of it clockwise, the corners as a detector orders them."""
    for _ in range(quarters):
        height = pixels.shape[0]
        pixels = np.ascontiguousarray(np.rot90(pixels, -1))
        quads = [np.column_stack([height - quad[:, 1], quad[:, 0]]) for quad in quads]
    return pixels, [np.roll(quad, -int(np.argmin(quad.sum(axis=1))), axis=0) for quad in quads]


def middles(column: Column) -> list[Points]:
    return [cell.mean(axis=0) for cell in column.cells]


def is_on(column: Column, quads: Sequence[Points]) -> bool:
    """Say whether each cell lies on its character."""
    pairs = zip(middles(column), (quad.mean(axis=0) for quad in quads), strict=True)
    return all(math.dist(one, other) < 12 for one, other in pairs)


@pytest.mark.parametrize("gap", [0.0, 0.3, 0.8, 1.5])
@pytest.mark.parametrize("pitch", [1.2, 1.5, 1.9])
def test_a_column_is_found_by_its_characters(pitch: float, gap: float) -> None:
    pixels, quads = drawn(NUMBER, style=Print(pitch=pitch, gap=gap))
    [column] = columns_of(pixels, quads)
    assert is_on(column, quads)
    assert len(column.members) == len(quads)
    crop = column.crop(PageImage(pixels), SHAPE)
    assert crop is not None
    assert crop.pixels.shape[0] == SHAPE.height


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_column_is_found_whichever_way_the_page_lies(quarters: int) -> None:
    pixels, quads = turned(*drawn(NUMBER), quarters)
    [column] = columns_of(pixels, quads)
    assert is_on(column, quads if quarters in {0, 3} else quads[::-1])
    # Its characters' right lies a quarter turn before the column's direction.
    for one, other in pairwise(middles(column)):
        along = other - one
        right = column.cells[0][1] - column.cells[0][0]
        assert np.dot(right, (along[1], -along[0])) > 0


@pytest.mark.parametrize(
    "style",
    [
        Print(size=24),
        Print(size=150),
        Print(ink=(250, 250, 250), ground=(20, 70, 150)),
        Print(ink=(240, 240, 240), ground=(50, 50, 50)),
        Print(boxed=True),
        Print(below="22G1"),
    ],
    ids=["small", "large", "white on blue", "white on dark", "boxed", "with a line below"],
)
def test_a_column_is_found_however_it_is_printed(style: Print) -> None:
    pixels, quads = drawn(NUMBER, style=style)
    [column, *_] = columns_of(pixels, quads)
    assert is_on(column, quads)
    *_, digit, check_digit = (math.dist(cell[0], cell[1]) for cell in column.cells)
    assert check_digit < 1.2 * digit  # without its frame


def test_what_the_detector_took_for_lines_that_run_down_is_taken_apart() -> None:
    pixels, quads = drawn(NUMBER, style=Print(pitch=1.25))
    [column] = columns_of(pixels, [merged(quads[:4]), merged(quads[4:10]), quads[10]])
    assert is_on(column, quads)


@pytest.mark.parametrize("missed", [{10}, {0, 10}, {4, 5, 10}, {0, 1, 2, 3}])
def test_what_the_detector_missed_is_found(missed: set[int]) -> None:
    pixels, quads = drawn(NUMBER, style=Print(gap=1.2))
    [column] = columns_of(pixels, [quad for place, quad in enumerate(quads) if place not in missed])
    assert is_on(column, quads)


def test_letters_that_touch_are_two() -> None:
    pixels, quads = drawn("QQJU 676540 0", style=Print(pitch=1.12))
    found_columns = columns_of(pixels, quads)
    assert any(len(column.cells) == 11 and is_on(column, quads) for column in found_columns)


def test_two_columns_beside_each_other_are_two() -> None:
    pixels, quads = drawn(NUMBER, "HLXU 100000 9", beside=["MGW 32500 KG", "71650 LB"])
    columns = sorted(columns_of(pixels, quads), key=lambda column: float(column.upright.quad[0][0]))
    assert [is_on(column, part) for column, part in zip(columns, (quads[:11], quads[11:]), strict=True)] == [True, True]


def test_rows_of_letters_and_short_columns_are_none() -> None:
    pixels, quads = drawn("ABCDEF")
    assert columns_of(pixels, quads) == []
    rows = [quad for row in range(6) for quad in [rectangle_of(40 + 60 * place, 50 + 60 * row) for place in range(8)]]
    assert columns_of(np.full((500, 600, 3), 255, dtype=np.uint8), rows) == []
    assert columns_of(pixels, []) == []


def rectangle_of(left: float, top: float) -> Points:
    return np.array([(left, top), (left + 30, top), (left + 30, top + 40), (left, top + 40)])


def reading(column: Column, text: str, *, upside_down: bool = False, sure: float = 0.99) -> ReadLine:
    characters = tuple(Character(one, sure, (place + 0.5) / len(text)) for place, one in enumerate(text))
    return ReadLine(column.region, text, sure, upside_down, characters)


def alone(region: TextRegion, text: str, sure: float = 0.99) -> ReadLine:
    return ReadLine(region, text, sure, upside_down=False, characters=(Character(text, sure, 0.5),))


@pytest.fixture(scope="module")
def column() -> Column:
    pixels, quads = drawn(NUMBER)
    [one] = columns_of(pixels, quads)
    return one


def fields_of(lines: Sequence[ReadLine]) -> list[tuple[str, str, str]]:
    return found(PageText(900, 2000, tuple(place_lines(lines, 900, 2000, PipelineOptions()))), "iso6346", "ilu")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("MSCU6765400", "iso6346", "MSCU6765400"),
        ("MSCU676540O", "iso6346", "MSCU6765400"),
        ("mscu67654 00", "iso6346", "MSCU6765400"),
        ("0OLU1001009", "iso6346", "OOLU1001009"),
        ("MSCU676540022G1", "iso6346", "MSCU6765400"),
    ],
)
def test_a_column_that_reads_as_a_containers_number_takes_its_place(
    column: Column, text: str, kind: str, value: str
) -> None:
    members = [alone(region, "7") for region in column.members]
    other = alone(TextRegion(rectangle_of(700, 50), 0.9), "X")
    lines = with_columns([*members, other], [column], [reading(column, text)])
    assert [line.region for line in lines] == [other.region, column.upright]
    assert fields_of(lines) == [(kind, value, "passed")]


@pytest.mark.parametrize("text", ["MSCU6765401", "MSCX6765400", "MSCU676540", "6765400", "", "MSXU6765400"])
def test_any_other_column_stays_as_it_was_read(column: Column, text: str) -> None:
    members = [alone(region, "7") for region in column.members]
    assert with_columns(members, [column], [reading(column, text)]) == members


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_columns_text_begins_at_its_head(column: Column, *, upside_down: bool) -> None:
    lines = with_columns([], [column], [reading(column, "MSCU6765400", upside_down=upside_down)])
    [line] = place_lines(lines, 900, 2000, PipelineOptions())
    assert line.text == "MSCU 676540 0"
    assert "".join(character.text for character in line.characters) == line.text
    assert line.rotation_degrees == (180.0 if upside_down else 0.0)
    top_left, top_right, _, bottom_left = line.polygon
    assert (top_left[1] > bottom_left[1]) == (top_left[0] > top_right[0]) == upside_down


def test_what_was_read_alone_for_the_same_confirms_a_character(column: Column) -> None:
    unsure = reading(column, "MSCU6765400", sure=0.7)
    assert fields_of(with_columns([], [column], [unsure]))[0][2] == "none"
    sure = [alone(region, text) for region, text in zip(column.members, "MSCU6765400", strict=True)]
    assert fields_of(with_columns(sure, [column], [unsure]))[0][2] == "passed"
    others = [alone(region, text) for region, text in zip(column.members, "XXXXXXXXXXX", strict=True)]
    assert fields_of(with_columns(others, [column], [unsure]))[0][2] == "none"
