"""What lies on a label counts as covered; what is printed on it, however large and dark, does not."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from worker.domain.image import PageImage, Pixels, TextRegion
from worker.pipeline.quality.gate import measure
from worker.pipeline.quality.text import COVERED, text_figures

WIDTH, HEIGHT = 1000, 900
LEFT, LETTER, STEP, TOP = 20, 24, 46, 70
WORDS = ("PARCEL SERVICE 4711", "MUSTER WEG 25 HAMBURG", "REF 00B4 EXPRESS XW", "ORDER 8WN 55 KG NETTO")
SHORTEST = 40
Mask = NDArray[np.bool_]
Design = Callable[[int, int], tuple[Pixels, list[TextRegion]]]


def paper() -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), 250, dtype=np.uint8)


def lettered(pixels: Pixels, places: Sequence[tuple[int, int]], ink: int = 15) -> list[TextRegion]:
    """Print a line at each (left, baseline), and return the regions that a detector finds."""
    found = []
    for number, (left, bottom) in enumerate(places):
        words = WORDS[number % len(WORDS)]
        (length, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 1.1, 2)
        cv2.putText(pixels, words, (left, bottom), cv2.FONT_HERSHEY_DUPLEX, 1.1, (ink, ink, ink), 2, cv2.LINE_AA)
        found.append(region(left, left + length, bottom))
    return found


def region(left: float, right: float, bottom: int) -> TextRegion:
    """Return a line's region, grown by 6 pixels."""
    box = [[left - 6, bottom - LETTER - 6], [right + 6, bottom - LETTER - 6], [right + 6, bottom + 6]]
    return TextRegion(np.array([*box, [left - 6, bottom + 6]], dtype=np.float64), 0.85, 6.0)


def label() -> tuple[Pixels, list[TextRegion]]:
    """Return a label full of lines, two side by side."""
    pixels = paper()
    places = [(left, bottom) for bottom in range(TOP, HEIGHT - 20, STEP) for left in (LEFT, LEFT + 500)]
    return pixels, lettered(pixels, places)


