"""What zxing-cpp reads by itself is never lost, and what it cannot find is redrawn for it."""

import cv2
import numpy as np
import pytest
import zxingcpp

from worker.domain.barcode import DecodedBarcode
from worker.domain.geometry import Points
from worker.domain.image import Pixels
from worker.pipeline.barcodes.find import find_codes, luminance, merge_barcodes
from worker.pipeline.barcodes.maxicode import find_bullseyes
from worker.pipeline.barcodes.texture import Middles
from worker.pipeline.options import BarcodeOptions

OPTIONS = BarcodeOptions()
CONTENTS = {
    "Code128": "AB-1234567",
    "Code39": "ABC123",
    "Code93": "ABC123",
    "Codabar": "A12345B",
    "ITF": "30712345000010",
    "EAN13": "5901234123457",
    "EAN8": "96385074",
    "UPCA": "042100005264",
    "UPCE": "04252614",
    "DataBarOmni": "(01)09521234543213",
    "DataBarStk": "(01)09521234543213",
    "DataBarLtd": "(01)09521234543213",
    "DataBarExp": "(01)09521234543213(3103)000123",
    "TelepenAlpha": "TELEPEN",
    "DXFilmEdge": "36-2/20A",
    "QRCode": "hello world",
    "MicroQRCode": "12345",
    "RMQRCode": "hello",
    "DataMatrix": "hello world 123",
    "PDF417": "hello world",
    "MicroPDF417": "hello",
    "Aztec": "hello world",
    "MaxiCode": "hello world 1Z999",
}


def drawn(name: str, *, scale: int = 3, quiet: int = 1) -> Pixels:
    code = zxingcpp.create_barcode(CONTENTS[name], zxingcpp.BarcodeFormat[name])
    ink = np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8)
    return np.pad(ink, quiet, constant_values=255)


def on_page(ink: Pixels, *, ground: int = 255, size: tuple[int, int] = (900, 1100)) -> Pixels:
    page = np.full(size, ground, dtype=np.uint8)
    page[200 : 200 + ink.shape[0], 150 : 150 + ink.shape[1]] = ink
    return page


def plain(pixels: Pixels) -> set[tuple[str, str]]:
    return {(code.format.name, code.text) for code in zxingcpp.read_barcodes(pixels)}


def product(pixels: Pixels) -> set[tuple[str, str]]:
    return {(code.format, code.text) for code in find_codes(pixels, OPTIONS).barcodes}


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CONTENTS)
def test_nothing_that_zxing_reads_by_itself_is_lost(name: str, scale: int) -> None:
    ink = drawn(name, scale=scale)
    bare = cv2.cvtColor(ink, cv2.COLOR_GRAY2BGR).astype(np.uint8)
    page = on_page(ink)
    assert plain(bare) <= product(bare)
    assert plain(page) <= product(page)
    turned = np.ascontiguousarray(np.rot90(bare))
    assert plain(turned) <= product(turned)
    assert plain(bare) | plain(page) or scale == 1 or name == "MaxiCode"


@pytest.mark.parametrize("ground", [0, 100, 160, 200])
@pytest.mark.parametrize("name", ["QRCode", "Aztec", "DataMatrix"])
def test_a_light_code_on_any_ground_is_read(name: str, ground: int) -> None:
    ink = drawn(name, scale=6, quiet=24)
    light = np.where(ink == 0, 255, ground).astype(np.uint8)
    assert plain(on_page(light, ground=ground)) <= product(on_page(light, ground=ground))
    assert CONTENTS[name] in {text for _, text in product(on_page(light, ground=ground))}


def test_grey_is_within_a_level_of_what_zxing_makes_of_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    weighed = (pixels.astype(np.int64) * (117, 601, 306)).sum(axis=2)
    np.testing.assert_allclose(luminance(pixels), (weighed + 512) >> 10, atol=1)


@pytest.mark.parametrize("name", ["QRCode", "MicroQRCode", "RMQRCode", "DataMatrix", "PDF417", "MicroPDF417", "Aztec"])
@pytest.mark.parametrize(("scale", "place"), [(2, (7, 9)), (2, (1801, 1700)), (3, (900, 650))])
def test_a_matrix_on_a_large_page_with_grain_is_read_once_and_in_place(
    name: str, scale: int, place: tuple[int, int]
) -> None:
    ink = drawn(name, scale=scale)
    x, y = place
    rows, columns = max(1900, y + len(ink) + 9), max(2003, x + ink.shape[1] + 9)
    page = np.full((rows, columns), 200, dtype=np.uint8)
    page[y : y + len(ink), x : x + ink.shape[1]] = np.minimum(ink, 200)
    noise = np.random.default_rng(4).normal(0, 5, page.shape)
    seen = np.clip(page + noise, 0, 255).astype(np.uint8)
    [code] = find_codes(seen, OPTIONS).barcodes
    assert (code.format, code.text) == (name, CONTENTS[name])
    np.testing.assert_allclose(code.polygon.mean(axis=0), (x + ink.shape[1] / 2, y + len(ink) / 2), atol=2 * scale)


