"""Transparent pixels become a background that the print shows on, in every format, whole and in strips."""

import struct
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.pipeline.pictures import encode, save
from worker.pipeline.decode.background import WHITE
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

SIZE: Final = (160, 96)
BLACK: Final = 0
GRAY: Final = 128


def drawn(*prints: tuple[int, int], paper: int | None = None, alpha: int = 255) -> Image.Image:
    """Print of levels of gray from heights on, on transparent ground or on an opaque card with transparent corners."""
    picture = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    if paper is not None:
        draw.rounded_rectangle((0, 0, SIZE[0] - 1, SIZE[1] - 1), 20, fill=(paper, paper, paper, 255))
    for level, top in prints:
        for line in range(3):
            draw.text((12, top + line * 12), "PARCEL 4711 BERLIN", fill=(level, level, level, alpha))
    return picture


def in_a_palette(picture: Image.Image) -> Image.Image:
    """Index 0 is transparent, 1 the print's level."""
    level = max(int(np.asarray(picture)[:, :, 0].max()), 1)
    indexed = Image.fromarray((np.asarray(picture)[:, :, 3] > 127).astype(np.uint8), "P")
    indexed.putpalette([9, 9, 9, level, level, level])
    return indexed


def deep(picture: Image.Image) -> NDArray[np.uint16]:
    return np.ascontiguousarray(np.asarray(picture)[:, :, [2, 1, 0, 3]]).astype(np.uint16) * 257


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda picture: save(picture, "PNG"),
    "png of grays": lambda picture: save(picture.convert("LA"), "PNG"),
    "png of 16 bits": lambda picture: encode(".png", deep(picture)),
    "png with a palette": lambda picture: save(in_a_palette(picture), "PNG", transparency=0),
    "webp": lambda picture: save(picture, "WEBP", lossless=True, exact=True),
    "webp lossy": lambda picture: save(picture, "WEBP", quality=95),
    "tiff": lambda picture: save(picture, "TIFF"),
    "tiff of grays": lambda picture: save(picture.convert("LA"), "TIFF", compression="tiff_lzw"),
    "bmp": lambda picture: encode(".bmp", np.ascontiguousarray(np.asarray(picture)[:, :, [2, 1, 0, 3]])),
    "heif": lambda picture: save(picture, "HEIF", quality=95),
    "avif": lambda picture: save(picture, "AVIF", quality=95),
}


def corner(data: bytes) -> int:
    """The level of gray that the transparent corner became, the same whole and in strips of any height."""
    header = read_header(data, ImageLimits())
    whole = decode(data, header).pixels
    if header.pages[0].streams:
        for rows in (7, 33, 1000):
            assert np.array_equal(np.concatenate(list(decode_strips(data, header, rows))), whole)
    assert int(whole.max()) - int(whole.min()) > 60, "the print does not show"
    return int(whole[0, -1].mean())


@pytest.mark.parametrize("name", FORMATS)
def test_print_shows_on_transparent_ground(name: str) -> None:
    made = FORMATS[name]
    assert corner(made(drawn((255, 10)))) == pytest.approx(BLACK, abs=4)
    assert corner(made(drawn((0, 10)))) == pytest.approx(WHITE, abs=4)


@pytest.mark.parametrize(
    ("picture", "ground"),
    [
        (drawn((230, 10)), BLACK),
        (drawn((128, 10)), WHITE),
        (drawn((0, 10), (255, 52)), GRAY),
        (drawn((60, 10), (70, 52)), WHITE),
        (drawn((255, 10), paper=20), WHITE),
        (drawn((0, 10), paper=120), WHITE),
    ],
    ids=["light", "gray", "both", "dark", "dark card", "gray card"],
)
def test_the_ground_is_white_unless_print_would_be_lost_on_it(picture: Image.Image, ground: int) -> None:
    assert corner(FORMATS["png"](picture)) == ground


def test_a_speck_of_white_leaves_the_paper_white() -> None:
    picture = drawn((0, 10), (0, 52))
    picture.putpixel((150, 90), (255, 255, 255, 255))
    assert corner(FORMATS["png"](picture)) == WHITE


@pytest.mark.parametrize("name", ["png", "webp", "tiff", "heif"])
@pytest.mark.parametrize("alpha", [70, 100, 160])
def test_print_that_is_half_transparent_itself_shows(name: str, alpha: int) -> None:
    assert corner(FORMATS[name](drawn((255, 10), alpha=alpha))) == pytest.approx(BLACK, abs=4)
    assert corner(FORMATS[name](drawn((0, 10), alpha=alpha))) == pytest.approx(WHITE, abs=4)


def of_untold_meaning(picture: Image.Image) -> bytes:
    """A TIFF that does not say what its fourth sample means (tag 338 is 0)."""
    data = save(picture, "TIFF")
    told = struct.pack("<HHIH", 338, 3, 1, 2)
    assert data.count(told) == 1
    return data.replace(told, struct.pack("<HHIH", 338, 3, 1, 0))


@pytest.mark.parametrize("level", [0, 255])
def test_a_sample_of_untold_meaning_is_alpha_where_the_colours_show_nothing(level: int) -> None:
    picture = drawn((level, 10))
    picture.paste((level, level, level), (0, 0, *SIZE), Image.new("L", SIZE, 255))
    picture.putalpha(drawn((0, 10)).getchannel("A"))
    assert corner(of_untold_meaning(picture)) == (WHITE if level == BLACK else BLACK)


def test_a_sample_of_untold_meaning_is_none_where_the_colours_show_the_page() -> None:
    picture = drawn((0, 10), paper=WHITE)
    opaque = Image.new("RGB", SIZE, "white")
    opaque.paste(picture, (0, 0), picture.getchannel("A"))
    masked = opaque.convert("RGBA")
    masked.putalpha(Image.new("L", SIZE, 0))
    data = of_untold_meaning(masked)
    assert np.array_equal(decode(data, read_header(data, ImageLimits())).pixels, np.asarray(opaque)[:, :, ::-1])


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_page_without_a_border_is_on_white(alpha: int) -> None:
    data = save(Image.new("RGBA", SIZE, (200, 200, 200, alpha)), "PNG")
    pixels = decode(data, read_header(data, ImageLimits())).pixels
    assert np.unique(pixels).tolist() == [200 if alpha else WHITE]
