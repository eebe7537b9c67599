import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.domain.image import PageImage, Pixels, TextRegion
from worker.lab.evaluation.quality.degradation import Factor, degrade
from worker.lab.synth.chance import Chance
from worker.pipeline.options import QualityOptions
from worker.pipeline.quality.gate import judge, measure, measure_windows
from worker.pipeline.quality.text import (
    BLUR,
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    INK,
    NOISE,
    PAPER,
    TEXT_HEIGHT,
    text_figures,
)

ROWS, COLUMNS, HEIGHT = 12, 2, 22


def page(paper: int = 255, ink: int = 0) -> Pixels:
    """Return a label of 640 x 480 pixels with lines of print 22 pixels high."""
    pixels = np.full((480, 640, 3), paper, dtype=np.uint8)
    for row in range(ROWS):
        for column in range(COLUMNS):
            at = (16 + 310 * column, 34 + 38 * row)
            cv2.putText(
                pixels, f"PARCEL {row}K{column}8WN", at, cv2.FONT_HERSHEY_DUPLEX, 0.95, (ink, ink, ink), 2, cv2.LINE_AA
            )
    return pixels


def regions(scale: float = 1.0, score: float = 0.85) -> list[TextRegion]:
    found = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            left, bottom = 16 + 310 * column, 34 + 38 * row
            quad = np.array(
                [[left, bottom - HEIGHT], [left + 290, bottom - HEIGHT], [left + 290, bottom], [left, bottom]]
            )
            found.append(TextRegion(scale * quad.astype(np.float64), score))
    return found


def figures(pixels: Pixels, found: list[TextRegion] | None = None) -> dict[str, float]:
    height, width = pixels.shape[:2]
    return text_figures(measure(PageImage(pixels)), regions() if found is None else found, (width, height))


def score(pixels: Pixels, found: list[TextRegion] | None = None) -> float:
    height, width = pixels.shape[:2]
    return judge(
        measure(PageImage(pixels)), regions() if found is None else found, (width, height), QualityOptions()
    ).score


def spoilt(factor: Factor, amount: float, pixels: Pixels | None = None) -> Pixels:
    return degrade(page() if pixels is None else pixels, factor, amount, Chance(3))


def rises(values: list[float]) -> bool:
    return all(low < high for low, high in itertools.pairwise(values))


def test_a_clean_scan_is_good() -> None:
    measured = figures(page())
    assert score(page()) > 0.97
    assert measured[BLUR] < 0.8
    assert measured[NOISE] == 0.0
    assert measured[GLARE] == measured[COVERED] == 0.0
    assert measured[PAPER] == 255.0
    assert measured[INK] < 4.0


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5, 3.5])
def test_blur_is_found_in_pixels(sigma: float) -> None:
    assert figures(spoilt(Factor.DEFOCUS, sigma))[BLUR] == pytest.approx(sigma, rel=0.25)


