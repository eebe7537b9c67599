"""What a picture claims to be: read without its pixels, and never with anything but JobError."""

import io
import resource
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageHeader
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

LIMITS = ImageLimits()
FORMATS = [("JPEG", ImageFormat.JPEG), ("PNG", ImageFormat.PNG), ("WEBP", ImageFormat.WEBP), ("TIFF", ImageFormat.TIFF)]


def encoded(pillow_format: str, *, size: tuple[int, int] = (60, 40), orientation: int | None = None) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", size, "white").save(buffer, pillow_format, exif=exif)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = bytes(
        min(width * height * 3, 500_000_000) // 1000 + 1
    )  # enough of them, were they packed as tight as can be
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp_that_claims(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(("pillow_format", "expected"), FORMATS)
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_format_size_and_orientation_are_read(
    pillow_format: str, expected: ImageFormat, orientation: int | None
) -> None:
    header = read_header(encoded(pillow_format, orientation=orientation), LIMITS)
    streams = expected is not ImageFormat.WEBP
    assert header == ImageHeader(expected, (PageHeader(60, 40, orientation or 1, streams),))


def test_a_bitmap_is_read() -> None:
    assert read_header(encoded("BMP"), LIMITS) == ImageHeader(ImageFormat.BMP, (PageHeader(60, 40, streams=True),))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_counts_as_upright(orientation: int) -> None:
    assert read_header(encoded("JPEG", orientation=orientation), LIMITS).pages[0].orientation == 1


def test_damaged_exif_does_not_spoil_the_picture() -> None:
    data = encoded("JPEG", orientation=6)
    tags = data.index(b"Exif\0\0") + 6
    damaged = data[:tags] + b"\xff" * 8 + data[tags + 8 :]
    assert read_header(damaged, LIMITS) == ImageHeader(ImageFormat.JPEG, (PageHeader(60, 40, 1, streams=True),))


@pytest.mark.parametrize("lie", [png_that_claims, bmp_that_claims, jpeg_that_claims])
def test_a_header_that_claims_too_much_is_refused_without_taking_memory(lie: object) -> None:
    assert callable(lie)
    data = lie(60_000, 60_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JobError) as caught:
        read_header(data, LIMITS)
    assert caught.value.code is ErrorCode.IMAGE_TOO_LARGE
    assert "pixels" in caught.value.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_the_limits_count_all_pixels_and_each_side() -> None:
    limits = ImageLimits(max_pixels=1_000_000, max_side_pixels=2_000)
    assert read_header(png_that_claims(1_000, 1_000), limits).pixels == 1_000_000
    for width, height in ((1_001, 1_000), (2_001, 1), (1, 2_001)):
        with pytest.raises(JobError, match=f"{width} x {height}") as caught:
            read_header(png_that_claims(width, height), limits)
        assert caught.value.code is ErrorCode.IMAGE_TOO_LARGE


def test_a_limit_over_pillows_own_is_honoured() -> None:
    header = read_header(png_that_claims(12_000, 12_000), ImageLimits(max_pixels=150_000_000))
    assert (header.pages[0].width, header.pages[0].height) == (12_000, 12_000)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", ErrorCode.IMAGE_UNSUPPORTED, "empty"),
        (b"TO: Anna\nParcel 12\n" * 9, ErrorCode.IMAGE_UNSUPPORTED, "is text"),
        ("größer als je".encode(), ErrorCode.IMAGE_UNSUPPORTED, "is text"),
        (b'{"job_id": 1}', ErrorCode.IMAGE_UNSUPPORTED, "is text"),
        (b"%PDF-1.7\n%...", ErrorCode.IMAGE_CORRUPT, "no PDF"),
        (b"GIF89a" + bytes(20), ErrorCode.IMAGE_UNSUPPORTED, "GIF"),
        (bytes(3) + b"\x18ftypheic" + bytes(20), ErrorCode.IMAGE_CORRUPT, "damaged"),
        (b"\x00\x01\x02\x03" * 9, ErrorCode.IMAGE_UNSUPPORTED, "not a picture"),
        (b"\x89PNG\r\n\x1a\n", ErrorCode.IMAGE_CORRUPT, "damaged"),
        (b"\xff\xd8\xff\xe0", ErrorCode.IMAGE_CORRUPT, "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", ErrorCode.IMAGE_CORRUPT, "damaged"),
        (b"II*\0\xff\xff\xff\xff", ErrorCode.IMAGE_CORRUPT, "damaged"),
        (b"BM", ErrorCode.IMAGE_CORRUPT, "damaged"),
        (png_that_claims(0, 10), ErrorCode.IMAGE_CORRUPT, "damaged"),
    ],
)
def test_what_is_no_picture_gets_a_code_and_a_sentence_that_helps(data: bytes, code: ErrorCode, words: str) -> None:
    with pytest.raises(JobError) as caught:
        read_header(data, LIMITS)
    assert caught.value.code is code
    assert words in caught.value.message
    assert "send" in caught.value.message


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_chunk_that_unpacks_to_very_much_is_no_way_in(kind: bytes) -> None:
    start = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"Profile\0\0"}[kind]
    body = start + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    picture = encoded("PNG")
    data = picture[:33] + chunk + picture[33:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    header = read_header(data, LIMITS)
    assert decode(data, header).width == 60
    assert sum(len(strip) for strip in decode_strips(data, header, 16)) == 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@st.composite
def mutated_pictures(draw: st.DrawFn) -> bytes:
    data = bytearray(encoded(draw(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP"])), orientation=6))
    for _ in range(draw(st.integers(1, 12))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, 3))
    return bytes(data[start : draw(st.integers(start, len(data)))])


@settings(max_examples=400, deadline=None)
@given(mutated_pictures() | st.binary(max_size=200))
def test_nothing_but_job_errors_comes_out_whatever_goes_in(data: bytes) -> None:
    try:
        header = read_header(data, LIMITS)
    except JobError as error:
        assert error.code in {ErrorCode.IMAGE_CORRUPT, ErrorCode.IMAGE_UNSUPPORTED, ErrorCode.IMAGE_TOO_LARGE}  # noqa: PT017
    else:
        assert header.pixels <= LIMITS.max_pixels
