import numpy as np
import pytest

from worker.domain.image import PageImage
from worker.domain.result import Barcode, Line, Page
from worker.reporting.draw import COLORS, draw_page


def paper(width: int, height: int) -> PageImage:
    return PageImage(np.full((height, width, 3), 255, np.uint8))


def line(number: int, left: float, top: float, *, confidence: float = 0.99, text: str = "ABC") -> Line:
    right, bottom = left + 100, top + 20
    return Line(
        id=number,
        text=text,
        confidence=confidence,
        polygon=((left, top), (right, top), (right, bottom), (left, bottom)),
        rotation=0,
    )


def drawn(page: PageImage, *lines: Line) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(draw_page(page, Page(width=page.width, height=page.height, lines=lines)), dtype=np.uint8)


def colored(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], color: tuple[int, int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    return np.argwhere((pixels == color).all(axis=-1))


@pytest.mark.parametrize(("confidence", "kind"), [(0.99, "sure"), (0.8, "doubtful"), (0.3, "unsure")])
def test_a_box_lies_where_its_polygon_lies_in_the_colour_of_its_confidence(confidence: float, kind: str) -> None:
    pixels = drawn(paper(1000, 600), line(0, 400, 200, confidence=confidence))
    beyond_the_tag = colored(pixels[:, 430:1000], COLORS[kind])
    assert beyond_the_tag.min(axis=0).tolist() == pytest.approx([199, 0], abs=1.5)
    assert beyond_the_tag.max(axis=0).tolist() == pytest.approx([220, 70], abs=1.5)
    assert colored(pixels[:, 380:396], COLORS[kind]).size > 0


def test_boxes_follow_the_scale_of_a_large_page() -> None:
    pixels = drawn(paper(3200, 1000), line(0, 2000, 400))
    beyond_the_tag = colored(pixels[:, 1020:1600], COLORS["sure"])
    assert pixels.shape[0] == 500
    assert beyond_the_tag.min(axis=0).tolist() == pytest.approx([199, 0], abs=1.5)
    assert beyond_the_tag.max(axis=0).tolist() == pytest.approx([210, 30], abs=1.5)


def test_the_text_stands_beside_the_picture_and_long_text_is_cut() -> None:
    short = drawn(paper(900, 600), line(0, 10, 10))
    long = drawn(paper(900, 600), line(0, 10, 10, text="W" * 4000))
    assert 1000 < short.shape[1] < long.shape[1] < 900 + 700
    assert (short[:, 905:] < 100).any()


def test_a_blank_page_says_so() -> None:
    pixels = drawn(paper(1, 1))
    assert (pixels[:, 5:] < 200).any()


def test_many_lines_flow_into_columns() -> None:
    few = drawn(paper(900, 600), *(line(number, 10, 10) for number in range(20)))
    many = drawn(paper(900, 600), *(line(number, 10, 10) for number in range(200)))
    assert many.shape[1] > few.shape[1] + 400
    assert many.shape[0] <= 700


def test_symbols_are_boxed_and_listed_with_what_they_say() -> None:
    symbol = Barcode(id=0, format="QRCode", text="W" * 30, polygon=((400, 200), (500, 200), (500, 300), (400, 300)))
    with_code = Page(width=1000, height=600, barcodes=(symbol,))
    pixels = np.asarray(draw_page(paper(1000, 600), with_code), dtype=np.uint8)
    violet = colored(pixels[:, 430:1000], (96, 68, 176))
    assert violet.min(axis=0).tolist() == pytest.approx([199, 0], abs=1.5)
    assert violet.max(axis=0).tolist() == pytest.approx([300, 70], abs=1.5)
    assert (pixels[:, 1010:] < 100).any()
