"""Pages: which there are, which stream, and what is refused before anything is decoded."""

import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.pictures import FILES, HEIGHT, WIDTH, interlaced_png, pdf, png, png_chunk, save, scene, tiled_tiff
from tests.pipeline.tiff_files import ifd, tiff
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, PageHeader
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

LIMITS = ImageLimits()
MEBIBYTE = 1024 * 1024


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> JobError:
    with pytest.raises(JobError) as caught:
        read_header(data, limits)
    return caught.value


def sized(width: int, height: int, *more: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 5), (262, 3, 1), (273, 4, 8), (279, 4, 9), *more]


def baseline_in_three_scans() -> bytes:
    """The head of a JPEG whose first scan holds one of three components: libjpeg would keep all coefficients."""
    data = bytearray(FILES["jpeg"]())
    data[data.index(b"\xff\xda") + 4] = 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "sizes"), [("tiff pages", [(64, 48), (9, 9), (20, 5)]), ("pdf pages", [(64, 48)] * 3)]
)
def test_every_page_has_its_own_size_and_pixels(name: str, sizes: list[tuple[int, int]]) -> None:
    data = FILES[name]()
    header = read_header(data, LIMITS)
    assert [page.upright_size for page in header.pages] == sizes
    assert [decode(data, header, number).pixels.shape[1::-1] for number in range(3)] == sizes


def test_thumbnails_and_masks_are_no_pages() -> None:
    buffer = io.BytesIO()
    small = scene().resize((8, 6))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    scene().save(buffer, "TIFF", save_all=True, append_images=[small, scene().convert("L")])
    data = buffer.getvalue()
    header = read_header(data, LIMITS)
    assert [page.upright_size for page in header.pages] == [(WIDTH, HEIGHT)] * 2
    gray = decode(data, header, 1).pixels
    assert np.array_equal(gray[:, :, 0], np.asarray(scene().convert("L")))


@pytest.mark.parametrize("make", [FILES["tiff pages"], lambda: pdf(pages=3)])
def test_more_pages_than_the_limit_are_refused(make: Callable[[], bytes]) -> None:
    error = refusal(make(), ImageLimits(max_pages=2))
    assert error.code is ErrorCode.IMAGE_TOO_LARGE
    assert "2" in error.message
    assert len(read_header(make(), ImageLimits(max_pages=3)).pages) == 3


