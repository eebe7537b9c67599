"""Pixels of every format and mode, upright exactly once, and damaged files refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.pipeline.pictures import BILEVEL, FILES, HEIGHT, WIDTH, bilevel, gray16, png_chunk, save, scene
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageHeader, PageImage
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits


def read(data: bytes, number: int = 0) -> PageImage:
    return decode(data, read_header(data, ImageLimits()), number)


# Cut short, their first picture may still be whole, or PDFium may mend them.
SEVERAL = {"tiff pages", "jpeg with a second picture", "pdf", "pdf picture", "pdf pages"}


def expected(name: str) -> NDArray[np.int64]:
    shown = bilevel().convert("RGB") if name in BILEVEL else scene()
    return np.asarray(shown)[:, :, ::-1].astype(np.int64)


@pytest.mark.parametrize("name", FILES)
def test_every_format_and_mode_gives_the_same_page(name: str) -> None:
    page = read(FILES[name]())
    assert page.pixels.dtype == np.uint8
    assert page.pixels.shape == (HEIGHT, WIDTH, 3)
    assert page.pixels.flags.c_contiguous
    assert np.abs(page.pixels - expected(name)).mean() < 3


# The pixels of a PDF lie in memory shared with the process that drew them; the array keeps that memory.
@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("pdf")])
def test_pixels_own_their_memory_and_outlive_the_decoder(name: str) -> None:
    pixels = read(FILES[name]()).pixels
    while isinstance(pixels.base, np.ndarray):
        pixels = pixels.base
    assert pixels.base is None, f"the pixels only look at the memory of a {type(pixels.base).__name__}"


PNG_END = png_chunk(b"IEND", b"")
WHOLE = ("webp", "heif", "avif", "pdf", "png interlaced", "jpeg progressive", "bmp packed")
STREAMING = [name for name in FILES if not name.startswith(WHOLE)]


def strips(data: bytes, rows: int) -> NDArray[np.uint8]:
    return np.concatenate(list(decode_strips(data, read_header(data, ImageLimits()), rows)))


@pytest.mark.parametrize("rows", [1, 7, 16, HEIGHT, 1000])
@pytest.mark.parametrize("name", STREAMING)
def test_strips_are_the_page_within_the_rounding_of_jpeg(name: str, rows: int) -> None:
    data = FILES[name]()
    assert read_header(data, ImageLimits()).pages[0].streams
    difference = np.abs(strips(data, rows).astype(int) - read(data).pixels)
    assert difference.max() <= (3 if "jpeg" in name else 0)


def test_a_turned_page_comes_in_strips_as_it_is_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(scene(), "PNG", exif=exif)
    assert read(data).width == HEIGHT
    assert np.array_equal(strips(data, 10), np.asarray(scene())[:, :, ::-1])


def cut_short(data: bytes, part: float) -> bytes:
    """Return the first part of a file; of a PNG less than its pixels: one without its end marker is read."""
    return data[: int(len(data.removesuffix(PNG_END)) * part)]


@pytest.mark.parametrize("name", [name for name in STREAMING if name not in SEVERAL])
@pytest.mark.parametrize("part", [0.5, 0.8, 0.95])
def test_strips_of_a_file_that_is_cut_short_are_refused(name: str, part: float) -> None:
    data = FILES[name]()
    header = read_header(data, ImageLimits())
    with pytest.raises(JobError) as caught:
        list(decode_strips(cut_short(data, part), header, 16))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.parametrize("pillow_format", ["PNG", "TIFF", "BMP"])
def test_one_pixel_is_a_picture(pillow_format: str, mode: str) -> None:
    page = read(save(Image.new(mode, (1, 1), "white"), pillow_format))
    assert page.pixels.tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("pillow_format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"),
    ("WEBP", "RGB"), ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "CMYK")])  # fmt: skip
def test_exif_turns_the_picture_once(pillow_format: str, mode: str, orientation: int) -> None:
    # How a camera stores a scene that shall be shown upright: the inverse of each EXIF operation.
    stored_as = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = scene().convert(mode)
    stored = picture.transpose(stored_as[orientation]) if orientation > 1 else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    page = read(save(stored, pillow_format, exif=exif))
    assert page.pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(page.pixels - expected(mode)).mean() < 6


def test_exif_turns_a_16_bit_tiff_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(gray16(scene()))))
    page = read(save(stored, "TIFF", exif=exif))
    assert np.abs(page.pixels[:, :, 0].astype(int) - np.asarray(scene().convert("L"))).max() == 0


@pytest.mark.parametrize("name", [name for name in FILES if name not in SEVERAL])
@pytest.mark.parametrize("part", [0.5, 0.8, 0.95])
def test_a_file_that_is_cut_short_is_corrupt(name: str, part: float) -> None:
    data = FILES[name]()
    header = read_header(data, ImageLimits())
    with pytest.raises(JobError) as caught:
        decode(cut_short(data, part), header)
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    assert "64 x 48" in caught.value.message


def test_bytes_behind_the_end_of_a_jpeg_do_not_matter() -> None:
    assert read(FILES["jpeg"]() + bytes(100)).width == WIDTH


def test_a_thumbnails_end_marker_does_not_hide_a_truncation() -> None:
    data = FILES["jpeg"]()
    thumbnail = save(scene().resize((8, 6)), "JPEG")
    segment = b"\xff\xed" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = data[:2] + segment + data[2:]
    assert read(whole).width == WIDTH
    with pytest.raises(JobError):
        read(whole[:-40])


def test_a_picture_of_another_size_than_it_claimed_is_corrupt() -> None:
    with pytest.raises(JobError, match="decodes to 64 x 48") as caught:
        decode(FILES["png"](), ImageHeader(ImageFormat.PNG, (PageHeader(65, 48),)))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_other_types_are_unsupported(mode: str) -> None:
    with pytest.raises(JobError, match="samples") as caught:
        read(save(scene().convert("L").convert(mode), "TIFF"))
    assert caught.value.code is ErrorCode.IMAGE_UNSUPPORTED


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_files_decode_or_are_refused(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name]())
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        page = read(bytes(data))
    except JobError as error:
        assert error.code.value.startswith("IMAGE_")  # noqa: PT017
    else:
        assert page.pixels.ndim == 3
