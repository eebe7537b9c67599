"""Where a page's texture may be that of symbols."""

import numpy as np
import pytest
import zxingcpp

from worker.domain.geometry import Points
from worker.domain.image import Pixels
from worker.pipeline.barcodes.linear import find_bars
from worker.pipeline.barcodes.maxicode import MIN_SIDE_PIXELS
from worker.pipeline.barcodes.texture import Texture, matrix_middles, outside, printed_parts, texture

HEIGHT, WIDTH = 1200, 1000
AREA = np.array([[100, 200], [500, 200], [500, 700], [100, 700]], dtype=np.float64)


def seen(page: Pixels) -> Texture:
    found = texture(page)
    assert found is not None
    return found


def blank() -> Pixels:
    return np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)


def page_with(name: str, place: tuple[int, int], scale: int) -> tuple[Pixels, Points]:
    code = zxingcpp.create_barcode("hello world 123", zxingcpp.BarcodeFormat[name])
    ink = np.array(code.to_image(scale=scale, add_quiet_zones=False), dtype=np.uint8)
    page, (x, y) = blank(), place
    page[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    right, bottom = x + ink.shape[1], y + ink.shape[0]
    return page, np.array([[x, y], [right, y], [right, bottom], [x, bottom]], dtype=np.float64)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("place", [(333, 555), (120, 800), (10, 11)])
def test_maxicode_is_a_matrix_unless_it_is_known(place: tuple[int, int], scale: int) -> None:
    page, area = page_with("MaxiCode", place, scale)
    middles = matrix_middles(seen(page), [], MIN_SIDE_PIXELS)
    assert middles.has(*area.mean(axis=0))
    assert not middles.has(*(area.mean(axis=0) + np.array([0, 300 if place[1] < 600 else -300])))
    assert not matrix_middles(seen(page), [area], MIN_SIDE_PIXELS).any()


def test_a_blank_page_holds_no_matrix() -> None:
    middles = matrix_middles(seen(blank()), [], MIN_SIDE_PIXELS)
    assert not middles.any()
    assert not middles.has(WIDTH - 1, HEIGHT - 1)  # beyond the last whole block


def test_what_is_known_is_not_found_again() -> None:
    page, area = page_with("Code128", (100, 300), 3)
    assert len(find_bars(page, seen(page))) == 1
    assert find_bars(page, seen(page), [area]) == []
    assert len(find_bars(page, seen(page), [area + np.array([0, 600])])) == 1


def test_blocks_outside_of_areas_leave_out_those_around_them() -> None:
    fresh = outside(seen(blank()), [AREA])
    assert fresh[0, 0] == 1
    assert fresh[30, 20] == 0  # the middle
    assert 0.7 < fresh.mean() < 1 - 400 * 500 / (HEIGHT * WIDTH)


def test_a_picture_smaller_than_a_few_blocks_has_no_texture() -> None:
    assert texture(np.full((20, 300), 255, dtype=np.uint8)) is None


def test_the_parts_that_hold_print_reach_around_it_and_to_the_edge() -> None:
    page, area = page_with("QRCode", (420, 1109), 3)
    parts = printed_parts(seen(page), page.shape)
    assert parts is not None
    [(left, top, right, bottom)] = parts
    assert (np.array([left, top]) <= area[0] - (16, 16)).all()
    assert right >= area[2, 0] + 16
    assert bottom == HEIGHT
    assert (right - left) * (bottom - top) < 0.1 * page.size


def test_parts_of_print_that_are_close_are_one() -> None:
    page, _ = page_with("QRCode", (300, 300), 3)
    page[330:400, 430:500] = page[300:370, 300:370]
    page[900:963, 100:163] = page[300:363, 300:363]
    parts = printed_parts(seen(page), page.shape)
    assert parts is not None
    assert len(parts) == 2


def test_a_page_full_of_print_has_no_parts() -> None:
    page = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8) * 255
    page[: HEIGHT // 4] = 255
    assert printed_parts(seen(page), page.shape) is None
    assert printed_parts(seen(blank()), (HEIGHT, WIDTH)) == []