def laid(cover: Mask, level: int) -> tuple[Pixels, list[TextRegion]]:
    """Lay something over a label; a detector finds the parts of lines that are left to see."""
    pixels, regions = label()
    pixels[cover] = level
    left_over = []
    for one in regions:
        bottom = int(one.quad[2, 1] - 6)
        start, end = int(one.quad[0, 0] + 6), int(one.quad[1, 0] - 6)
        hidden = cover[bottom - LETTER // 2, start:end]
        edges = np.flatnonzero(np.diff(np.concatenate([[1], hidden.astype(int), [1]])))
        left_over += [region(start + a, start + b, bottom) for a, b in edges.reshape(-1, 2) if b - a > SHORTEST]
    return pixels, left_over


def covered(pixels: Pixels, regions: list[TextRegion]) -> float:
    height, width = pixels.shape[:2]
    return text_figures(measure(PageImage(pixels)), regions, (width, height))[COVERED]


def turned(pixels: Pixels, regions: list[TextRegion], quarters: int) -> tuple[Pixels, list[TextRegion]]:
    """Turn a picture clockwise, its regions still running along their lines."""
    for _ in range(quarters):
        high = pixels.shape[0]
        pixels = np.ascontiguousarray(np.rot90(pixels, -1))
        regions = [
            TextRegion(np.stack([high - one.quad[:, 1], one.quad[:, 0]], axis=1), one.score, one.growth_pixels)
            for one in regions
        ]
    return pixels, regions


def tape(degrees: float, width: int) -> Mask:
    drawn = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    reach = 2000 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    start, end = (np.rint((300, 450) + side * reach).astype(int).tolist() for side in (-1, 1))
    cv2.line(drawn, start, end, 1, width)
    return drawn > 0


def sticker(degrees: float) -> Mask:
    drawn = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    corners = cv2.boxPoints(((430.0, 430.0), (420.0, 300.0), degrees))
    cv2.fillConvexPoly(drawn, np.rint(corners).astype(np.int32), 1)
    return drawn > 0


COVERS = {
    "tape upright": tape(90, 130),
    "tape askew": tape(70, 120),
    "tape across": tape(40, 130),
    "tape falling": tape(125, 110),
    "sticker": sticker(0),
    "sticker askew": sticker(25),
}


@pytest.mark.parametrize("name", COVERS)
@pytest.mark.parametrize("level", [10, 90, 150])
def test_what_cuts_lines_of_text_covers_the_label(name: str, level: int) -> None:
    share = float(COVERS[name].mean())
    assert covered(*laid(COVERS[name], level)) == pytest.approx(share, rel=0.6)
    assert covered(*label()) == 0.0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_cover_is_seen_on_a_turned_page(quarters: int) -> None:
    assert covered(*turned(*laid(tape(70, 120), 90), quarters)) > 0.05


def test_a_wider_cover_covers_more() -> None:
    shares = [covered(*laid(tape(75, width), 90)) for width in (110, 180, 260)]
    assert 0.0 < shares[0] < shares[1] < shares[2]


def band(level: int, gap: int) -> tuple[Pixels, list[TextRegion]]:
    """Print a bar right across between two lines, with light print in it."""
    pixels = paper()
    pixels[300:420] = level
    regions = lettered(pixels, [(LEFT, y) for y in (*range(70, 300 - gap, STEP), 300 - gap)])
    regions += lettered(pixels, [(LEFT, y) for y in range(420 + gap + LETTER, HEIGHT - 20, STEP)])
    return pixels, regions + lettered(pixels, [(300, 375)], ink=250)


def boxes(level: int, gap: int) -> tuple[Pixels, list[TextRegion]]:
    """Print filled boxes right and left of every line's end."""
    pixels = paper()
    regions = lettered(pixels, [(250, y) for y in range(TOP, HEIGHT - 20, STEP)])
    for one in regions:
        top, bottom = int(one.quad[0, 1]) - 12, int(one.quad[2, 1]) + 12
        pixels[max(0, top) : bottom, 100 : 250 - gap] = level
        pixels[max(0, top) : bottom, int(one.quad[1, 0]) - 6 + gap : 900] = level
    return pixels, regions + lettered(pixels, [(LEFT, HEIGHT - 4)])


def logo(level: int, gap: int) -> tuple[Pixels, list[TextRegion]]:
    """Print a filled disc and lines that stand close to it."""
    pixels = paper()
    cv2.circle(pixels, (780, 450), 200, (level, level, level), -1, cv2.LINE_AA)
    regions = []
    for bottom in range(TOP, HEIGHT - 20, STEP):
        middle = bottom - LETTER / 2 - 450
        reach = 780 - np.sqrt(max(0.0, 200**2 - max(0.0, abs(middle) - LETTER / 2) ** 2))
        words = WORDS[bottom % len(WORDS)]
        (length, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 1.1, 2)
        regions += lettered(pixels, [(int(reach) - gap - length - 40, bottom)])
    return pixels, regions


def reversed_header(level: int, gap: int) -> tuple[Pixels, list[TextRegion]]:
    """Print the upper third light on dark."""
    pixels = paper()
    pixels[: 300 - gap] = level
    above = lettered(pixels, [(left, y) for y in range(TOP, 280, STEP) for left in (LEFT, 520)], ink=250)
    return pixels, above + lettered(pixels, [(LEFT, y) for y in range(340, HEIGHT - 20, STEP)])


@pytest.mark.parametrize("design", [band, boxes, logo, reversed_header])
@pytest.mark.parametrize("level", [0, 70, 150])
@pytest.mark.parametrize("gap", [5, 12])
@pytest.mark.parametrize("quarters", [0, 1])
def test_solid_print_is_no_cover(design: Design, level: int, gap: int, quarters: int) -> None:
    assert covered(*turned(*design(level, gap), quarters)) == 0.0


def test_a_straight_edge_along_the_lines_tells_nothing() -> None:
    hidden = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hidden[340:480] = True
    assert covered(*laid(hidden, 90)) == 0.0
