"""Documents of which PDFium draws what is left are refused where a stream, or the table of objects, shows the loss."""

import base64
import re
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.pipeline.documents import DOCUMENTS, SHOWN, document, picture
from tests.pipeline.pictures import save
from tests.pipeline.test_damaged_jpeg import label
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.pdf_streams import check_streams
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.pipeline.page_claim import DamagedHeaderError

Damage = Callable[[bytes], bytes]


def read(data: bytes) -> Pixels:
    return decode(data, read_header(data, ImageLimits())).pixels


def middle(data: bytes) -> int:
    """The middle of the longest stream."""
    streams = [(start.end(), data.index(b"\nendstream", start.end())) for start in re.finditer(rb"\nstream\n", data)]
    start, stop = max(streams, key=lambda one: one[1] - one[0])
    return (start + stop) // 2


DAMAGE: dict[str, Damage] = {
    "bytes missing": lambda data: data[: middle(data)] + data[middle(data) + 30 :],
    "bytes twice": lambda data: data[: middle(data)] + data[middle(data) - 30 :],
    "line ends changed": lambda data: data.replace(b"\n", b"\r\n"),
    "half": lambda data: data[: middle(data)],
    "a hole from its middle to its object's end": lambda data: (
        data[: middle(data)] + data[data.index(b"endobj", middle(data)) :]
    ),
    "without the object of its content": lambda data: re.sub(rb"4 0 obj.*?endobj\n", b"", data, flags=re.DOTALL),
}
# What has codes that may be wrong, or a checksum.
OVERWRITTEN: dict[str, Damage] = {
    "zeros": lambda data: data[: middle(data)] + bytes(300) + data[middle(data) + 300 :],
    "noise": lambda data: data[: middle(data)] + np.random.default_rng(3).bytes(200) + data[middle(data) + 200 :],
}


# Text with other line ends is drawn as before.
LOSSES = [(kind, damage) for kind in DOCUMENTS for damage in DAMAGE if (kind, damage) != ("text", "line ends changed")]


@pytest.mark.parametrize(("kind", "damage"), LOSSES)
def test_a_document_that_lost_bytes_is_corrupt(kind: str, damage: str) -> None:
    with pytest.raises(JobError) as caught:
        read(DAMAGE[damage](DOCUMENTS[kind]()))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("damage", OVERWRITTEN)
@pytest.mark.parametrize("kind", ["dct", "flate", "fax", "packed text"])
def test_a_stream_that_was_overwritten_is_corrupt(kind: str, damage: str) -> None:
    with pytest.raises(JobError) as caught:
        read(OVERWRITTEN[damage](DOCUMENTS[kind]()))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def other_lengths(data: bytes) -> bytes:
    """With the line's end behind each stream counted, as many writers do."""
    return re.sub(rb"/Length (\d+)", lambda found: b"/Length %d" % (int(found[1]) + 1), data)


ODDITIES: dict[str, Damage] = {
    "no end": lambda data: data[: data.index(b"startxref")],
    "no table and no end": lambda data: data[: data.index(b"xref\n")] + data[data.index(b"trailer") :],
    "something before it": lambda data: b"HTTP/1.1 200 OK\n" + data,
    "something behind it": lambda data: data + b"LABELWIRE" * 9,
    "lengths that count the ends of lines": other_lengths,
    "a length that is wrong": lambda data: re.sub(rb"/Length \d", b"/Length 9", data),
    "a length that stands elsewhere": lambda data: re.sub(rb"/Length (\d+)", b"/Length 4 0 R", data, count=1),
    "an object's end missing": lambda data: changed(data, b"\nendobj\n4 0", b"\n      \n4 0"),
    "a missing object named": lambda data: changed(data, b"/Root 1 0 R", b"/Root 1 0 R /Info 99 0 R"),
    "an empty stream": lambda data: changed(
        data, b"\nxref", b"\n9 0 obj\n<< /Length 0 /Filter /FlateDecode >>\nstream\n\nendstream\nendobj\nxref"
    ).replace(b"startxref\n", b"startxref\n00"),
    "a table elsewhere": lambda data: re.sub(rb"startxref\n\d+", b"startxref\n7", data),
}


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_whole_document_that_is_put_together_oddly_is_no_damaged_one(kind: str, oddity: str) -> None:
    check_streams(ODDITIES[oddity](DOCUMENTS[kind]()))


@pytest.mark.parametrize("oddity", ["no end", "something before it", "a table elsewhere"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_what_is_whole_but_for_its_end_is_read(kind: str, oddity: str) -> None:
    data = DOCUMENTS[kind]()
    assert np.array_equal(read(ODDITIES[oddity](data)), read(data))


def test_deflate_without_its_checksum_is_whole() -> None:
    packed = zlib.compress(label().tobytes())
    without = read(document(SHOWN, picture(packed[:-4], b"FlateDecode")))
    assert np.array_equal(without, read(document(SHOWN, picture(packed, b"FlateDecode"))))


PACKED_TWICE: dict[bytes, Damage] = {
    b"[ /ASCII85Decode /DCTDecode ]": lambda jpeg: base64.a85encode(jpeg) + b"~>",
    b"[ /FlateDecode /DCTDecode ]": zlib.compress,
}


@pytest.mark.parametrize("filters", PACKED_TWICE)
def test_what_is_packed_twice_is_looked_through(filters: bytes) -> None:
    jpeg = save(label(), "JPEG", quality=85)
    half = len(jpeg) // 2
    sound, damaged = (
        document(SHOWN, picture(PACKED_TWICE[filters](one), b"DCTDecode").replace(b"/DCTDecode", filters))
        for one in (jpeg, jpeg[:half] + jpeg[half + 900 :])
    )
    assert read(sound).shape == (240, 320, 3)
    with pytest.raises(JobError, match="JPEG of which pixels are missing"):
        read(damaged)


def test_a_packing_that_pdf_does_not_have_is_damage() -> None:
    with pytest.raises(DamagedHeaderError, match="a way that PDF does not have"):
        check_streams(changed(DOCUMENTS["dct"](), b"/DCTDecode", b"/DCUDecode"))


def test_what_no_page_shows_is_not_looked_at() -> None:
    beside = b"<< /Type /Metadata /Filter /FlateDecode /Length 6 >>\nstream\nbroken\nendstream"
    check_streams(document(SHOWN, picture(save(label(), "JPEG"), b"DCTDecode"), beside))


def test_hostile_documents_take_no_time() -> None:
    for piece in (b"/Filter[", b"1 0 obj ", b"1 0 obj<</Filter[", b"((((", b"0 0\n\n\n", b"1 0 obj stream\n", b"<<%("):
        data = b"%PDF-1.4\n1 0 obj << " + piece * 60_000 + b">> stream\nabc\nendstream endobj"
        try:
            check_streams(data)
        except DamagedHeaderError:
            continue
