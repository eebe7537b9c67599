import cv2
import numpy as np
import pytest

from worker.domain.errors import Disposition, ErrorCode, JobError, Stage
from worker.domain.image import PageImage, Pixels, TextRegion
from worker.domain.quality import PageQuality
from worker.pipeline.options import QualityMode, QualityOptions
from worker.pipeline.quality.gate import (
    QualityGate,
    judge,
    measure,
    refuse_if_hopeless,
    refuse_if_poor,
)
from worker.pipeline.quality.score import CURVES, FLAGGED_SHARE, limit, scored
from worker.pipeline.quality.text import (
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    INK,
    PAPER,
    TEXT_HEIGHT,
)

SIZE = (640, 480)
REFUSE = QualityOptions(QualityMode.REFUSE)
GOOD = {
    TEXT_HEIGHT: 24.0,
    BLUR_SHARE: 0.02,
    CONTRAST: 200.0,
    CONTRAST_TO_NOISE: 60.0,
    DETECTION: 0.85,
    GLARE: 0.0,
    COVERED: 0.0,
    PAPER: 240.0,
    INK: 30.0,
}


def plain(level: int) -> Pixels:
    return np.full((480, 640, 3), level, dtype=np.uint8)


def noisy(pixels: Pixels, deviation: float) -> Pixels:
    noise = deviation * np.random.default_rng(5).standard_normal(pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def bars() -> Pixels:
    pixels = plain(250)
    for left in range(20, 600, 60):
        pixels[40:440, left : left + 30] = 10
    return pixels


def judged(pixels: Pixels) -> PageQuality:
    return judge(measure(PageImage(pixels)), [], SIZE, QualityOptions())


@pytest.mark.parametrize("level", [0, 12, 90, 200, 255])
def test_a_page_of_one_colour_is_blank_and_good(level: int) -> None:
    quality = judged(plain(level))
    assert (quality.score, quality.problems) == (1.0, ())
    QualityGate(REFUSE).judge(QualityGate(REFUSE).measure(PageImage(plain(level))), [], SIZE)


def test_a_blank_photograph_is_good() -> None:
    slope = np.linspace(150, 240, 640)[None, :, None] * np.ones((480, 1, 3))
    quality = judged(noisy(slope.astype(np.uint8), 6.0))
    assert (quality.score, quality.problems) == (1.0, ())


def test_a_blank_page_under_a_hard_shadow_is_not_refused() -> None:
    pixels = plain(230)
    pixels[:, 300:] = 110
    soft = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 14), dtype=np.uint8)
    refuse_if_hopeless(measure(PageImage(soft)), REFUSE)
    assert judged(soft).problems == ()


def test_a_blank_page_in_uneven_light_is_not_refused() -> None:
    slope = np.linspace(40, 230, 640)[None, :, None] * np.ones((480, 1, 3))
    refuse_if_hopeless(measure(PageImage(slope.astype(np.uint8))), REFUSE)
    assert judged(slope.astype(np.uint8)).problems == ()


def test_a_black_picture_in_which_something_is_there_is_refused() -> None:
    dark = noisy((bars() * 0.03).astype(np.uint8), 1.0)
    quality = judged(dark)
    assert (quality.score, quality.problems) == (0.0, (PAPER,))
    with pytest.raises(JobError, match=r"it is black: its brightest place has level \d+ of 255, at least 32"):
        QualityGate(REFUSE).measure(PageImage(dark))


def test_a_picture_blurred_beyond_any_print_is_refused_before_it_is_searched() -> None:
    blurred = np.asarray(cv2.GaussianBlur(bars(), (0, 0), 16), dtype=np.uint8)
    with pytest.raises(JobError, match=r"smeared over \d+ pixels, at most 9 can be read: hold still") as refused:
        QualityGate(REFUSE).measure(PageImage(blurred))
    assert refused.value.code is ErrorCode.IMAGE_QUALITY_POOR
    assert refused.value.stage is Stage.CHECK
    assert refused.value.disposition is Disposition.PERMANENT
    refuse_if_hopeless(measure(PageImage(bars())), REFUSE)


def test_a_blurred_picture_without_text_is_flagged_by_its_blur() -> None:
    blurred = np.asarray(cv2.GaussianBlur(bars(), (0, 0), 8), dtype=np.uint8)
    quality = judged(blurred)
    assert quality.problems[0] == BLUR_SHARE
    assert quality.score < 0.5
    assert judged(bars()).problems == ()


@pytest.mark.parametrize("mode", [QualityMode.FLAG, QualityMode.OFF])
def test_nothing_is_refused_unless_asked_for(mode: QualityMode) -> None:
    options = QualityOptions(mode, floor=1.0)
    refuse_if_poor(PageQuality(0.0, {BLUR_SHARE: 9.0}, (BLUR_SHARE,)), options)
    refuse_if_hopeless(measure(PageImage(noisy((bars() * 0.03).astype(np.uint8), 1.0))), options)