@pytest.mark.parametrize(("name", "scale", "off"), [("QRCode", 24, 1), ("QRCode", 100, 1), ("PDF417", 24, 12)])
def test_a_matrix_of_large_modules_is_read_once_and_where_zxing_reads_it(name: str, scale: int, off: float) -> None:
    """Bars of PDF417 that are so wide have blocks without an edge, so that its parts are not the whole of it."""
    ink, bars = drawn(name, scale=scale), drawn("Code128", quiet=40)
    seen = on_page(ink, size=(ink.shape[0] + 900, ink.shape[1] + 1600))
    seen[-300 : len(bars) - 300, :449] = bars  # where anything is read, half the size is not looked at
    [code, _] = find_codes(seen, OPTIONS).barcodes
    [known] = (code for code in zxingcpp.read_barcodes(seen) if code.format.name == name)
    assert code.text == known.text == CONTENTS[name]
    at = known.position
    corners = [(at.top_left.x, at.top_left.y), (at.bottom_right.x, at.bottom_right.y)]
    np.testing.assert_allclose(code.polygon[[0, 2]], corners, atol=off)


def test_a_bullseye_is_looked_for_where_a_symbol_may_have_its_middle() -> None:
    page = on_page(drawn("MaxiCode", scale=1), size=(1100, 1100))
    blocks = np.ones((-(-1100 // 16), -(-1100 // 16)), dtype=np.uint8)
    [eye] = find_bullseyes(page, Middles(blocks, 16))
    assert 9.5 * eye.ring_pixels < 8 * 16
    x, y = eye.middle
    blocks[:] = 0
    assert find_bullseyes(page, Middles(blocks, 16)) == []
    blocks[int(y) // 16, int(x) // 16] = 1
    assert len(find_bullseyes(page, Middles(blocks, 16))) == 1


def test_a_short_number_is_believed_only_of_tall_bars() -> None:
    code = zxingcpp.create_barcode("1515", zxingcpp.BarcodeFormat.ITF)
    ink = np.pad(np.array(code.to_image(scale=3, add_quiet_zones=False), dtype=np.uint8), 30, constant_values=255)
    low = np.full(ink.shape, 255, dtype=np.uint8)
    low[50:58] = ink[50:58]
    assert plain(low) == {("ITF", "1515")}
    assert product(ink) == {("ITF", "1515")}
    assert product(low) == set()


def itf(text: str, left: float, width: float, height: float) -> DecodedBarcode:
    corners = [[left, 0], [left + width, 0], [left + width, height], [left, height]]
    return DecodedBarcode("ITF", text, np.array(corners, dtype=np.float64))


def test_of_a_number_and_a_part_of_it_the_part_is_false_however_large() -> None:
    whole, part = itf("14012345677352", 0, 200, 20), itf("140123456773", 0, 170, 90)
    assert merge_barcodes([part, whole]) == [whole]


def seen_from_aside(page: Pixels, degrees: float, tilt: float) -> tuple[Pixels, Points]:
    """Return a page turned and seen in perspective, and the map of its points, float64 [3, 3]."""
    height, width = page.shape
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), [0, 0, 1]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    moved = corners + np.array([[0, 0], [-tilt, tilt], [0, -tilt], [tilt, 0]], dtype=np.float32) * width
    seen = cv2.getPerspectiveTransform(corners, moved.astype(np.float32)) @ turn
    return np.asarray(cv2.warpPerspective(page, seen, (width, height), borderValue=(255,)), dtype=np.uint8), seen


@pytest.mark.parametrize("degrees", [0, 35, 90, 160, 250, 333])
@pytest.mark.parametrize("tilt", [0.0, 0.08, 0.12])
def test_maxicode_is_read_however_it_lies_and_is_seen(degrees: float, tilt: float) -> None:
    ink = drawn("MaxiCode", scale=2)
    page, seen = seen_from_aside(on_page(ink, size=(700, 700)), degrees, tilt)
    light = np.linspace(0.95, 0.6, page.shape[1])[np.newaxis]
    noise = np.random.default_rng(1).normal(0, 6, page.shape)
    photo = np.clip(cv2.GaussianBlur(page, (0, 0), 1.0) * light + noise, 0, 255).astype(np.uint8)
    assert not plain(photo) or (degrees, tilt) == (0, 0.0)
    [code] = find_codes(photo, OPTIONS).barcodes
    assert (code.format, code.text) == ("MaxiCode", CONTENTS["MaxiCode"])
    right, bottom = 150 + ink.shape[1], 200 + ink.shape[0]
    corners = np.array([[[150, 200], [right, 200], [right, bottom], [150, bottom]]], dtype=np.float64)
    np.testing.assert_allclose(code.polygon, cv2.perspectiveTransform(corners, seen)[0], atol=9)


@pytest.mark.parametrize("degrees", [10, 25, 45, 65, 100, 160, 200])
def test_stacked_bars_are_read_however_they_lie(degrees: float) -> None:
    ink = drawn("PDF417", scale=4)
    page, seen = seen_from_aside(on_page(ink, size=(800, 800)), degrees, 0.0)
    [code] = find_codes(page, OPTIONS).barcodes
    assert (code.format, code.text) == ("PDF417", CONTENTS["PDF417"])
    corners = np.array([[[150, 200], [150 + ink.shape[1], 200 + ink.shape[0]]]], dtype=np.float64)
    np.testing.assert_allclose(
        code.polygon.mean(axis=0), cv2.perspectiveTransform(corners, seen)[0].mean(axis=0), atol=12
    )


def test_rings_without_the_patterns_around_them_are_no_text_and_no_code() -> None:
    page = np.full((500, 500), 255, dtype=np.uint8)
    noise = np.random.default_rng(2).integers(0, 2, (60, 60)).astype(np.uint8) * 255
    page[100:400, 100:400] = cv2.resize(noise, (300, 300), interpolation=cv2.INTER_NEAREST)
    for number, radius in enumerate((58, 48, 38, 28, 18, 8)):
        cv2.circle(page, (250, 250), radius, (255 * (number % 2),), -1)
    assert find_codes(page, OPTIONS).barcodes == ()
