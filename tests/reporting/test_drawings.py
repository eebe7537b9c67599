"""Drawings of pictures, a file a page."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from worker.domain.image import ImageHeader
from worker.domain.result import Line, Page
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.reporting.draw import COLORS, MAX_LONG_SIDE
from worker.reporting.drawings import DrawingNames, draw_pages

SIDE = 8192
ROOT = Path(__file__).parents[2]


def pages_of(*sizes: tuple[int, int]) -> tuple[bytes, ImageHeader]:
    first, *others = (Image.new("RGB", size, "white") for size in sizes)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue(), read_header(buffer.getvalue(), ImageLimits())


def results(header: ImageHeader) -> list[Page]:
    return [Page(width=page.width, height=page.height) for page in header.pages]


def drawn(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_each_page_has_a_file_that_sorts_where_it_belongs(tmp_path: Path) -> None:
    picture, header = pages_of(*((900 + 10 * number, 300) for number in range(11)))

    files = draw_pages(picture, header, results(header), [()] * 11, tmp_path / "new" / "scan.tif")

    assert list(files) == sorted((tmp_path / "new").iterdir())
    assert (files[0].name, files[10].name) == ("scan.tif.page-01.png", "scan.tif.page-11.png")
    assert drawn(files[10]).shape[1] - drawn(files[0]).shape[1] == 100


def test_a_picture_of_one_page_has_no_number(tmp_path: Path) -> None:
    picture, header = pages_of((900, 300))
    assert draw_pages(picture, header, results(header), [()], tmp_path / "a.tif") == (tmp_path / "a.tif.png",)


@pytest.mark.parametrize("side", [2000, 6400])
def test_boxes_lie_right_on_a_page_that_was_made_smaller(side: int, tmp_path: Path) -> None:
    picture, header = pages_of((side, side // 2))
    left, top = side // 2, side // 5
    right, bottom = left + side // 16, top + side // 32
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    line = Line(id=0, text="A", confidence=0.99, polygon=corners, rotation=0)
    page = Page(width=side, height=side // 2, lines=(line,))

    [file] = draw_pages(picture, header, [page], [()], tmp_path / "a.tif")

    pixels = drawn(file)[:, :MAX_LONG_SIDE]
    teal = np.argwhere((pixels == COLORS["sure"]).all(axis=-1))
    assert pixels.shape[0] == MAX_LONG_SIDE // 2
    assert teal[:, 0].max() == pytest.approx((0.2 + 1 / 32) * MAX_LONG_SIDE, abs=2)
    assert teal[:, 1].max() == pytest.approx((0.5 + 1 / 16) * MAX_LONG_SIDE, abs=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("wanted", [200, 480])
def test_a_reduced_page_stands_as_the_whole_one_does(orientation: int, wanted: int) -> None:
    scene = Image.new("RGB", (800, 600), "white")
    scene.paste((0, 0, 0), (0, 0, 400, 150))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    scene.save(buffer, "JPEG", exif=exif)
    picture = buffer.getvalue()
    page = EncodedPage(picture, read_header(picture, ImageLimits()), 0)

    small, whole = page.reduced(wanted), page.decode()

    assert (small.width, small.height) == (whole.width * wanted // 800, whole.height * wanted // 800)
    same_size = np.asarray(Image.fromarray(whole.pixels).resize((small.width, small.height)), dtype=np.int16)
    assert np.abs(small.pixels - same_size).mean() < 2


def test_drawings_never_hold_a_huge_page(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    (pyvips.Image.black(SIDE, SIDE, bands=3) + 200).cast("uchar").copy(interpretation="srgb").jpegsave(path, Q=60)
    child = [sys.executable, "-m", "tests.reporting.drawing_child", str(path)]
    taken = subprocess.run(child, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert 0 < int(taken) < SIDE * SIDE * 2  # of three bytes a pixel


def test_names_are_numbered_where_two_pictures_share_one(tmp_path: Path) -> None:
    names = DrawingNames(tmp_path)
    stems = [names.of(Path(folder, "a.png")) for folder in "xyz"]
    assert stems == [tmp_path / "a.png", tmp_path / "a.png.2", tmp_path / "a.png.3"]
    assert DrawingNames(None).of(Path("a.png")) is None
