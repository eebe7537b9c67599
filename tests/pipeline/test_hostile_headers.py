"""Files made to take more time or memory than their headers let on: refused for what they would take, at once."""

import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.heif_files import ALPHA, Item, box, clap, coded, full, ispe, muxed
from tests.pipeline.pictures import FILES, HEIGHT, WIDTH, png_chunk, save, scene
from tests.pipeline.tiff_files import ifd, tiff
from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.decode.whole import decode
from worker.pipeline.header import png
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

LIMITS = ImageLimits()
MEBIBYTE = 1024 * 1024


def refusal(data: bytes) -> JobError:
    with pytest.raises(JobError) as caught:
        read_header(data, LIMITS)
    return caught.value


def sized(width: int, height: int, *more: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(256, 4, width), (257, 4, height), (258, 3, 8), (262, 3, 1), *more]


def with_thumbnails(count: int) -> bytes:
    """A page and a chain of directories that all say that they are thumbnails."""
    page = ifd(*sized(9, 9), following=8 + len(ifd(*sized(9, 9))))
    length = len(ifd((254, 4, 1)))
    first = 8 + len(page)
    places = [first + length * number for number in range(1, count)]
    return tiff(page, *[ifd((254, 4, 1), following=place) for place in [*places, 0]])


def test_a_chain_of_thumbnails_comes_to_an_end() -> None:
    assert len(read_header(with_thumbnails(900), LIMITS).pages) == 1
    error = refusal(with_thumbnails(1500))
    assert error.code is ErrorCode.IMAGE_CORRUPT
    assert "1000 thumbnails" in error.message


@pytest.mark.parametrize("kind", [3, 4, 8, 9])
def test_tiles_are_seen_whatever_the_type_of_their_size(kind: int) -> None:
    data = tiff(ifd(*sized(16_000, 16_000, (322, kind, 8000), (323, kind, 8000))))
    assert refusal(data).code is ErrorCode.IMAGE_TOO_LARGE


def test_a_size_below_zero_is_damage() -> None:
    error = refusal(tiff(ifd(*sized(9, 9, (322, 9, 0xFFFFFFF0), (323, 9, 16)))))
    assert error.code is ErrorCode.IMAGE_CORRUPT
    assert "below zero" in error.message


def test_a_strip_of_jpeg_is_unpacked_whole() -> None:
    colors = [(258, 3, 8), (262, 3, 6), (277, 3, 3), (259, 3, 7)]
    large = tiff(ifd((256, 4, 6000), (257, 4, 6000), *colors, (278, 4, 6000)))
    assert refusal(large).code is ErrorCode.IMAGE_TOO_LARGE
    small = tiff(ifd((256, 4, 6000), (257, 4, 6000), *colors, (278, 4, 600)))
    assert read_header(small, LIMITS).pages[0].streams


def test_a_sample_without_meaning_hides_nothing() -> None:
    samples = np.dstack([np.asarray(scene()), np.zeros((HEIGHT, WIDTH), np.uint8)])
    data = save(Image.frombytes("RGBX", (WIDTH, HEIGHT), samples.tobytes()), "TIFF")
    at = data.index(struct.pack("<HHI", 338, 3, 1)) + 8
    alpha = data[:at] + b"\2" + data[at + 1 :]
    assert np.array_equal(pixels(data), np.asarray(scene())[:, :, ::-1])
    assert pixels(alpha).min() == 255


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return decode(data, read_header(data, LIMITS)).pixels


def avif(side: int) -> tuple[bytes, bytes]:
    return coded(save(Image.new("L", (side, side), "white"), "AVIF", quality=20, speed=10, exif=b""))


SMALL = avif(64)
CONFIGURATION, PICTURE = SMALL


def small(*properties: int) -> Item:
    return Item(1, b"av01", properties, PICTURE)


def grid(width: int, height: int) -> bytes:
    return bytes(4) + struct.pack(">2H", width, height)


def test_files_put_together_here_are_read() -> None:
    whole = muxed([small(1, 2)], [CONFIGURATION, ispe(64, 64)])
    assert pixels(whole).min() > 250
    tiled = muxed(
        [Item(1, b"grid", (2,), grid(64, 64)), Item(2, b"av01", (1, 2), PICTURE)],
        [CONFIGURATION, ispe(64, 64)],
        [(b"dimg", 1, [2])],
    )
    assert pixels(tiled).min() > 250


HUGE = 8000


