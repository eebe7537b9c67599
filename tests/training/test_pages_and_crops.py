"""Pages and line crops as training sees them."""

import io
import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.training.drawn import HEIGHT, WIDTH, drawn, drawn_pixels, read_line
from worker.domain.errors import JobError
from worker.domain.geometry import Points
from worker.domain.image import PageImage, Pixels, TextRegion
from worker.pipeline.layout.reading_order import grown_from_published, place_lines
from worker.pipeline.models import LineShape
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.recognize.crop import crop_line
from worker.pipeline.recognize.read import ReadLine
from worker.testing.block_font import CHARACTERS, read_blocks
from worker.training.crops import line_crop, points_of
from worker.training.pages import UprightPage, upright_pages

PIXELS = drawn_pixels("HELLO", "WORLD")
LIMITS = ImageLimits()


def only_page(picture: bytes) -> UprightPage:
    (page,) = upright_pages(picture, LIMITS)
    return page


def encoded(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(cv2.cvtColor(PIXELS, cv2.COLOR_BGR2RGB)).save(file, form, **options)
    return file.getvalue()


def turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


def on_transparent_ground() -> bytes:
    """Return black print on transparent ground whose hidden color is black, too."""
    alpha = np.where(PIXELS[:, :, 2] < 128, 255, 0).astype(np.uint8)
    return cv2.imencode(".png", np.dstack([np.zeros_like(PIXELS), alpha]))[1].tobytes()


def as_trainers_see(content: bytes) -> Pixels:
    """Return the pixels that a reader sees that knows no EXIF, BGR."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_plain_picture_stays_byte_for_byte(form: str) -> None:
    picture = encoded(form)

    page = only_page(picture)

    assert page.content == picture
    assert page.suffix == {"JPEG": ".jpg", "PNG": ".png"}[form]
    assert (page.width, page.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "make",
    [turned_by_exif, lambda: encoded("WEBP", lossless=True), lambda: encoded("TIFF"), on_transparent_ground],
    ids=["exif", "webp", "tiff", "alpha"],
)
def test_what_readers_would_see_otherwise_becomes_a_png_of_what_the_worker_sees(make: Callable[[], bytes]) -> None:
    page = only_page(make())

    assert page.content != make()
    assert page.suffix == ".png"
    assert np.array_equal(as_trainers_see(page.content), page.square.pixels)
    assert page.square.pixels.shape[:2] == (page.height, page.width)


def test_a_picture_on_its_side_is_written_upright() -> None:
    page = only_page(turned_by_exif())

    assert (page.width, page.height) == (HEIGHT, WIDTH)


def test_oblong_pixels_stay_in_the_file_and_lines_are_cut_from_square_ones() -> None:
    page = only_page(encoded("TIFF", dpi=(200, 100)))

    assert (page.width, page.height) == (WIDTH, HEIGHT)
    assert (page.square.width, page.square.height) == (WIDTH, 2 * HEIGHT)
    assert page.on_square(points_of([(10, 20)])).tolist() == [[10, 40]]


def test_each_page_of_a_document_is_a_page_of_its_own() -> None:
    second = Image.new("RGB", (50, 40), "white")

    pages = list(upright_pages(encoded("TIFF", save_all=True, append_images=[second]), LIMITS))

    assert [(page.number, page.width, page.height) for page in pages] == [(0, WIDTH, HEIGHT), (1, 50, 40)]


@pytest.mark.parametrize("picture", [b"no picture", drawn("HELLO")[:200]], ids=["none", "cut"])
def test_what_cannot_be_decoded_is_refused(picture: bytes) -> None:
    with pytest.raises(JobError):
        list(upright_pages(picture, LIMITS))


def test_a_page_that_the_worker_would_not_hold_whole_is_refused_before_it_is_decoded() -> None:
    large = cv2.imencode(".png", np.zeros((5000, 5000), np.uint8))[1].tobytes()

    with pytest.raises(JobError, match="5000"):
        list(upright_pages(large, LIMITS))


@pytest.mark.parametrize("text", ["HELLO", "00 340123", "X"])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_crop_reads_as_its_line(text: str, *, upside_down: bool) -> None:
    page = only_page(drawn(text)).square
    polygon = points_of(read_line(0, text).polygon)
    if upside_down:
        page = PageImage(np.ascontiguousarray(page.pixels[::-1, ::-1]))
        polygon = (WIDTH, HEIGHT) - polygon

    crop = line_crop(page, polygon, text)

    assert crop is not None
    assert crop.shape[0] == 48
    assert text_on(crop) == text


def text_on(crop: Pixels) -> str:
    width = math.ceil(crop.shape[1] / 8) * 8
    padded = np.full((1, 48, width, 3), 255, np.uint8)
    padded[0, :, : crop.shape[1]] = crop
    tokens, _ = read_blocks(padded, np.zeros((1, 1), np.float32))
    steps = tokens[0, :, 0].tolist()
    kept = [step for step, before in zip(steps, [0, *steps], strict=False) if step and step != before]
    return "".join(CHARACTERS[step - 1] for step in kept)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.6, 3.1])
@pytest.mark.parametrize(("length", "height"), [(300.0, 20.0), (30.0, 24.0), (900.0, 60.0)])
def test_the_region_of_a_published_polygon_is_the_one_that_was_read(angle: float, length: float, height: float) -> None:
    growth = 1.6 * length * height / (2 * (length + height))
    region = rectangle(length + 2 * growth, height + 2 * growth, angle)
    read = ReadLine(TextRegion(region, 0.9, growth), "text", 0.9, upside_down=False)
    (published,) = place_lines([read], 3000, 3000, PipelineOptions())

    assert np.abs(grown_from_published(published.polygon, 1.6) - region).max() < 1e-6


def test_the_crop_is_the_one_that_the_worker_read() -> None:
    page = only_page(drawn("HELLO", "WORLD")).square
    length, height = 120.0, 24.0
    growth = 1.6 * length * height / (2 * (length + height))
    region = TextRegion(rectangle(length + 2 * growth, height + 2 * growth, 0.05), 0.9, growth)
    region = TextRegion(region.quad - region.quad.mean(axis=0) + (130.0, 75.0), 0.9, growth)
    (published,) = place_lines([ReadLine(region, "text", 0.9, upside_down=False)], WIDTH, HEIGHT, PipelineOptions())
    (worker_crop,) = crop_line(page, region, LineShape(48, 128, 8, (160, 320, 640)))

    crop = line_crop(page, published.polygon, "text")

    assert crop is not None
    assert crop.shape[1] == worker_crop.content_width
    assert np.abs(crop.astype(int) - worker_crop.pixels[:, : crop.shape[1]]).max() <= 1


def rectangle(length: float, height: float, angle: float) -> Points:
    corners = np.array([[-length, -height], [length, -height], [length, height], [-length, height]]) / 2
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(corners @ turn + 1500.0, dtype=np.float64)


def test_what_is_no_line_of_one_crop_has_none() -> None:
    page = PageImage(np.full((40, 6000, 3), 255, np.uint8))

    assert line_crop(page, points_of([(0, 0), (6000, 0), (6000, 30), (0, 30)]), "long " * 50) is None
    assert line_crop(page, points_of([(5, 5), (5, 5), (5, 5), (5, 5)]), "X") is None


def test_characters_that_stand_one_below_another_have_no_crop() -> None:
    page = PageImage(np.full((400, 400, 3), 255, np.uint8))
    stacked = points_of([(50, 20), (70, 20), (70, 320), (50, 320)])
    column_that_runs_down = points_of([(70, 20), (70, 320), (50, 320), (50, 20)])

    assert line_crop(page, stacked, "MSCU1234565") is None
    assert line_crop(page, column_that_runs_down, "MSCU1234") is None
    assert line_crop(page, column_that_runs_down, "a line that is turned by 90 degrees") is not None
    assert line_crop(page, stacked, "I") is not None
