"""Pages with oblong pixels: by what they are stretched, and that what is read of them is in their stored pixels."""

import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.pipeline.pictures import HEIGHT, WIDTH, png, png_chunk, save, scene, tiled_tiff
from tests.pipeline.readings import read, texts
from worker.domain.barcode import DecodedBarcode
from worker.domain.image import PageHeader, PageImage, PageText, Pixels, TextLine
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.decode.square_pixels import PixelStretch, squared, squared_strips
from worker.pipeline.explanation import PageSearch
from worker.pipeline.header.density import Density
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.page_claim import SQUARE
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks

LIMITS = ImageLimits()
FAX = (204, 98)


def exif(across: int, down: int, unit: int = 2, orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x011A], tags[0x011B], tags[0x0128] = orientation, across, down, unit
    return tags


def bitmap(across: int, down: int) -> bytes:
    data = bytearray(save(scene(), "BMP"))
    struct.pack_into("<2i", data, 38, round(across / 0.0254), round(down / 0.0254))
    return bytes(data)


def named_png(across: int, down: int, unit: int) -> bytes:
    body = b"".join(b"\0" + row.tobytes() for row in np.asarray(scene().convert("L")))
    density = png_chunk(b"pHYs", struct.pack(">2IB", across, down, unit))
    return png(struct.pack(">2I5B", WIDTH, HEIGHT, 8, 0, 0, 0, 0), zlib.compress(body), density)


FAXES: dict[str, Callable[[], bytes]] = {
    "tiff": lambda: save(scene(), "TIFF", dpi=FAX),
    "tiff in centimeters": lambda: save(scene(), "TIFF", resolution_unit=3, x_resolution=80.3, y_resolution=38.6),
    "tiff without a unit": lambda: save(scene(), "TIFF", resolution_unit=1, x_resolution=204, y_resolution=98),
    "bigtiff": lambda: save(scene(), "TIFF", dpi=FAX, big_tiff=True),
    "tiff in tiles": lambda: tiled_tiff(xres=204 / 25.4, yres=98 / 25.4),
    "png": lambda: save(scene(), "PNG", dpi=FAX),
    "png without a unit": lambda: named_png(204, 98, 0),
    "png by exif": lambda: save(scene(), "PNG", exif=exif(*FAX)),
    "jpeg": lambda: save(scene(), "JPEG", dpi=FAX),
    "jpeg by exif": lambda: save(scene(), "JPEG", exif=exif(*FAX)),
    "jpeg by exif where jfif says 72": lambda: save(scene(), "JPEG", dpi=(72, 72), exif=exif(*FAX)),
    "webp": lambda: save(scene(), "WEBP", exif=exif(*FAX)),
    "bmp": lambda: bitmap(*FAX),
}


@pytest.mark.parametrize("name", FAXES)
def test_a_fax_of_any_format_has_square_pixels_after_its_rows_are_stretched(name: str) -> None:
    page = read_header(FAXES[name](), LIMITS).pages[0]
    assert (page.width, page.height) == (WIDTH, HEIGHT)
    assert page.stretch[0] == 1
    assert page.stretch[1] == pytest.approx(204 / 98, rel=0.002)
    assert page.squared.upright_size == (WIDTH, 100)
    assert page.pixels == WIDTH * 100


def test_each_page_of_a_tiff_has_its_own_stretch() -> None:
    pages = [save(scene(), "TIFF", dpi=dpi) for dpi in (FAX, (200, 200), (102, 204))]
    first, *others = (Image.open(io.BytesIO(page)) for page in pages)
    stretches = [
        page.stretch for page in read_header(save(first, "TIFF", save_all=True, append_images=others), LIMITS).pages
    ]
    assert stretches[1] == SQUARE
    assert stretches[0] == pytest.approx((1, 204 / 98))
    assert stretches[2] == (2, 1)


@pytest.mark.parametrize(
    ("density", "stretch"),
    [
        (Density(204, 98), (1, 204 / 98)),
        (Density(102, 204), (2, 1)),
        (Density(204, 391), (391 / 204, 1)),
        (Density(300, 300), SQUARE),
        (Density(204, 196), SQUARE),
        (Density(0, 0), SQUARE),
        (Density(300, 0), SQUARE),
        (Density(-204, 98), SQUARE),
        (Density(300, 1), SQUARE),
        (Density(4, 2), SQUARE),
        (Density(12000, 6000), SQUARE),
        (Density(float("inf"), 1), SQUARE),
        (Density(2, 1, per_inch=False), (1, 2)),
        (Density(4, 3, per_inch=False), SQUARE),
        (Density(300, 100, per_inch=False), SQUARE),  # the sides of the picture
    ],
)
def test_a_density_counts_only_where_it_can_be_meant(density: Density, stretch: tuple[float, float]) -> None:
    assert density.stretch(300, 100) == pytest.approx(stretch)


@given(across=st.floats(allow_nan=False), down=st.floats(allow_nan=False), per_inch=st.booleans())
def test_no_density_stretches_by_more_than_four(across: float, down: float, *, per_inch: bool) -> None:
    stretch = Density(across, down, per_inch).stretch(640, 480)
    assert min(stretch) == 1
    assert max(stretch) <= 4


def test_a_page_that_would_be_beyond_a_limit_is_read_as_it_is_stored() -> None:
    data = FAXES["png"]()
    within = WIDTH * 100
    assert not read_header(data, ImageLimits(max_pixels=within)).pages[0].is_square
    assert read_header(data, ImageLimits(max_pixels=within - 1)).pages[0].is_square
    assert read_header(data, ImageLimits(max_side_pixels=99)).pages[0].is_square
    progressive = save(scene(), "JPEG", dpi=FAX, progressive=True)
    whole = read_header(progressive, ImageLimits(max_decoded_bytes=100_000)).pages[0]
    assert not whole.is_square
    assert read_header(progressive, ImageLimits(max_decoded_bytes=40_000)).pages[0].is_square