def test_all_pages_together_have_twice_the_pixels_of_one() -> None:
    data = pdf(pages=3)
    assert len(read_header(data, ImageLimits(max_pixels=WIDTH * HEIGHT * 3 // 2)).pages) == 3
    error = refusal(data, ImageLimits(max_pixels=WIDTH * HEIGHT * 3 // 2 - 1))
    assert error.code is ErrorCode.IMAGE_TOO_LARGE
    assert "all its pages" in error.message


def test_pdf_is_drawn_at_the_resolution_that_is_set() -> None:
    data = pdf()
    header = read_header(data, ImageLimits(pdf_dots_per_inch=400))
    assert header.pages == (PageHeader(2 * WIDTH, 2 * HEIGHT),)
    assert decode(data, header).pixels[4, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("make", "streams"),
    [
        (FILES["jpeg"], True),
        (FILES["jpeg progressive"], False),
        (baseline_in_three_scans, False),
        (FILES["png"], True),
        (interlaced_png, False),
        (FILES["bmp"], True),
        (FILES["webp"], False),
        (FILES["tiff"], True),
        (lambda: tiled_tiff(compression="lzw"), True),
        (lambda: tiff(ifd(*sized(16_384, 16_384, (278, 4, 16_384)))), True),
        (lambda: tiff(ifd(*sized(5000, 5000, (322, 4, 5008), (323, 4, 5008)))), True),
        (lambda: tiff(ifd(*sized(10_000, 10_000, (322, 4, 10_000), (323, 4, 10_000)))), False),
        (lambda: tiff(ifd(*sized(10_000, 10_000, (278, 4, 10_000), (284, 3, 2)))), False),
    ],
)
def test_what_streams_is_known_from_the_header(make: Callable[[], bytes], streams: bool) -> None:  # noqa: FBT001
    assert read_header(make(), ImageLimits(max_decoded_bytes=1 << 40)).pages[0].streams is streams


@pytest.mark.parametrize("name", ["jpeg progressive", "png interlaced", "webp", "heif", "avif", "pdf"])
def test_what_must_be_decoded_whole_has_a_budget_of_bytes(name: str) -> None:
    data = FILES[name]()
    error = refusal(data, ImageLimits(max_decoded_bytes=WIDTH * HEIGHT * 3 - 1))
    assert error.code is ErrorCode.IMAGE_TOO_LARGE
    assert "baseline JPEG" in error.message
    assert read_header(data, ImageLimits(max_decoded_bytes=WIDTH * HEIGHT * 20)).pages[0].width == WIDTH


def test_the_coefficients_of_a_progressive_jpeg_count() -> None:
    data = save(scene(), "JPEG", progressive=True, subsampling=0)
    held = WIDTH * HEIGHT * (3 * 2 + 4)
    assert read_header(data, ImageLimits(max_decoded_bytes=held)).pages[0].width == WIDTH
    assert refusal(data, ImageLimits(max_decoded_bytes=held - 1)).code is ErrorCode.IMAGE_TOO_LARGE


def animated(pillow_format: str) -> bytes:
    return save(scene(), pillow_format, save_all=True, append_images=[scene().transpose(Image.Transpose.ROTATE_180)])


def with_scans(count: int) -> bytes:
    data = FILES["jpeg progressive"]()
    return data[:-2] + b"\xff\xda\0\x02" * count + data[-2:]


def with_frame(marker: int) -> bytes:
    return FILES["jpeg"]().replace(b"\xff\xc0", bytes([0xFF, marker]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: animated("PNG"), "animated PNG"),
        (lambda: animated("WEBP"), "animated WebP"),
        (lambda: animated("AVIF"), "animated HEIF or AVIF"),
        (lambda: animated("GIF"), "GIF"),
        (lambda: with_scans(120), "100 scans"),
        (lambda: with_frame(0xC9), "arithmetic"),
        (lambda: with_frame(0xC3), "lossless"),
        (lambda: FILES["jpeg"]().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "12 bits"),
        (lambda: tiff(ifd(*sized(9, 9, (50706, 4, 1)))), "raw file"),
        (lambda: tiff(ifd(*(tag for tag in sized(9, 9) if tag[0] != 259), (259, 3, 34712))), "JPEG 2000"),
        (lambda: tiff(ifd(*sized(9, 9, (339, 3, 3)))), "samples"),
        (lambda: tiff(ifd(*sized(9, 9, (277, 3, 4)))), "4 samples"),
        (lambda: save(scene(), "JPEG2000"), "JPEG 2000"),
        (lambda: save(scene(), "ICO"), "icon"),
        (lambda: b"^XA^FO50,50^FDHello^FS^XZ", "ZPL"),
    ],
)
def test_odd_files_are_refused_by_name(make: Callable[[], bytes], words: str) -> None:
    error = refusal(make())
    assert error.code is ErrorCode.IMAGE_UNSUPPORTED
    assert words in error.message


def test_a_pdf_with_a_password_is_refused_by_name() -> None:
    secret = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
        b"41" * 32,
        b"42" * 32,
    )
    error = refusal(pdf().replace(b"/Root 1 0 R", b"/Root 1 0 R " + secret))
    assert error.code is ErrorCode.IMAGE_UNSUPPORTED
    assert "password" in error.message


@pytest.mark.parametrize("box", ["0 0 1000000 1000000", "0 0 14400000 1", "-9999999 -9999999 9999999 9999999"])
def test_a_pdf_page_of_absurd_size_is_refused_before_it_is_drawn(box: str) -> None:
    assert refusal(pdf(media_box=box)).code is ErrorCode.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tiff(ifd(*sized(9, 9), following=8)), "form a loop"),
        (lambda: tiff(struct.pack("<H", 60_000) + bytes(60_000 * 12)), "60000 tags"),
        (lambda: b"II*\0\xf0\xff\xff\xff" + bytes(99), "outside"),
        (lambda: tiff(ifd(*sized(9, 9, (322, 4, 0), (323, 4, 16)))), "tiles"),
        (lambda: FILES["jpeg"]()[:40], "before its pixels"),
        (lambda: b"\xff\xd8" + b"\xff\xe5\0\x02" * 5000, "2000 segments"),
        (lambda: FILES["jpeg"]().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 9000, 9000)), "can hold"),
        (lambda: png(struct.pack(">2I5B", 9000, 9000, 8, 2, 0, 0, 0), zlib.compress(bytes(99))), "can hold"),
        (lambda: FILES["bmp"]()[:18] + struct.pack("<2i", 9000, 9000) + FILES["bmp"]()[26:], "can hold"),
        (lambda: FILES["png"]()[:33] + struct.pack(">I4s", 100_000_000, b"IDAT") + bytes(99), "longer than the file"),
        (lambda: FILES["heif"]().replace(b"ispe", b"free"), "no size"),
        (lambda: pdf()[:60], "PDF"),
    ],
)
def test_headers_that_lie_or_lead_astray_are_damaged(make: Callable[[], bytes], words: str) -> None:
    error = refusal(make())
    assert error.code is ErrorCode.IMAGE_CORRUPT
    assert words in error.message


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("angle", range(4))
def test_a_heif_is_turned_by_its_own_turns_and_not_by_exif(angle: int) -> None:
    data = bytearray(save(scene(128, 64), "HEIF", quality=95, exif=oriented(6)))
    at = data.index(b"colr")  # a property of the picture that is as good as any
    data[at : at + 5] = b"irot" + bytes([angle])
    at = data.find(b"clap")
    if at > 0:
        data[at : at + 4] = b"free"
    header = read_header(bytes(data), LIMITS)
    expected = np.rot90(np.asarray(scene(128, 64))[:, :, ::-1], angle)
    page = decode(bytes(data), header).pixels
    assert header.format is ImageFormat.HEIF
    assert page.shape == expected.shape
    assert np.abs(page.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_once(orientation: int) -> None:
    upright = save(scene(), "AVIF", quality=95)
    stored = decode(upright, read_header(upright, LIMITS)).pixels
    data = save(scene(), "AVIF", quality=95, exif=oriented(orientation))
    turned = decode(data, read_header(data, LIMITS)).pixels
    tagged = save(Image.fromarray(stored), "TIFF", exif=oriented(orientation))
    assert np.array_equal(turned, decode(tagged, read_header(tagged, LIMITS)).pixels[:, :, ::-1])


def test_exif_behind_the_pixels_of_a_png_turns_it() -> None:
    data = FILES["png"]()
    behind = data[:-12] + png_chunk(b"eXIf", oriented(6).tobytes()[6:]) + data[-12:]
    assert read_header(behind, LIMITS).pages[0].orientation == 6


def test_strips_may_be_asked_for_by_one_thread_after_another() -> None:
    data = FILES["tiff tiled jpeg"]()
    header = read_header(data, LIMITS)
    coming = decode_strips(data, header, 5)
    found = []
    for _ in range(-(-HEIGHT // 5)):
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(next, coming).result())
    assert np.array_equal(np.concatenate(found), decode(data, header).pixels)
