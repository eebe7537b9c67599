"""The extraction as a whole, on any text at all."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.extract.pages import code, page
from worker.domain.fields import Source
from worker.domain.image import PageText, TextLine
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.options import FieldOptions

OPTIONS = FieldOptions(phone_region="DE")

WORDS = st.sampled_from(
    ["SSCC", "1Z", "999", "AA1", "(00)", "106141412345678908", "GTIN", "020-", "81140743", "FedEx", "TRK#", "RB", "GB"]
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text("0123456789OIl |-./()²٣５", max_size=30),
    st.lists(WORDS, max_size=8).map(" ".join),
    st.lists(WORDS, max_size=8).map("".join),
)


@st.composite
def any_page(draw: st.DrawFn) -> PageText:
    lines = []
    for text in draw(st.lists(TEXTS, max_size=12)):
        left, top = draw(st.floats(0, 800)), draw(st.floats(0, 800))
        width, height, angle = draw(st.floats(0, 400)), draw(st.floats(0, 60)), draw(st.floats(0, 2 * math.pi))
        along = np.array([math.cos(angle), math.sin(angle)])
        down = np.array([-along[1], along[0]])
        corner = np.array([left, top])
        quad = np.array(
            [corner, corner + width * along, corner + width * along + height * down, corner + height * down]
        )
        lines.append(TextLine(text, draw(st.floats(0, 1)), quad, math.degrees(angle) % 360))
    codes = [
        code(draw(st.sampled_from(["Code128", "EAN13", "ITF"])), text) for text in draw(st.lists(TEXTS, max_size=3))
    ]
    odd = [code("Code128", "(00)²", ("00", "²"))] if draw(st.booleans()) else []
    return PageText(1000, 1000, tuple(lines), (*codes, *odd))


@given(any_page())
@settings(max_examples=150, deadline=None)
def test_any_text_gives_fields_that_point_at_it(of: PageText) -> None:
    fields = extract(of, OPTIONS)

    assert fields == extract(of, OPTIONS)
    for field in fields:
        assert all(0 <= line < len(of.lines) for line in field.line_ids)
        assert all(0 <= number < len(of.barcodes) for number in field.barcode_ids)
        assert bool(field.line_ids) == (field.source is not Source.BARCODE)
        assert bool(field.barcode_ids) == (field.source is not Source.TEXT)
        assert 0 <= field.confidence <= 1
        assert field.value


def test_fields_stand_in_reading_order_and_those_of_barcodes_last() -> None:
    label = page(
        "1Z5R89390357567127",
        "SSCC 106141412345678908 GTIN 4006381333931",
        barcodes=[code("Code128", "RB123456785GB")],
    )
    assert [field.type for field in extract(label, FieldOptions())] == ["ups_1z", "sscc", "gtin", "s10"]


def test_a_page_without_text_has_no_fields() -> None:
    assert extract(PageText(10, 10), OPTIONS) == ()
