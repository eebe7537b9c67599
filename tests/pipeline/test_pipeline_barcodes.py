"""Symbols on pages: what they say, where they are, and that text stays apart from them."""

import cv2
import numpy as np
import pytest
import zxingcpp

from worker.domain.barcode import DecodedBarcode, GS1Element, Symbology
from worker.domain.geometry import Points
from worker.domain.image import Pixels, TextRegion
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import generate
from worker.pipeline.barcodes.find import find_codes, merge_barcodes, without_codes
from worker.pipeline.options import BarcodeOptions

OPTIONS = BarcodeOptions()
LEFT, TOP = 120, 200
SYMBOLS = {
    "Code128": "ABC-1234567",
    "Code39": "ABC123",
    "Code93": "ABC123",
    "Codabar": "A12345B",
    "ITF": "12345678901231",
    "EAN13": "5901234123457",
    "EAN8": "96385074",
    "DataBarOmni": "(01)09521234543213",
    "DataBarLtd": "(01)09521234543213",
    "DataBarExp": "(01)09521234543213(3103)000123",
    "QRCode": "hello world",
    "MicroQRCode": "12345",
    "DataMatrix": "hello world 123",
    "PDF417": "hello world",
    "Aztec": "hello world",
    "MaxiCode": "hello world 1Z999",
}


def drawn(name: str, content: str, *, scale: int = 3, gs1: bool = False) -> Pixels:
    options = {"gs1": True} if gs1 else {}
    code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat[name], **options)
    return np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8)


def page_with(ink: Pixels) -> Pixels:
    """Put a symbol on a page with some text above and below."""
    height, width = ink.shape
    page = np.full((TOP + height + 160, LEFT + max(width, 600) + 100), 255, dtype=np.uint8)
    for baseline in (60, 100, TOP + height + 110):
        cv2.putText(page, "SHIP TO 12 HARBOUR ROAD LEITH", (40, baseline), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0,), 2)
    page[TOP : TOP + height, LEFT : LEFT + width] = ink
    return np.asarray(cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def box(left: float, top: float, width: float, height: float) -> Points:
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def turned(polygon: Points, page: Pixels, quarters: int) -> Points:
    """Take a polygon along as the page is turned clockwise; its first corner stays the symbol's own top left."""
    height, width = page.shape[:2]
    for _ in range(quarters):
        polygon = np.stack([height - polygon[:, 1], polygon[:, 0]], axis=1)
        height, width = width, height
    return polygon


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("name", SYMBOLS)
def test_a_symbol_is_read_in_place_however_it_lies(name: str, quarters: int) -> None:
    ink = drawn(name, SYMBOLS[name])
    page = page_with(ink)
    found = find_codes(np.ascontiguousarray(np.rot90(page, -quarters)), OPTIONS).barcodes
    assert [(code.format, code.text) for code in found] == [(name, SYMBOLS[name])]
    place = turned(box(LEFT, TOP, ink.shape[1], ink.shape[0]), page, quarters)
    if name in {"Code128", "ITF", "QRCode", "MicroQRCode", "DataMatrix", "Aztec", "MaxiCode"}:
        np.testing.assert_allclose(found[0].polygon, place, atol=5)
    else:  # zxing-cpp leaves out guard bars and the like
        np.testing.assert_allclose(found[0].polygon, place, atol=0.12 * max(ink.shape))


@pytest.mark.parametrize("name", ["QRCode", "DataMatrix", "Aztec"])
def test_white_on_black_is_read(name: str) -> None:
    page = page_with(drawn(name, SYMBOLS[name], scale=6))
    found = find_codes(cv2.bitwise_not(page).astype(np.uint8), OPTIONS).barcodes
    assert [code.text for code in found] == [SYMBOLS[name]]


@pytest.mark.parametrize("name", ["Code128", "DataMatrix", "QRCode"])
def test_gs1_data_is_given_apart(name: str) -> None:
    content = "(00)106141411234567897(10)AB-1"
    (code,) = find_codes(page_with(drawn(name, content, gs1=True)), OPTIONS).barcodes
    assert code.text == content
    assert code.elements == (GS1Element("00", "106141411234567897"), GS1Element("10", "AB-1"))


def test_only_the_formats_asked_for_are_read() -> None:
    page = page_with(drawn("QRCode", "hello world"))
    assert find_codes(page, BarcodeOptions((Symbology.CODE_128, Symbology.DATA_MATRIX))).barcodes == ()
    assert find_codes(page, BarcodeOptions(())).areas == ()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 700, 3), (700, 2, 3), (0, 5, 3), (40, 40)])
def test_a_picture_of_any_size_is_looked_at(shape: tuple[int, ...]) -> None:
    assert find_codes(np.full(shape, 255, dtype=np.uint8), OPTIONS).barcodes == ()


