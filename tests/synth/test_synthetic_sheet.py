import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.errors import LabelwireError
from worker.lab.synth import fonts
from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.draw import WHITE, Align, Sheet, Style
from worker.lab.synth.fonts import Face

texts = st.text(alphabet="ABCGJQRTWabcgjpqy0123456789-/(). é", min_size=1, max_size=24).filter(
    lambda text: text == text.strip() and any(mark.isalnum() for mark in text)
)
scales = st.floats(0.7, 2.2)
families = st.sampled_from([fonts.ROBOTO, fonts.ROBOTO_BLACK, fonts.HANKEN, fonts.SOURCE_SANS, fonts.SOURCE_SERIF])


def _ink_box(sheet: Sheet) -> tuple[int, int, int, int]:
    ink = sheet.pixels[..., 0] < 255
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@given(texts, scales, families, st.sampled_from(Align), st.floats(20, 80), st.sampled_from([1.0, 0.88]))
@settings(max_examples=60, deadline=None)
def test_a_line_is_the_box_of_its_ink(
    text: str, scale: float, family: fonts.Family, align: Align, size: float, stretch: float
) -> None:
    sheet = Sheet(1400, 300, scale)
    sheet.text(700, 150, text, Style(family.bold, size, stretch), align=align, max_width=600)
    left, top, right, bottom = _ink_box(sheet)
    [line] = sheet.lines
    assert line.text == text
    assert line.polygon == ((left, top), (right, top), (right, bottom), (left, bottom))
    assert right - left <= 600 * scale + 4


@given(texts, st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_turned_text_starts_at_its_own_top_left(text: str, quarter_turns: int) -> None:
    sheet = Sheet(1200, 1200, 1.0)
    sheet.text_turned(20, 20, text, Style(fonts.ROBOTO.bold, 40), quarter_turns)
    left, top, right, bottom = _ink_box(sheet)
    box = [(left, top), (right, top), (right, bottom), (left, bottom)]
    [line] = sheet.lines
    assert list(line.polygon) == box[quarter_turns:] + box[:quarter_turns]


def test_a_quarter_turn_runs_downwards() -> None:
    level, turned = Sheet(300, 300, 1.0), Sheet(300, 300, 1.0)
    level.text_turned(10, 10, "L", Style(fonts.ROBOTO.bold, 80), 0)
    turned.text_turned(10, 10, "L", Style(fonts.ROBOTO.bold, 80), 1)
    x0, y0, x1, y1 = _ink_box(level)
    assert np.array_equal(turned.pixels[10 : 10 + x1 - x0, 10 : 10 + y1 - y0], np.rot90(level.pixels[y0:y1, x0:x1], -1))


def test_text_too_long_for_its_room_is_narrowed_then_set_smaller() -> None:
    sheet = Sheet(1000, 400, 1.0)
    style = Style(fonts.ROBOTO.bold, 60)
    ends = [sheet.text(10, 100, "CONTAINER", style, max_width=max_width) for max_width in (None, 290, 120)]
    heights = [line.polygon[2][1] - line.polygon[0][1] for line in sheet.lines]
    assert ends[0] > ends[1] > ends[2]
    assert heights[0] == heights[1] > heights[2]


def test_white_text_is_seen_on_a_dark_band() -> None:
    sheet = Sheet(400, 100, 1.0)
    sheet.fill(0, 0, 400, 100)
    sheet.text(20, 70, "EXPRESS", Style(fonts.ROBOTO.bold, 60, ink=WHITE))
    (left, top), _, (right, bottom), _ = sheet.lines[0].polygon
    inside = sheet.pixels[int(top) : int(bottom), int(left) : int(right)]
    assert inside.max() == 255
    assert sheet.pixels.sum() == inside.sum()


def test_text_off_the_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves the sheet"):
        Sheet(100, 100, 1.0).text(80, 50, "TOO WIDE", Style(fonts.ROBOTO.bold, 40))


def test_a_missing_font_says_what_to_install() -> None:
    with pytest.raises(LabelwireError, match="in a checkout after make setup"):
        fonts.load(Face("font_that_is_nowhere", "Nowhere-Bold.ttf"), 20)


@pytest.mark.parametrize(
    "symbol",
    [
        Symbol(LabelSymbology.CODE_128, "1Z999AA10123456784"),
        Symbol(LabelSymbology.CODE_128, "(00)340123450000000018", gs1=True),
        Symbol(LabelSymbology.ITF, "09501101530003"),
        Symbol(LabelSymbology.QR_CODE, "AB 12"),
        Symbol(LabelSymbology.DATA_MATRIX, "RR473124829DE 10115", options={"force_square": True}),
        Symbol(LabelSymbology.PDF417, "4500001234|QLMU1234567", options={"columns": 4}),
        Symbol(LabelSymbology.MAXICODE, "1Z999AA10123456784 97201 US 1/1"),
    ],
    ids=lambda symbol: symbol.format_name,
)
def test_a_symbol_reads_back_from_its_corners(symbol: Symbol) -> None:
    sheet = Sheet(900, 400, 1.0)
    sheet.symbol(0, 0, 900, 400, symbol)
    [barcode] = sheet.barcodes
    (left, top), _, (right, bottom), _ = barcode.polygon
    assert _ink_box(sheet) == (left, top, right, bottom)
    [read] = zxingcpp.read_barcodes(sheet.pixels)
    assert read.text == barcode.value == symbol.content