def moved(length: float, degrees: float, pixels: Pixels) -> Pixels:
    """Smear along a straight path of a length in pixels."""
    path = np.zeros((31, 31), dtype=np.float32)
    way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    places = np.linspace(-length / 2, length / 2, 2000)[:, None] * way + 15
    left, top = np.floor(places).astype(int).T
    x, y = (places - np.floor(places)).T
    for right, below in itertools.product((0, 1), repeat=2):
        np.add.at(path, (top + below, left + right), (x if right else 1 - x) * (y if below else 1 - y))
    return np.asarray(cv2.filter2D(pixels, -1, path / path.sum(), borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


@pytest.mark.parametrize("degrees", range(0, 180, 11))
@pytest.mark.parametrize("length", [6, 10, 15, 20])
def test_motion_is_found_by_its_path_in_any_direction(length: int, degrees: int) -> None:
    deviation = length / np.sqrt(12)
    assert figures(moved(length, degrees, page()))[BLUR] == pytest.approx(deviation, rel=0.35)


@pytest.mark.parametrize("degrees", [0, 12, 33, 78, 101])
def test_a_long_path_leaves_little_to_read(degrees: int) -> None:
    assert score(moved(18, degrees, page())) < 0.4
    assert score(moved(4, degrees, page())) > 0.95


@pytest.mark.parametrize(
    ("factor", "amounts", "measure_name"),
    [
        (Factor.DEFOCUS, [1.0, 2.0, 4.0, 7.0], BLUR_SHARE),
        (Factor.MOTION, [4.0, 8.0, 14.0], BLUR_SHARE),
        (Factor.NOISE, [10.0, 30.0, 80.0], NOISE),
        (Factor.CONTRAST, [0.03, 0.1, 0.4, 0.8], CONTRAST),
        (Factor.UNDER_EXPOSURE, [0.05, 0.2, 0.6], PAPER),
        (Factor.OVER_EXPOSURE, [1.2, 2.5, 4.0], INK),
    ],
)
def test_a_measure_follows_what_is_wrong(factor: Factor, amounts: list[float], measure_name: str) -> None:
    assert rises([figures(spoilt(factor, amount))[measure_name] for amount in amounts])


@pytest.mark.parametrize(
    ("factor", "amounts"),
    [
        (Factor.DEFOCUS, [7.0, 4.0, 2.0]),
        (Factor.MOTION, [17.0, 9.0, 4.0]),
        (Factor.NOISE, [160.0, 90.0, 20.0]),
        (Factor.CONTRAST, [0.02, 0.05, 0.2]),
        (Factor.UNDER_EXPOSURE, [0.03, 0.07, 0.4]),
        (Factor.OVER_EXPOSURE, [5.3, 4.6, 3.0]),
    ],
)
def test_the_score_rises_as_the_picture_gets_better(factor: Factor, amounts: list[float]) -> None:
    assert rises([score(spoilt(factor, amount)) for amount in amounts])


def test_small_print_lowers_the_score() -> None:
    scores = [score(spoilt(Factor.RESOLUTION, scale), regions(scale)) for scale in (0.25, 0.35, 0.5, 1.0)]
    assert rises(scores)
    assert scores[0] < 0.4
    assert figures(spoilt(Factor.RESOLUTION, 0.5), regions(0.5))[TEXT_HEIGHT] == HEIGHT / 2


def test_what_the_detector_grew_is_no_height() -> None:
    grown = [TextRegion(region.quad + np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]]), 0.8, 5.0) for region in regions()]
    assert figures(page(), grown)[TEXT_HEIGHT] == pytest.approx(HEIGHT + 6)


def test_an_unsure_detector_lowers_the_score() -> None:
    assert rises([score(page(), regions(score=value)) for value in (0.4, 0.55, 0.7, 0.85)])
    assert figures(page(), regions(score=0.7))[DETECTION] == pytest.approx(0.7)


def left_free(bottom: int) -> list[TextRegion]:
    """Return the regions below a row: a detector finds nothing under what covers the upper part."""
    return [region for region in regions() if region.quad[:, 1].min() > bottom or region.quad[:, 1].max() < 40]


def test_what_hides_text_is_found_by_its_size() -> None:
    shares, scores = [], []
    for bottom in (60, 180, 300, 420):
        pixels = page(paper=225, ink=20)
        pixels[44:bottom] = 255
        found = left_free(bottom)
        shares.append(figures(pixels, found)[GLARE])
        scores.append(score(pixels, found))
    assert shares[0] == 0.0
    assert rises(shares)
    assert rises(scores[::-1])
    assert scores[-1] < 0.5


def test_white_paper_is_neither_glare_nor_over_exposed() -> None:
    sparse = page()
    sparse[100:380] = 255
    spared = [one for one in regions() if not 90 < one.quad[:, 1].mean() < 390]
    assert figures(sparse, spared)[GLARE] == 0.0
    assert judge(measure(PageImage(sparse)), spared, (640, 480), QualityOptions()).problems == ()


def test_reversed_print_is_no_cover() -> None:
    banner = page()
    banner[200:300] = 255 - banner[200:300]
    assert figures(banner)[COVERED] < 0.05


def gap() -> tuple[Pixels, list[TextRegion]]:
    """Return a page of gray paper whose middle holds no text, and its regions."""
    pixels = page(paper=230)
    pixels[100:380] = 230
    return pixels, [one for one in regions() if not 90 < one.quad[:, 1].mean() < 390]