def test_a_photographed_label_gives_its_symbols_and_nothing_else() -> None:
    label = generate(77, 4, degradation=Degradation.STRONG)
    pixels = np.asarray(cv2.imdecode(np.frombuffer(label.image, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    found = {code.text: code for code in find_codes(pixels, OPTIONS).barcodes}
    expected = {code.value: code for code in label.barcodes if code.format == "ITF"}
    assert set(expected) <= set(found) <= {code.value for code in label.barcodes}
    for value, code in expected.items():
        np.testing.assert_allclose(found[value].polygon, code.polygon, atol=8)


def test_bars_out_of_line_and_in_shadow_are_read_whole() -> None:
    ink = drawn("Code128", "NO 4711 IN THE SHADOW")[:90]
    page = page_with(ink)
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), -11, 1.0)
    tilted = cv2.warpAffine(page, turn, page.shape[1::-1], borderValue=(255, 255, 255))
    light = np.linspace(1.0, 0.3, page.shape[1])[np.newaxis, :, np.newaxis]
    (code,) = find_codes((tilted * light).astype(np.uint8), OPTIONS).barcodes
    place = box(LEFT, TOP, ink.shape[1], ink.shape[0]) @ turn[:, :2].T + turn[:, 2]
    assert code.text == "NO 4711 IN THE SHADOW"
    np.testing.assert_allclose(code.polygon, place, atol=5)


def code(text: str, left: float, top: float, *, size: float = 100, name: str = "QRCode") -> DecodedBarcode:
    return DecodedBarcode(name, text, box(left, top, size, size))


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_bars_that_the_edge_cuts_end_there(quarters: int) -> None:
    page = page_with(drawn("Code128", SYMBOLS["Code128"]))
    cut = np.ascontiguousarray(np.rot90(page[: TOP + 60], -quarters))
    [found] = find_codes(cut, OPTIONS).barcodes
    (left, top), (right, bottom) = found.polygon.min(axis=0), found.polygon.max(axis=0)
    assert min(left, top) >= -1
    assert right <= cut.shape[1] + 1
    assert bottom <= cut.shape[0] + 1


def test_what_two_strips_saw_counts_once() -> None:
    whole, cut = code("A", 100, 900), code("A", 104, 930, size=60)
    elsewhere, other = code("A", 400, 900), code("B", 100, 905)
    assert merge_barcodes([cut, whole, elsewhere, other]) == [whole, other, elsewhere]


def test_a_shorter_number_out_of_the_same_bars_is_dropped() -> None:
    # ITF has no start pattern: a strip's edge can cut digits off, and the rest still reads.
    whole, cut = code("14012345677352", 0, 0, size=200, name="ITF"), code("140123456773", 0, 150, name="ITF")
    assert merge_barcodes([cut, whole]) == [whole]


def test_symbols_come_in_the_order_of_the_page() -> None:
    top, left, right = code("1", 300, 10), code("2", 10, 400), code("3", 500, 380)
    assert [found.text for found in merge_barcodes([right, left, top])] == ["1", "2", "3"]


def region(left: float, top: float, width: float, height: float, *, growth: float = 8.0) -> TextRegion:
    """Return a region whose marked part is the given box."""
    grown = box(left - growth, top - growth, width + 2 * growth, height + 2 * growth)
    return TextRegion(grown, 0.9, growth)


def test_regions_inside_a_symbol_are_dropped() -> None:
    symbol = box(100, 100, 200, 200)
    inside = [region(110, 120, 80, 20), region(100, 90, 200, 120), region(290 - 80, 200, 100, 30)]
    assert without_codes(inside, [symbol]) == []


def test_what_counts_of_a_region_is_what_the_detector_marked() -> None:
    assert without_codes([region(120, 105, 200, 20, growth=20)], [box(100, 100, 400, 30)]) == []


def test_lines_around_a_symbol_stay() -> None:
    bars = box(100, 100, 400, 90)
    below, above = region(120, 192, 360, 24), region(120, 70, 360, 24)
    through = region(20, 120, 900, 30)
    beside = region(470, 120, 200, 30)
    kept = [below, above, through, beside]
    assert without_codes(kept, [bars]) == kept


def test_a_matrix_that_is_damaged_is_still_no_text() -> None:
    ink = drawn("QRCode", "https://example.com/" + "x" * 60, scale=1)
    spots = np.random.default_rng(0).random(ink.shape) < 0.3
    spots[:9, :9] = spots[:9, -9:] = spots[-9:, :9] = False  # the finder patterns
    spots[6] = spots[:, 6] = False  # the timing between them
    ink = np.repeat(np.repeat(np.where(spots, 255 - ink, ink), 5, axis=0), 5, axis=1).astype(np.uint8)
    codes = find_codes(page_with(ink), OPTIONS)
    assert codes.barcodes == ()
    assert without_codes([region(LEFT + 20, TOP + 30, ink.shape[1] - 40, 30)], codes.areas) == []
    line = region(40, 30, 500, 30)
    assert without_codes([line], codes.areas) == [line]


def test_a_maxicode_that_is_damaged_is_still_no_text() -> None:
    ink = drawn("MaxiCode", "hello world", scale=2)
    ink[-100:] = 255
    codes = find_codes(page_with(ink), OPTIONS)
    assert codes.barcodes == ()
    assert len(codes.areas) == 1