@pytest.mark.parametrize(
    "make",
    [
        lambda: muxed([small(1, 2, 3)], [CONFIGURATION, ispe(HUGE, HUGE), clap(64, 64)]),
        lambda: muxed([small(1, 2, 3)], [CONFIGURATION, ispe(64, 64), ispe(HUGE, HUGE)]),
        lambda: muxed(
            [small(1, 2), Item(2, b"av01", (1, 3, 4), PICTURE)],
            [CONFIGURATION, ispe(64, 64), ispe(HUGE, HUGE), ALPHA],
            [(b"auxl", 2, [1])],
        ),
        lambda: muxed(
            [Item(1, b"grid", (2,), grid(64, 64)), Item(2, b"av01", (1, 3), PICTURE)],
            [CONFIGURATION, ispe(64, 64), ispe(HUGE, HUGE)],
            [(b"dimg", 1, [2])],
        ),
        lambda: muxed(
            [Item(1, b"grid", (2,), bytes([0, 0, 15, 15]) + grid(HUGE, HUGE)[4:]), Item(2, b"av01", (1, 3), PICTURE)],
            [CONFIGURATION, ispe(64, 64), ispe(500, 500)],
            [(b"dimg", 1, [2] * 256)],
        ),
    ],
    ids=["cut off", "second size", "alpha", "tile", "tiles"],
)
def test_what_is_decoded_besides_what_is_shown_is_claimed(make: Callable[[], bytes]) -> None:
    assert refusal(make()).code is ErrorCode.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "make",
    [
        lambda side: muxed([small(1, 2, 3)], [CONFIGURATION, ispe(side, side), clap(64, 64)]),
        lambda side: tiff(ifd(*sized(64, 64, (322, 4, 4 * side // 16 * 16), (323, 4, side // 16 * 16)))),
    ],
    ids=["avif", "tiff"],
)
def test_a_small_page_takes_no_more_than_is_counted_for_it(make: Callable[[int], bytes]) -> None:
    assert read_header(make(1000), LIMITS).pages[0].pixels == 64 * 64
    error = refusal(make(4000))
    assert error.code is ErrorCode.IMAGE_UNSUPPORTED
    assert "64 x 64" in error.message


@pytest.mark.parametrize("name", ["avif 10 bit", "heif 16 bit"])
def test_deep_samples_are_seen_even_if_a_file_does_not_tell(name: str) -> None:
    data = FILES[name]()
    silent = data.replace(b"pixi", b"free")
    limits = ImageLimits(max_decoded_bytes=(18 if "avif" in name else 8) * WIDTH * HEIGHT)
    for file in (data, silent):
        with pytest.raises(JobError) as caught:
            read_header(file, limits)
        assert caught.value.code is ErrorCode.IMAGE_TOO_LARGE
    assert silent != data


def test_suggested_palettes_are_not_unpacked() -> None:
    data = FILES["png"]()
    suggested = data[:33] + png_chunk(b"sPLT", b"a\0\x08" + bytes(600)) + data[33:]
    assert png.decodable(suggested) == data


@pytest.mark.parametrize("kind", [b"iovl", b"iden", b"unci", b"jpeg"])
def test_pictures_whose_size_cannot_be_asked_are_refused_by_name(kind: bytes) -> None:
    references = [(b"dimg", 1, [2])] if kind.startswith(b"i") else []
    data = muxed(
        [Item(1, kind, (2,), grid(HUGE, HUGE)), Item(2, b"av01", (1, 2), PICTURE)],
        [CONFIGURATION, ispe(64, 64)],
        references,
    )
    error = refusal(data)
    assert error.code is ErrorCode.IMAGE_UNSUPPORTED
    assert "HEIF or AVIF" in error.message


def test_a_grid_of_grids_is_refused() -> None:
    items = [Item(1, b"grid", (2,), grid(64, 64)), Item(2, b"grid", (2,), grid(64, 64)), Item(3, b"av01", (1, 2))]
    data = muxed(items, [CONFIGURATION, ispe(64, 64)], [(b"dimg", 1, [2]), (b"dimg", 2, [3])])
    assert refusal(data).code is ErrorCode.IMAGE_UNSUPPORTED


@pytest.mark.parametrize(
    "make",
    [
        lambda: muxed(
            [Item(1, b"av01", (1, 2, *[3] * 200), PICTURE)],
            [CONFIGURATION, ispe(64, 64), full(b"pixi", b"\3" + bytes(MEBIBYTE))],
        ),
        lambda: muxed([Item(1, b"av01", (1,) * 250, PICTURE)] * 2000, [CONFIGURATION, ispe(64, 64)]),
        lambda: muxed([small(1, 2)], [CONFIGURATION, ispe(64, 64)], [(b"auxl", 1, [1] * 60_000)] * 40),
        lambda: FILES["png"]() + bytes(8 * MEBIBYTE),
    ],
    ids=["depths", "properties", "references", "behind the end"],
)
def test_no_header_takes_long(make: Callable[[], bytes]) -> None:
    data = make()
    begun = time.thread_time()
    try:
        read_header(data, LIMITS)
    except JobError as error:
        assert error.code is ErrorCode.IMAGE_CORRUPT  # noqa: PT017 - or it is read
    png.decodable(data)
    assert time.thread_time() - begun < 0.1


def test_a_box_in_a_box_is_no_more_than_a_box() -> None:
    assert refusal(box(b"ftyp", b"avif\0\0\0\0mif1") + box(b"meta", bytes(9))).code is ErrorCode.IMAGE_CORRUPT
