"""Symbols of a page that passes in strips, in the page made small."""

from collections.abc import Iterator

import numpy as np
import pytest
import zxingcpp

from worker.domain.image import Pixels
from worker.pipeline.barcodes.find import merge_barcodes
from worker.pipeline.large.large_symbols import LargeCodes
from worker.pipeline.options import BarcodeOptions

WIDTH, HEIGHT, STRIP_ROWS = 900, 14_000, 512
WHOLE_PIXELS = 800_000  # so few that the page is looked at whole at a quarter of its size, and at half of it in bands
TEXT = "3 PIXELS A MODULE ARE TOO FEW AT A QUARTER"


def strips(page: Pixels) -> Iterator[Pixels]:
    for top in range(0, HEIGHT, STRIP_ROWS):
        yield np.repeat(page[top : top + STRIP_ROWS, :, np.newaxis], 3, axis=2)


def found_on(page: Pixels, options: BarcodeOptions) -> list[tuple[str, list[int]]]:
    codes = LargeCodes(WIDTH, HEIGHT, options, whole_pixels=WHOLE_PIXELS)
    for strip in strips(page):
        codes.add(strip)
    return [(code.text, np.round(code.polygon.min(axis=0)).tolist()) for code in merge_barcodes(codes.codes().barcodes)]


def bars(text: str, scale: int) -> Pixels:
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128)
    return np.rot90(np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8))


@pytest.mark.parametrize("middle", [4096, 6144, 10_240])  # where one band of the first level begins or ends
def test_what_only_one_level_can_see_is_not_cut_there(middle: int) -> None:
    ink = bars(TEXT, 3)
    page = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    top = middle - len(ink) // 2
    page[top : top + len(ink), 301 : 301 + ink.shape[1]] = ink
    [(text, low)] = found_on(page, BarcodeOptions())
    assert text == TEXT
    np.testing.assert_allclose(low, [301, top], atol=6)


def test_what_is_longer_than_a_band_is_seen_at_the_last_level() -> None:
    ink = bars("LONG ENOUGH", 60)
    page = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    page[500 : 500 + len(ink), 100:700] = ink[:, :600]
    assert len(ink) > 6144
    [(text, low)] = found_on(page, BarcodeOptions())
    assert text == "LONG ENOUGH"
    np.testing.assert_allclose(low, [100, 500], atol=40)


def test_without_formats_nothing_is_held() -> None:
    assert found_on(np.zeros((HEIGHT, WIDTH), dtype=np.uint8), BarcodeOptions(())) == []
