"""Where a page's texture may be that of symbols."""

import cv2
import numpy as np
import pytest
import zxingcpp

from worker.domain.image import Pixels
from worker.pipeline.texture import Part, Texture, busy_parts, fine_parts, texture

HEIGHT, WIDTH = 1200, 1000


def seen(page: Pixels) -> Texture:
    half = np.asarray(cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    found = texture(page, half)
    assert found is not None
    return found


def blank() -> Pixels:
    return np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)


def holds(part: Part, x: int, y: int, side: int) -> bool:
    rows, columns = part
    return bool(rows.start < y and y + side < rows.stop and columns.start < x and x + side < columns.stop)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(("name", "place"), [("QRCode", (333, 555)), ("DataMatrix", (120, 1000)), ("Aztec", (700, 90))])
def test_a_matrix_of_small_modules_lies_whole_in_a_part_that_is_looked_at(
    name: str, place: tuple[int, int], scale: int
) -> None:
    code = zxingcpp.create_barcode("hello world 123", zxingcpp.BarcodeFormat[name])
    ink = np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8)
    page, (x, y) = blank(), place
    page[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    for parts in (busy_parts(seen(page)), fine_parts(seen(page))):
        assert any(holds(part, x, y, ink.shape[0]) for part in parts)
        assert all((part[0].stop - part[0].start) < HEIGHT / 2 for part in parts)


def test_a_blank_page_has_nothing_to_look_at() -> None:
    assert busy_parts(seen(blank())) == []
    assert fine_parts(seen(blank())) == []


def test_of_rules_and_large_letters_little_is_looked_at_closely() -> None:
    page = blank()
    cv2.rectangle(page, (100, 100), (900, 900), (0,), 4)
    cv2.putText(page, "LEITH", (150, 600), cv2.FONT_HERSHEY_SIMPLEX, 7.0, (0,), 30)
    looked_at = np.zeros(page.shape, dtype=np.bool_)
    for part in fine_parts(seen(page)):
        looked_at[part] = True
    assert looked_at.mean() < 0.2


def test_a_picture_smaller_than_a_few_blocks_has_no_texture() -> None:
    tiny = np.full((20, 300), 255, dtype=np.uint8)
    assert texture(tiny, tiny[::2, ::2]) is None
