import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lab.synth import fonts
from worker.lab.synth.camera import CONDITIONS, Degradation, Homography, photograph, place_sheet
from worker.lab.synth.chance import Chance
from worker.lab.synth.draw import Sheet, Style

seeds = st.integers(0, 2**32 - 1)
degradations = st.sampled_from([Degradation.MILD, Degradation.STRONG])


@given(seeds, degradations, st.integers(200, 2000), st.integers(200, 2000))
@settings(deadline=None)
def test_there_and_back(seed: int, degradation: Degradation, width: int, height: int) -> None:
    placement = place_sheet(width, height, CONDITIONS[degradation], Chance(seed))
    points = Chance(seed, 1).generator.uniform(0, 1, (12, 2)) * (width, height)
    there = placement.homography.apply(points)
    back = Homography(np.asarray(np.linalg.inv(placement.homography.matrix), dtype=np.float64))
    np.testing.assert_allclose(back.apply(there), points, atol=1e-6)
    assert there.min() >= 0
    assert (there <= (placement.width, placement.height)).all()


def test_a_map_between_corners_meets_them() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    skewed = np.array([[1.0, 2.0], [14.0, 1.0], [12.0, 13.0], [0.0, 11.0]])
    np.testing.assert_allclose(Homography.between(square, skewed).apply(square), skewed, atol=1e-5)


@given(seeds, degradations)
@settings(max_examples=15, deadline=None)
def test_truth_moves_with_the_ink(seed: int, degradation: Degradation) -> None:
    sheet = Sheet(600, 400, 1.0)
    sheet.text(60, 220, "QLMU 305438 3", Style(fonts.ROBOTO.bold, 60))
    placement = place_sheet(600, 400, CONDITIONS[degradation], Chance(seed))
    matrix = placement.homography.between_pixel_centers()
    ink = cv2.warpPerspective(255 - sheet.pixels[..., 0], matrix, (placement.width, placement.height)) > 128
    corners = placement.homography.apply(np.array(sheet.lines[0].polygon))
    points = np.argwhere(ink)[:, ::-1] + 0.5
    quad = corners.astype(np.float32)
    distances = [cv2.pointPolygonTest(quad, (float(x), float(y)), True) for x, y in points[::7]]
    assert min(distances) > -0.75
    # The smallest box turned as the ink is hardly smaller than the polygon.
    (_, sides, _) = cv2.minAreaRect(points.astype(np.float32))
    assert cv2.contourArea(quad) <= 1.12 * (sides[0] + 1) * (sides[1] + 1)


@pytest.mark.parametrize("degradation", [Degradation.MILD, Degradation.STRONG])
def test_a_photograph_keeps_dark_ink_on_light_paper(degradation: Degradation) -> None:
    sheet = Sheet(400, 300, 1.0)
    sheet.fill(100, 100, 300, 200)
    conditions = CONDITIONS[degradation]
    placement = place_sheet(400, 300, conditions, Chance(4))
    picture = photograph(sheet.pixels, placement, conditions, Chance(5))
    assert picture.shape == (placement.height, placement.width, 3)
    inked, bare = placement.homography.apply(np.array([[200.0, 150.0], [200.0, 50.0]])).astype(int)
    dark, light = (picture[y - 8 : y + 8, x - 8 : x + 8].mean() for x, y in (inked, bare))
    assert light - dark > 60


def test_pixels_and_polygons_are_magnified_alike() -> None:
    sheet = np.zeros((40, 40), np.uint8)
    sheet[10:20, 12:24] = 255
    double = Homography(np.diag([2.0, 2.0, 1.0]))
    larger = cv2.warpPerspective(sheet, double.between_pixel_centers(), (80, 80), flags=cv2.INTER_NEAREST) > 0
    corner = double.apply(np.array([12.0, 10.0])).astype(int)
    assert larger[corner[1] : corner[1] + 20, corner[0] : corner[0] + 24].all()
    assert larger.sum() == 20 * 24