def test_off_measures_nothing() -> None:
    gate = QualityGate(QualityOptions(QualityMode.OFF))
    assert gate.measure(PageImage(plain(3))) is None
    assert gate.measure_windows([plain(3)], [(0, 0)]) is None
    assert gate.judge(None, [], SIZE) is None


@pytest.mark.parametrize(
    ("changes", "problem", "sentence"),
    [
        ({TEXT_HEIGHT: 4.0}, TEXT_HEIGHT, "text are 4 pixels high, at least {:.0f} are needed: come closer, or scan"),
        ({BLUR_SHARE: 0.2}, BLUR_SHARE, "over 20% of the height of the text, at most {:.0%} can be read: hold still"),
        ({CONTRAST: 4.0}, CONTRAST, "from the paper by 4 levels of 255, at least {:.0f} are needed: print darker"),
        ({CONTRAST_TO_NOISE: 1.2}, CONTRAST_TO_NOISE, "1.2 times the noise, at least {:.1f} times is needed: use more"),
        (
            {CONTRAST: 4.0, PAPER: 11.0},
            PAPER,
            "too dark, its paper has level 11 of 255, at least {:.0f} is needed: use",
        ),
        (
            {CONTRAST: 4.0, PAPER: 255.0, INK: 240.0},
            INK,
            "washed out, its ink has level 240 of 255, at most {:.0f} can",
        ),
        ({DETECTION: 0.5}, DETECTION, "a certainty of 0.50 only, at least {:.2f} is needed: lay the label flat"),
        ({GLARE: 0.4}, GLARE, "40% of the area of its text is lost to glare, at most {:.0%} may be: turn the label"),
        ({COVERED: 0.5}, COVERED, "50% of the area of its text lies under something, at most {:.0%} may: uncover"),
    ],
)
def test_a_refusal_says_what_failed_by_how_much_and_what_helps(
    changes: dict[str, float], problem: str, sentence: str
) -> None:
    quality = scored(GOOD | changes, floor=0.6)
    assert quality.problems[0] == problem
    with pytest.raises(JobError) as refused:
        refuse_if_poor(quality, QualityOptions(QualityMode.REFUSE, floor=0.6))
    assert refused.value.code is ErrorCode.IMAGE_QUALITY_POOR
    assert sentence.format(limit(problem)) in refused.value.message
    assert f"its score is {quality.score:.2f}, under the floor of 0.60" in refused.value.message


def test_problems_come_worst_first() -> None:
    quality = scored(GOOD | {BLUR_SHARE: 0.12, GLARE: 0.5, TEXT_HEIGHT: 7.5}, floor=0.5)
    assert quality.problems == (GLARE, BLUR_SHARE, TEXT_HEIGHT)


def test_a_page_under_the_floor_has_a_problem_even_if_each_measure_is_fair() -> None:
    quality = scored(GOOD | {BLUR_SHARE: 0.08, DETECTION: 0.66}, floor=0.97)
    assert all(curve.share(quality.measures[name]) > FLAGGED_SHARE for name, curve in CURVES.items())
    assert len(quality.problems) == 1


def test_a_good_page_has_no_problem() -> None:
    quality = scored(GOOD, floor=0.5)
    assert quality.problems == ()
    assert quality.score > 0.98


@pytest.mark.parametrize("name", list(CURVES))
def test_a_limit_is_where_a_tenth_is_lost(name: str) -> None:
    assert CURVES[name].share(limit(name)) == pytest.approx(FLAGGED_SHARE)


@pytest.mark.parametrize("name", [BLUR_SHARE, TEXT_HEIGHT, CONTRAST])
@pytest.mark.parametrize("value", [0.0, 1e-9, 1e9])
def test_no_value_breaks_a_curve(name: str, value: float) -> None:
    assert 0.0 <= CURVES[name].share(value) <= 1.0


def test_a_page_that_is_worth_reading_passes_the_gate() -> None:
    gate = QualityGate(REFUSE)
    pixels = plain(250)
    for row in range(8):
        cv2.putText(
            pixels, "ROUTE 447 DOCK", (20, 60 + 50 * row), cv2.FONT_HERSHEY_DUPLEX, 1, (0, 0, 0), 2, cv2.LINE_AA
        )
    quads = [
        np.array([[18, top], [300, top], [300, top + 26], [18, top + 26]], dtype=float) for top in range(36, 400, 50)
    ]
    quality = gate.judge(gate.measure(PageImage(pixels)), [TextRegion(quad, 0.8) for quad in quads], SIZE)
    assert quality is not None
    assert quality.score > 0.95
