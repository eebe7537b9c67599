"""A reading that was kept makes the same result as the reading itself; what is no reading is not taken for one."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.parts import PICTURE, record
from worker.domain.barcode import DecodedBarcode, GS1Element
from worker.domain.errors import RejectedEntryError, Stage
from worker.domain.fields import Check, Field, Source
from worker.domain.geometry import Points
from worker.domain.image import Character, ImageFormat, ImageHeader, PageHeader, PageText, TextLine
from worker.domain.job import parse_job
from worker.domain.quality import PageQuality
from worker.domain.result import LabelText
from worker.pipeline.pipeline import PictureReading
from worker.runtime.model_client import ReadingSource, RoutedReading
from worker.runtime.results import label_text
from worker.runtime.stored_reading import decode, encode

LIMIT = 64 * 1024
HEADER = ImageHeader(ImageFormat.PNG, (PageHeader(240, 120),))
QUAD = np.array([[0.1, 0.2], [30.04999999, 0.2], [30.05, 12.3], [0.1, 12.25]])
PAGE = PageText(
    240,
    120,
    lines=(TextLine("SSCC ßü\u2028\x01", 0.98765, QUAD, 359.96, (Character("S", 0.9, 0.1, (("5", 0.1),)),)),),
    barcodes=(DecodedBarcode("Code128", "(00)1", QUAD + 7, (GS1Element("00", "1", valid=False),)),),
    fields=(Field("sscc", "1", "I", 0.5, Check.PASSED, Source.BOTH, (0,), (0,), repaired=True, conflict=True),),
    quality=PageQuality(0.7, {"blur": 0.25}, ("blur",)),
)

number = st.floats(allow_nan=False, allow_infinity=False, width=64)
share = st.floats(0, 1)
text = st.text(st.characters(codec="utf-8"), max_size=20)
quad = st.lists(number, min_size=8, max_size=8).map(lambda flat: np.array(flat).reshape(4, 2))
ids = st.lists(st.integers(0, 100), max_size=3).map(tuple)
page = st.builds(
    PageText,
    st.integers(1, 65535),
    st.integers(1, 65535),
    st.lists(st.builds(TextLine, text, share, quad, number), max_size=4).map(tuple),
    st.lists(
        st.builds(
            DecodedBarcode, text, text, quad, st.lists(st.builds(GS1Element, text, text, st.booleans())).map(tuple)
        ),
        max_size=2,
    ).map(tuple),
    st.lists(
        st.builds(
            Field, text, text, text, share, st.sampled_from(Check), st.sampled_from(Source), ids, ids, st.booleans()
        ),
        max_size=3,
    ).map(tuple),
    st.none() | st.builds(PageQuality, share, st.dictionaries(text, number, max_size=3), st.lists(text).map(tuple)),
)


def result_of(pages: tuple[PageText, ...]) -> LabelText:
    job = record(PICTURE)
    reading = PictureReading(pages, {Stage.READ: 0.1})
    return label_text(job, parse_job(job), HEADER, RoutedReading(reading, ReadingSource({}, "")), 1)


def in_corners(corners: Points) -> list[list[float]]:
    listed: list[list[float]] = corners.tolist()
    return listed


def test_a_kept_reading_makes_the_same_result() -> None:
    pages = (PAGE, PageText(10, 10))
    assert result_of(decode(encode(pages, LIMIT), LIMIT)) == result_of(pages)


@given(st.lists(page, min_size=1, max_size=3).map(tuple))
def test_all_that_a_result_holds_comes_back_exactly(pages: tuple[PageText, ...]) -> None:
    back = decode(encode(pages, 10**7), 10**7)
    assert [_plain(page) for page in back] == [_plain(page) for page in pages]


def _plain(page: PageText) -> tuple[object, ...]:
    lines = [(line.text, line.confidence, in_corners(line.polygon), line.rotation_degrees) for line in page.lines]
    codes = [(code.format, code.text, in_corners(code.polygon), code.elements) for code in page.barcodes]
    return page.width, page.height, lines, codes, page.fields, page.quality


def test_a_reading_over_the_limit_is_not_kept() -> None:
    chance = np.random.default_rng(3)
    lines = tuple(replace(PAGE.lines[0], polygon=chance.random((4, 2)) * 1000) for _ in range(200))
    value = encode((replace(PAGE, lines=lines),), LIMIT)
    assert encode((replace(PAGE, lines=lines),), len(value)) == value
    with pytest.raises(RejectedEntryError, match=rf"takes {len(value)} bytes, over the limit of {len(value) - 1}"):
        encode((replace(PAGE, lines=lines),), len(value) - 1)
    with pytest.raises(RejectedEntryError, match=r"over the limit of 1000"):
        decode(value, 1000)


def test_what_grows_too_much_is_neither_kept_nor_unpacked() -> None:
    endless = replace(PAGE, lines=tuple([PAGE.lines[0]] * 20_000))
    with pytest.raises(RejectedEntryError, match="over the limit of 65536"):
        encode((endless,), 4096)
    bomb = zlib.compress(b" " * 50_000_000)
    with pytest.raises(RejectedEntryError, match="cut off, or larger"):
        decode(bomb, LIMIT)


def test_a_reading_without_a_stored_form_is_not_kept() -> None:
    for wrong in (replace(PAGE.lines[0], text="\ud800"), replace(PAGE.lines[0], confidence=float("nan"))):
        with pytest.raises(RejectedEntryError, match="has no stored form"):
            encode((replace(PAGE, lines=(wrong,)),), LIMIT)


def changed(**change: object) -> bytes:
    document = json.loads(zlib.decompress(encode((PAGE,), LIMIT)))
    document["pages"][0] |= change
    return zlib.compress(json.dumps(document).encode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        encode((PAGE,), LIMIT)[:-1],
        encode((PAGE,), LIMIT) + b"x",
        zlib.compress(b"{}"),
        zlib.compress(b'{"schema": "labelwire.stored-reading/2", "pages": []}'),
        zlib.compress(b'{"schema": "labelwire.stored-reading/1", "pages": []}'),
        zlib.compress(b"[" * 10_000),
        zlib.compress(b"\xff"),
        changed(width=0),
        changed(more=1),
        changed(lines=[{"text": "A", "confidence": 1.5, "polygon": [[0, 0]] * 4, "rotation_degrees": 0}]),
        changed(lines=[{"text": "A", "confidence": 0.5, "polygon": [[0, 0]] * 3, "rotation_degrees": 0}]),
        changed(quality={"score": 2, "measures": {}}),
    ],
)
def test_what_is_no_reading_is_rejected(value: bytes) -> None:
    with pytest.raises(RejectedEntryError):
        decode(value, LIMIT)


def test_the_changed_forms_would_be_right_without_the_change() -> None:
    assert result_of(decode(changed(), LIMIT)) == result_of((PAGE,))