def test_a_shadow_is_no_cover() -> None:
    pixels, found = gap()
    light = np.linspace(1.0, 0.4, 640, dtype=np.float32)[None, :, None]
    shaded = (pixels * light).astype(np.uint8)
    assert figures(shaded, found)[COVERED] == 0.0
    assert score(shaded, found) > 0.95


def test_dim_print_is_no_cover() -> None:
    assert figures(page(paper=45, ink=8))[COVERED] == 0.0


def test_a_tinted_panel_does_not_make_white_paper_glare() -> None:
    panel = page()
    panel[:300] = np.minimum(panel[:300], 215)
    panel[140:240] = 255
    spared = [one for one in regions() if not 130 < one.quad[:, 1].mean() < 250]
    assert np.median(measure(PageImage(panel)).highest) == 255
    assert figures(panel, spared)[GLARE] == 0.0


@pytest.mark.parametrize("upright", [False, True])
def test_bars_and_rules_that_pass_for_text_are_no_blur(*, upright: bool) -> None:
    barred = page()
    stripes = np.where(np.arange(640) % 9 < 4, 0, 255).astype(np.uint8)
    barred[:, 250:] = stripes[None, 250:, None] if upright else stripes[:480, None, None]
    blurred = spoilt(Factor.DEFOCUS, 1.5, barred)
    assert figures(blurred)[BLUR] == pytest.approx(1.5, abs=0.4)


def test_noise_does_not_pass_for_sharpness() -> None:
    blurred = spoilt(Factor.DEFOCUS, 3.0)
    noisy = spoilt(Factor.NOISE, 30.0, blurred)
    assert figures(noisy)[BLUR] == pytest.approx(figures(blurred)[BLUR], rel=0.15)


def test_dark_noise_costs_more_than_dark() -> None:
    dim = page(paper=60, ink=10)
    assert figures(spoilt(Factor.NOISE, 12.0, dim))[CONTRAST_TO_NOISE] < figures(dim)[CONTRAST_TO_NOISE] / 3


def test_windows_are_measured_as_their_page_is() -> None:
    pixels = spoilt(Factor.DEFOCUS, 3.0)
    whole = figures(pixels)
    parts = measure_windows([pixels[:240], pixels[240:]], [(0, 0), (0, 240)])
    windows = text_figures(parts, regions(), (640, 480))
    assert windows[BLUR] == pytest.approx(whole[BLUR], rel=0.1)
    assert windows[CONTRAST] == pytest.approx(whole[CONTRAST], rel=0.05)
    assert GLARE not in windows
    assert COVERED not in windows


def test_windows_of_unknown_places_are_judged_by_their_busiest_blocks() -> None:
    pixels = spoilt(Factor.DEFOCUS, 3.0)
    background = np.asarray(cv2.GaussianBlur(page(), (0, 0), 12), dtype=np.uint8)
    blind = text_figures(measure_windows([pixels, background, background]), regions(), (640, 480))
    assert blind[BLUR] == pytest.approx(figures(pixels)[BLUR], rel=0.25)


def test_a_page_of_many_pixels_is_sampled() -> None:
    large: NDArray[np.uint8] = np.tile(spoilt(Factor.DEFOCUS, 3.0), (4, 3, 1))
    measured = measure(PageImage(large))
    sampled = ~np.isnan(measured.slopes[:, 0])
    assert 0.1 < sampled.mean() < 0.2
    assert sampled.reshape(measured.grid or ()).any(axis=1).all()
    assert sampled.reshape(measured.grid or ()).any(axis=0).all()
    found = [
        TextRegion(one.quad + np.array([x, y]), one.score)
        for one in regions()
        for x in (0, 640, 1280)
        for y in (0, 960)
    ]
    assert text_figures(measured, found, (1920, 1920))[BLUR] == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (40, 31), (33, 64), (1000, 7)])
def test_any_shape_is_measured(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    quad = np.array([[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]], dtype=np.float64)
    for found in ([], [TextRegion(quad, 0.5)]):
        judged = judge(measure(PageImage(pixels)), found, (shape[1], shape[0]), QualityOptions())
        assert 0.0 <= judged.score <= 1.0
        assert all(np.isfinite(value) for value in judged.measures.values())
