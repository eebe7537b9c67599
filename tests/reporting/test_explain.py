"""What `labelwire ocr --explain` says."""

import io

import pytest
from rich.console import Console

from worker.domain.geometry import Transform
from worker.domain.result import LabelText, Line, Page, Quality, SourceCoordinate, SourceImage
from worker.pipeline.explanation import PageSearch, rectangle
from worker.reporting.explain import explain


def said(page: Page, search: PageSearch) -> str:
    result = LabelText(
        job_id="j",
        result_id="r",
        image=SourceImage(sha256="0" * 64, size_bytes=1, format="png"),
        pages=(page,),
        models={},
        timing_ms={"decode": 10.0, "read": 30.0},
        source=SourceCoordinate(topic="file", partition=0, offset=0),
        attempt=1,
    )
    out = io.StringIO()
    Console(file=out, width=200).print(explain("a.png", result, [search]))
    return out.getvalue()


def test_a_search_is_said_in_figures() -> None:
    line = Line(id=0, text="X", confidence=1, polygon=((0, 0), (1, 0), (1, 1), (0, 1)), rotation=0)
    quality = Quality(score=0.25, measures={"blur_pixels": 7.5}, problems=("blur_pixels",))
    page = Page(width=1000, height=500, lines=(line,), quality=quality)
    words = said(page, PageSearch(0.5, ((0, 0, 250, 500), (250, 0, 500, 500)), streamed=True))
    assert "1000 x 500 pixels, decoded strip by strip, searched at scale 0.50 in 2 tiles that show 50% of it" in words
    assert "quality: 0.25 (blur_pixels 7.5); under their floor: blur_pixels" in words
    decode, read = (next(row for row in words.splitlines() if row.startswith(stage)) for stage in ("decode", "read"))
    assert read.count("█") == 3 * decode.count("█") == 30


def test_a_page_on_its_side_says_so() -> None:
    words = said(Page(width=10, height=10), PageSearch(1.0, (), sideways=True))
    assert "turned by 90 degrees because the text runs down in 0 tiles that show 0% of it" in words
    assert "quality: not measured" in words
    assert "decoded strip by strip" not in words


@pytest.mark.parametrize("corners", [(1.0, 2.0, 3.0, 5.0)])
def test_a_rectangle_keeps_its_edges_in_order(corners: tuple[float, float, float, float]) -> None:
    half_turn = Transform.scale_then_shift(-2.0, -2.0, 10.0, 20.0)
    assert rectangle(corners, half_turn) == (4.0, 10.0, 8.0, 16.0)