def photograph(width: int, height: int) -> Pixels:
    grain = np.random.default_rng(5).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("stretch", [(1.0, 204 / 98), (2.0, 1.0), (1.0, 1.25), (3.99, 1.0)])
@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("strip", [1, 5, 64, 1000])
def test_strips_that_are_stretched_are_the_stretched_page(stretch: tuple[float, float], rows: int, strip: int) -> None:
    pixels = photograph(90, 133)
    header = PageHeader(90, 133, stretch=stretch)
    strips = (pixels[top : top + strip] for top in range(0, 133, strip))
    came = list(squared_strips(strips, header, rows))
    assert {len(one) for one in came[:-1]} <= {rows}
    whole = squared(PageImage(pixels), header).pixels
    assert whole.shape == (header.squared.height, header.squared.width, 3)
    assert np.abs(np.concatenate(came).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_page_is_stretched_along_its_stored_rows(orientation: int) -> None:
    data = save(scene(), "PNG", exif=exif(*FAX, orientation=orientation))
    encoded = EncodedPage(data, read_header(data, LIMITS), 0)
    shape = encoded.decode_squared().pixels.shape[1::-1]
    assert shape == encoded.page.squared.upright_size == ((100, WIDTH) if orientation > 4 else (WIDTH, 100))
    stored = replace(encoded.page, orientation=1)
    assert np.concatenate(list(encoded.squared_strips(mirrored=False))).shape[1::-1] == stored.squared.upright_size


@pytest.mark.parametrize(("orientation", "factors"), [(1, (1.0, 98 / 204)), (6, (98 / 204, 1.0))])
def test_what_was_read_is_brought_back_to_the_stored_pixels(orientation: int, factors: tuple[float, float]) -> None:
    page = PageHeader(1728, 980, orientation, stretch=(1.0, 204 / 98))
    wide, high = page.squared.upright_size
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], dtype=np.float64)
    text = PageText(wide, high, (TextLine("A", 1.0, corners, 90.0),), (DecodedBarcode("QRCode", "B", corners),))
    came = PixelStretch.of(page).to_stored_text(text)
    size = page.upright_size
    assert (came.width, came.height) == size
    expected = corners * (size[0] / wide, size[1] / high)
    assert np.allclose(came.lines[0].polygon, expected)
    assert np.allclose(came.barcodes[0].polygon, expected)
    assert expected[2] == pytest.approx(size)
    assert came.lines[0].rotation_degrees == 90.0
    assert (size[0] / wide, size[1] / high) == pytest.approx(factors, rel=0.001)
    search = PixelStretch.of(page).to_stored_search(PageSearch(1.0, ((0.0, 0.0, float(wide), float(high)),)))
    assert search.tiles[0] == pytest.approx((0, 0, *size))


@pytest.mark.parametrize("degrees", [0.0, 45.0, 90.0, 180.0, 225.0, 270.0, 300.0])
def test_a_line_askew_keeps_its_quadrant(degrees: float) -> None:
    line = TextLine("A", 1.0, np.zeros((4, 2)), degrees)
    [came] = PixelStretch((100, 50), 1.0, 0.5).to_stored_text(PageText(100, 100, (line,))).lines
    assert came.rotation_degrees // 90 == degrees // 90
    assert 0 <= came.rotation_degrees < 360
    assert (came.rotation_degrees == degrees) == (degrees % 90 == 0)


LINES = [BlockLine("FROM ANNA", 60, 40), BlockLine("1Z999AA10123456784", 60, 100), BlockLine("KG 12-5", 400, 160)]
HELD_LARGE = PipelineOptions(tiled_from_pixels=1)
STREAMED = PipelineOptions(tiled_from_pixels=1, streamed_from_pixels=1)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("options", [PipelineOptions(), HELD_LARGE, STREAMED], ids=["whole", "held", "streamed"])
@pytest.mark.parametrize(("dpi", "factors"), [(FAX, (1.0, 98 / 204)), ((102, 204), (0.5, 1.0))])
async def test_squashed_print_is_read_and_placed_where_it_stands(
    backend: FakeBackend,
    executor: Executor,
    dpi: tuple[int, int],
    factors: tuple[float, float],
    options: PipelineOptions,
    orientation: int,
) -> None:
    """A page of 800 x 260 square pixels, stored turned back by a quarter and squashed along its stored axes."""
    upright = draw_blocks(LINES, width=800, height=260)
    turned = np.rot90(upright) if orientation == 6 else upright
    size = round(turned.shape[1] * factors[0]), round(turned.shape[0] * factors[1])
    squashed = cv2.cvtColor(cv2.resize(turned, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    picture = save(Image.fromarray(squashed), "TIFF", dpi=dpi, exif=exif(*dpi, orientation=orientation))
    [page] = (await read(backend, executor, picture, options)).pages
    shown = size[::-1] if orientation == 6 else size
    assert (page.width, page.height) == shown
    assert texts(page) == [line.text for line in LINES]
    for line, drawn in zip(page.lines, LINES, strict=True):
        place = np.array([drawn.left / 800 * shown[0], drawn.top / 260 * shown[1]])
        np.testing.assert_allclose(line.polygon[0], place, atol=3)
        assert line.rotation_degrees == 0.0
