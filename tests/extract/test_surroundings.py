"""What stands around a line, whichever way the page lies."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from worker.domain.image import PageText, TextLine
from worker.pipeline.extract.neighbors import CaptionSide, Neighbors
from worker.pipeline.extract.text_span import Span

Box = tuple[str, float, float, float, float]  # text, left, top, width, height


def page_of(boxes: Sequence[Box], degrees: float = 0.0) -> PageText:
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    lines = []
    for text, left, top, width, height in boxes:
        corners = np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
        lines.append(TextLine(text, 0.99, corners @ turn.T + 2000, degrees % 360))
    return PageText(4000, 4000, tuple(lines))


def whole(page: PageText, line_id: int) -> Span:
    return Span(line_id, 0, len(page.lines[line_id].text))


FORM = (
    ("Sender", 20, 0, 90, 20),
    ("Air Waybill No.", 20, 30, 150, 18),
    ("Container No", 400, 30, 150, 18),
    ("020-1234 5675", 20, 52, 300, 40),
    ("QLMU 123456 7", 400, 52, 300, 40),
    ("Ref", 20, 140, 40, 20),
    ("Nr.", 66, 140, 30, 20),
    ("A-77", 110, 140, 60, 20),
)


@pytest.mark.parametrize("degrees", [0.0, 7.0, -12.0, 90.0, 180.0, 274.0])
def test_captions_are_found_whichever_way_the_page_lies(degrees: float) -> None:
    page = page_of(FORM, degrees)
    around = Neighbors.of(page)

    assert [(c.text, c.side) for c in around.captions(whole(page, 3))][:1] == [("AIR WAYBILL NO.", CaptionSide.ABOVE)]
    assert [(c.text, c.side) for c in around.captions(whole(page, 4))][:1] == [("CONTAINER NO", CaptionSide.ABOVE)]
    assert [(c.text, c.side) for c in around.captions(whole(page, 7))][:2] == [
        ("NR.", CaptionSide.LEFT),
        ("REF", CaptionSide.LEFT),
    ]
    assert around.right_of(5) == (6, 7)
    assert around.right_of(6) == (7,)


def test_a_caption_in_the_line_comes_first_and_ends_where_the_value_begins() -> None:
    page = page_of([("Consignee", 20, 0, 90, 20), ("TRACKING #: 1Z 999", 20, 24, 300, 20)])
    captions = Neighbors.of(page).captions(Span(1, 12, 18))

    assert [(c.text, c.side) for c in captions] == [("TRACKING #:", CaptionSide.BEFORE)]


def test_a_value_in_the_middle_of_a_line_is_named_by_what_lies_over_it() -> None:
    page = page_of([("SSCC", 20, 0, 60, 20), ("AWB", 220, 0, 60, 20), ("00123 02012345675", 20, 24, 340, 20)])
    captions = Neighbors.of(page).captions(Span(2, 6, 17))

    assert [(c.text, c.side) for c in captions] == [("AWB", CaptionSide.ABOVE)]


def test_a_line_that_is_a_value_itself_names_nothing() -> None:
    page = page_of([("REF 2201345", 20, 0, 200, 20), ("123456789012", 20, 24, 200, 20)])

    assert Neighbors.of(page).captions(whole(page, 1)) == ()
    assert Neighbors.of(page).above(whole(page, 1)) == (0,)


def test_what_stands_far_off_names_nothing() -> None:
    page = page_of([("SSCC", 20, 0, 60, 20), ("123456789", 20, 60, 200, 20), ("AWB", 700, 60, 60, 20)])
    assert Neighbors.of(page).captions(whole(page, 1)) == ()


def test_text_that_runs_another_way_is_no_neighbour() -> None:
    upright, sideways = page_of([("AWB", 20, 0, 60, 20)]), page_of([("020-12345675", 20, 24, 200, 20)], 90.0)
    page = PageText(4000, 4000, (*upright.lines, *sideways.lines))

    assert Neighbors.of(page).captions(whole(page, 1)) == ()


def test_a_blank_page_has_no_surroundings() -> None:
    assert Neighbors.of(PageText(100, 100)).folded == ()
