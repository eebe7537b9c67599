"""Characters one below another are one line; a table's column is not."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.domain.image import Character, TextLine
from worker.pipeline.stacked import join_stacked

CODE = "MSKU3070079"


def line(text: str, left: float, top: float, width: float, height: float = 36, degrees: float = 0.0) -> TextLine:
    quad = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], dtype=float)
    characters = tuple(Character(character, 0.9, 0.5) for character in text)
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
