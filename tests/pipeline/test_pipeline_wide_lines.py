"""A line longer than the widest bucket is read in pieces, and no character is lost or doubled."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.domain.image import Character, PageImage, TextRegion
from worker.domain.manifest import ModelRole
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import LineShape, load_models
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.crop import crop_line, rotated_180
from worker.pipeline.recognize.ctc import Spelling, spell
from worker.pipeline.recognize.join import LinePiece, join_pieces
from worker.pipeline.recognize.read import LineReader, ReadLine
from worker.testing.backend import FakeBackend
from worker.testing.block_font import CHARACTERS, BlockLine, draw_blocks
from worker.testing.clock import ManualClock

SHAPE = LineShape(height=48, pad_value=127, stride=8, bucket_widths=(96, 320, 640))
READABLE = CHARACTERS.replace(" ", "")  # a line's own spaces are tried by themselves


def page_of(text: str, shift: int, quarters: int, height: int) -> tuple[PageImage, TextRegion]:
    """A long line that begins `shift` pixels after its region does, turned clockwise, and its region."""
    width = height * len(text) + shift
    pixels = draw_blocks([BlockLine(text, 10 + shift, 10, height)], width=width + 20, height=height + 20)
    quad = np.array([[10, 10], [10 + width, 10], [10 + width, 10 + height], [10, 10 + height]], dtype=np.float64)
    for _ in range(quarters):
        quad = np.column_stack([pixels.shape[0] - quad[:, 1], quad[:, 0]])
        pixels = np.ascontiguousarray(np.rot90(pixels, -1))
    if quarters >= 2:  # a region's first edge runs to the right or down; the text in it stands on its head
        quad = np.roll(quad, -2, axis=0)
    return PageImage(pixels), TextRegion(quad, 1.0)


def read(page: PageImage, region: TextRegion, backend: FakeBackend) -> ReadLine:
    async def run() -> list[ReadLine]:
        models = await load_models(backend)
        requests = PageRequests(backend, ManualClock(), timeout_seconds=10, request_id="")
        return await LineReader(models, requests, PipelineOptions()).read(crop_line(page, region, models.line))

    (line,) = asyncio.run(run())
    return line


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(READABLE, min_size=5, max_size=90) | st.text("17", min_size=30, max_size=90),
    shift=st.integers(0, 100),
    quarters=st.integers(0, 3),
    height=st.sampled_from([24, 48]),
    widest=st.sampled_from([320, 640, 1280]),
)
@example(text="1" * 80, shift=7, quarters=2, height=48, widest=320)
def test_a_long_line_is_read_whole(text: str, shift: int, quarters: int, height: int, widest: int) -> None:
    backend = FakeBackend(buckets=[width for width in (96, 192, 320, 640, 1280) if width <= widest])
    page, region = page_of(text, shift, quarters, height)
    line = read(page, region, backend)
    assert line.text == text
    assert "".join(character.text for character in line.characters) == text
    assert line.upside_down is (quarters >= 2)
    cell = 48 / (48 * len(text) + shift * 48 / height)
    expected = [1 - cell * (len(text) - place - 0.4) for place in range(len(text))]
    assert [character.position for character in line.characters] == pytest.approx(expected, abs=0.4 * cell)


def test_only_lines_over_the_widest_bucket_are_cut() -> None:
    page, region = page_of("AB" * 13, 0, 0, 48)
    backend = FakeBackend()
    assert read(page, region, backend).text == "AB" * 13
    assert sum(backend.lines_sent(ModelRole.RECOGNIZER)) == 1
    page, region = page_of("AB" * 15, 0, 0, 48)
    assert read(page, region, backend).text == "AB" * 15
    assert sum(backend.lines_sent(ModelRole.RECOGNIZER)) == 3


@settings(max_examples=30, deadline=None)
@given(width=st.floats(10, 8_000))
def test_pieces_cover_the_line_and_share_two_heights(width: float) -> None:
    quad = np.array([[5, 5], [5 + width, 5], [5 + width, 29], [5, 29]], dtype=np.float64)
    crops = crop_line(PageImage(np.zeros((40, 60, 3), dtype=np.uint8)), TextRegion(quad, 1.0), SHAPE)
    assert crops[0].span[0] == 0.0
    assert crops[-1].span[1] == 1.0
    assert all(crop.bucket in SHAPE.bucket_widths for crop in crops)
    for left, right in pairwise(crops):
        assert (left.span[1] - right.span[0]) * 2 * width > 96 - 1
    if len(crops) > 1:
        needed = (2 * width - 96) / (640 - 96)
        assert needed <= len(crops) < needed + 1.01
        assert np.ptp([crop.content_width for crop in crops]) <= 1


def test_a_turned_crop_is_padded_on_the_right_and_turned_back_the_same() -> None:
    page, region = page_of("ABC", 0, 0, 24)
    (crop,) = crop_line(page, region, LineShape(48, 127, 8, (320,)))
    over = rotated_180(crop, 127)
    np.testing.assert_array_equal(over.pixels[:, : crop.content_width], crop.pixels[::-1, crop.content_width - 1 :: -1])
    assert (over.pixels[:, crop.content_width :] == 127).all()
    np.testing.assert_array_equal(rotated_180(over, 127).pixels, crop.pixels)


def spelling(text: str, *positions: float, confidence: float = 0.9) -> Spelling:
    return spell([Character(*entry) for entry in zip(text, [confidence] * len(text), positions, strict=True)])


def joined(left: Spelling, right: Spelling) -> str:
    """Join two pieces that share the line's middle fifth."""
    return join_pieces([LinePiece(left, (0.0, 0.6)), LinePiece(right, (0.4, 1.0))], 0.1).text


def test_what_a_cut_left_of_a_character_is_never_taken() -> None:
    assert joined(spelling("ABCI", 0.2, 0.5, 0.8, 0.99), spelling("(CDE", 0.01, 0.13, 0.5, 0.9)) == "ABCDE"


def test_where_the_pieces_differ_the_surer_character_is_taken() -> None:
    left, right = spelling("AO", 0.5, 0.83), spelling("0B", 0.17, 0.6, confidence=0.95)
    assert joined(left, right) == "A0B"
    assert joined(left, spelling("0B", 0.17, 0.6, confidence=0.85)) == "AOB"


def test_without_a_pair_the_middle_decides() -> None:
    assert joined(spelling("AX", 0.5, 0.76), spelling("B", 0.5)) == "AXB"
    assert joined(spelling("AXY", 0.5, 0.7, 0.95), spelling("B", 0.5)) == "AXB"


def test_pieces_that_read_as_nothing_join() -> None:
    nothing = spell([])
    assert join_pieces([LinePiece(nothing, (0.0, 0.6)), LinePiece(nothing, (0.4, 1.0))], 0.1).text == ""
    assert joined(nothing, spelling("B", 0.5)) == "B"
    assert joined(spelling("A", 0.5), nothing) == "A"
