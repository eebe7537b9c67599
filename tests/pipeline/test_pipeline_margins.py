"""Margins are blank paper and specks: what was found and what looks like print is never in one."""

import cv2
import numpy as np
import pytest

from worker.domain.image import PageImage, Pixels, TextRegion
from worker.domain.manifest import TileShapes
from worker.pipeline.detect.content_box import within_margins
from worker.pipeline.detect.detail_grid import count_steps
from worker.pipeline.detect.tile import tile_page
from worker.pipeline.options import PipelineOptions

WIDTH, HEIGHT = 1000, 1400


def blank() -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), 245, dtype=np.uint8)


def printed() -> Pixels:
    """Return a page with three lines of print and specks around them."""
    page = blank()
    for baseline in (500, 540, 580):
        cv2.putText(page, "SHIP TO 12 HARBOUR ROAD", (300, baseline), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    for x, y in ((40, 60), (930, 700), (500, 1350)):
        cv2.circle(page, (x, y), 5, (0, 0, 0), -1)
    return page


def region(left: float, top: float, right: float, bottom: float) -> TextRegion:
    return TextRegion(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64), 1.0)


def test_print_counts_and_specks_do_not() -> None:
    left, top, right, bottom = within_margins(PageImage(printed()), [])
    assert 200 < left < 290
    assert 400 < top < 470
    assert 720 < right < 850
    assert 590 < bottom < 680


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 1), (1, 1)])
def test_a_page_with_an_odd_edge_has_the_margins_of_one_without(rows: int, columns: int) -> None:
    longer = np.pad(printed(), ((0, rows), (0, columns), (0, 0)), mode="edge")
    even = within_margins(PageImage(printed()), [])
    assert np.abs(np.subtract(within_margins(PageImage(longer), []), even)).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (41, 1), (2, 3)])
def test_steps_are_counted_on_a_page_of_any_size(shape: tuple[int, int]) -> None:
    steps = count_steps(np.zeros((*shape, 3), dtype=np.uint8))
    assert steps.shape == (-(-shape[0] // 32), -(-shape[1] // 32))
    assert not steps.any()


def test_a_region_that_was_found_is_never_in_a_margin() -> None:
    left, top, right, bottom = within_margins(
        PageImage(printed()), [region(20, 40, 60, 80), region(950, 1380, 999, 1399)]
    )
    assert (left, top, right, bottom) == (0, 8, WIDTH, HEIGHT)


def test_a_page_without_print_has_no_margins() -> None:
    assert within_margins(PageImage(blank()), []) == (0, 0, WIDTH, HEIGHT)


def test_a_part_is_shown_at_the_scale_and_in_the_place_that_it_has_on_the_page() -> None:
    page, options = PageImage(printed()), PipelineOptions(detection_long_side=700)
    whole, part = (tile_page(page, TileShapes(), options, box) for box in (None, (250, 450, 800, 650)))
    assert part.scale == whole.scale == 0.5
    assert (part.width, part.height) == (275, 100)
    np.testing.assert_allclose(part.to_page.apply(np.array([[0.0, 0.0], [275.0, 100.0]])), [[250, 450], [800, 650]])
    difference = np.abs(part.tile.pixels[:100, :275].astype(int) - whole.tile.pixels[225:325, 125:400])
    assert difference.mean() < 1
