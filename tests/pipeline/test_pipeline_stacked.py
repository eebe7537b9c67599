"""Characters one below another are one line; a table's column is not."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.extract.pages import found
from worker.domain.image import Character, PageText, TextLine
from worker.pipeline.layout.stacked import join_stacked

CODE = "MSKU3070079"


def line(
    text: str, left: float, top: float, width: float, height: float = 36, degrees: float = 0.0, sure: float = 0.9
) -> TextLine:
    quad = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], dtype=float)
    characters = tuple(Character(character, sure, 0.5) for character in text)
    return TextLine(text, 0.9, turned(quad, degrees), degrees % 360, characters)


def turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    return np.asarray(points @ turn.T, dtype=np.float64)


def column(text: str, degrees: float = 0.0, pitch: float = 44, left: float = 80) -> list[TextLine]:
    return [
        line(character, left + place % 3, 50 + pitch * place, 20 + place % 9, degrees=degrees)
        for place, character in enumerate(text)
    ]


@pytest.mark.parametrize("degrees", [0.0, 10.0, 90.0, 180.0, 275.0])
@pytest.mark.parametrize("pitch", [34, 44, 60])
def test_a_column_of_characters_is_one_line(degrees: float, pitch: float) -> None:
    others = [line("WEIGHT 12345 KG", 250, 70 + 97 * row, 400, degrees=degrees) for row in range(5)]
    lines = [*column(CODE, degrees, pitch)[::-1], *others]
    joined = join_stacked(lines)
    assert [found.text for found in joined] == ["WEIGHT 12345 KG"] * 5 + [CODE]
    assert "".join(character.text for character in joined[-1].characters) == CODE
    assert joined[-1].rotation_degrees == degrees
    expected = turned(np.array([[80, 50], [110, 50], [110, 86 + 10 * pitch], [80, 86 + 10 * pitch]]), degrees)
    np.testing.assert_allclose(joined[-1].polygon, expected, atol=2.0)


def container(
    text: str = "MSCU 676540 0", degrees: float = 0.0, gap: float = 20, left: float = 80, top: float = 50
) -> list[TextLine]:
    """Return a column with a gap where the text has a space."""
    places = np.cumsum([gap if character == " " else 44 for character in text])
    kept = [(character, place) for character, place in zip(text, places.tolist(), strict=True) if character != " "]
    return [line(one, left + place % 3, top + place, 20 + place % 9, degrees=degrees, sure=0.99) for one, place in kept]


@pytest.mark.parametrize("degrees", [0.0, 90.0, 185.0])
@pytest.mark.parametrize("gap", [12, 20, 40, 60])
def test_the_groups_of_a_containers_number_are_one_line(degrees: float, gap: float) -> None:
    [joined] = join_stacked(container(degrees=degrees, gap=gap))
    assert joined.text == "MSCU 676540 0"
    assert "".join(character.text for character in joined.characters) == joined.text
    page = PageText(900, 900, (joined,))
    assert found(page, "iso6346") == [("iso6346", "MSCU6765400", "passed")]


def test_a_gap_that_is_too_wide_ends_a_column() -> None:
    assert [one.text for one in join_stacked(container(gap=100))] == ["0", "MSCU", "676540"]


def test_what_stands_below_a_containers_number_goes_on() -> None:
    [joined] = join_stacked(container("MSCU 676540 0 22G1"))
    assert found(PageText(900, 900, (joined,)), "iso6346") == [("iso6346", "MSCU6765400", "passed")]


@pytest.mark.parametrize("apart", [70, 140])
def test_two_columns_beside_each_other_are_two_lines(apart: float) -> None:
    lines = [*container(), *container("HLXU 100000 9", left=80 + apart)]
    assert sorted(one.text for one in join_stacked(lines)) == ["HLXU 100000 9", "MSCU 676540 0"]


def test_letters_of_rows_are_no_columns() -> None:
    lines = [*column("ABCDEF"), *column("GHIJKL", left=120), *column("MNOPQR", left=160)]
    assert join_stacked(lines) == lines


@pytest.mark.parametrize(
    ("text", "joined"), [("MSCU 676540 0", True), ("ATBE 100309 1", True), ("MSCU 676540 1", False)]
)
def test_a_containers_number_with_its_check_digit_is_one_whatever_stands_beside(text: str, *, joined: bool) -> None:
    characters = container(text)
    beside = [line("MGW 32500 KG", 300, float(one.polygon[0][1]) + 2, 200) for one in characters]
    assert (text in {one.text for one in join_stacked([*characters, *beside])}) is joined


def test_a_character_that_was_taken_to_lie_stands_as_the_others() -> None:
    characters = container()
    fallen = [
        TextLine(one.text, 0.9, np.roll(one.polygon, -1, axis=0), 90.0, one.characters) if place in {2, 7} else one
        for place, one in enumerate(characters)
    ]
    [joined] = join_stacked(fallen)
    assert joined.text == "MSCU 676540 0"


def test_quantities_of_a_table_stay_apart() -> None:
    rows = [
        entry
        for place, character in enumerate("1211311")
        for entry in (line(character, 80, 50 + 44 * place, 20), line("ITEM 4.50", 300, 52 + 44 * place, 200))
    ]
    assert join_stacked(rows) == rows


@pytest.mark.parametrize(
    "lines",
    [
        column("ABC"),
        [line(character, 80, 50 + 44 * place + 30 * (place > 1), 20) for place, character in enumerate("ABCD")],
        [line(character, 80 + 25 * place, 50 + 44 * place, 20) for place, character in enumerate("ABCDE")],
        [line("AB", 80, 50 + 44 * place, 40) for place in range(6)],
        [],
    ],
    ids=["three", "uneven", "slanting", "words", "none"],
)
def test_what_is_no_column_stays_apart(lines: list[TextLine]) -> None:
    assert join_stacked(lines) == lines
