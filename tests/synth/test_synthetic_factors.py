"""One thing wrong at a time: the truth stays where the ink is, and the ink stays to be seen."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lab.synth import fonts
from worker.lab.synth.camera import CONDITIONS, Degradation
from worker.lab.synth.chance import Chance
from worker.lab.synth.draw import Sheet, Style
from worker.lab.synth.factors import SINGLE_FACTORS, degraded

KINDS = sorted(SINGLE_FACTORS, key=lambda kind: kind.value)
# What may hide or empty the one word of the sheet, or draw marks as dark as ink.
HIDING = {Degradation.OCCLUSION, Degradation.GLARE}


def sheet() -> Sheet:
    drawn = Sheet(520, 240, 1.0)
    drawn.text(60, 150, "QLMU 305438", Style(fonts.ROBOTO.bold, 60))
    return drawn


def test_every_kind_is_made_somehow() -> None:
    assert SINGLE_FACTORS | set(CONDITIONS) | {Degradation.NONE} == set(Degradation)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_chance_gives_the_same_picture(kind: Degradation) -> None:
    first, again, *others = (degraded(sheet().pixels, kind, 1.0, Chance(seed)) for seed in (3, 3, 4, 5, 6))

    assert first[0].dtype == np.uint8
    np.testing.assert_array_equal(first[0], again[0])
    assert first[2] == again[2]
    assert any(first[2] != other[2] or not np.array_equal(first[0], other[0]) for other in others)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in HIDING])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_the_ink_is_where_the_truth_says(kind: Degradation, seed: int) -> None:
    drawn = sheet()
    pixels, homography, _ = degraded(drawn.pixels, kind, 1.0, Chance(seed))
    corners = homography.apply(np.array(drawn.lines[0].polygon))
    assert corners.min() >= 0
    assert (corners <= (pixels.shape[1], pixels.shape[0])).all()
    inside = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint(corners).astype(np.int32)], 1)
    gray = pixels.mean(axis=2)
    contrast = np.median(gray[inside == 0]) - gray[inside == 1].mean()
    assert contrast > 4


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_pictures_keep_their_corners(quarters: int) -> None:
    pixels = np.zeros((3, 5, 3), np.uint8)
    pixels[0, 0] = 255
    for seed in range(40):
        turned, homography, _ = degraded(pixels, Degradation.TURNED, 1.0, Chance(seed))
        if np.array_equal(turned, np.rot90(pixels, -quarters)):
            x, y = np.floor(homography.apply(np.array([0.5, 0.5]))).astype(int)
            assert turned[y, x, 0] == 255
            return
    pytest.fail("never turned so")


def test_occlusion_and_glare_leave_most_of_the_label_alone() -> None:
    pixels = np.full((800, 600, 3), 255, np.uint8)
    pixels[::8] = 0
    for kind in HIDING:
        for seed in range(6):
            changed, _, _ = degraded(pixels, kind, 1.0, Chance(seed))
            lines_left = (changed[4::8].mean(axis=2) - changed[::8].mean(axis=2)) > 60
            assert lines_left.mean() > 0.5, (kind, seed)
