"""A drawn page whose text is known, so that a server can be asked whether it reads at all."""

from collections.abc import Collection, Container
from typing import Final

import cv2
import numpy as np

GOLDEN_LINES: Final = ("SHIP TO 4711 HARBOR ROAD", "PARCEL 8 OF 20", "NET WEIGHT 12.5 KG", "4711 80 20")
_HEIGHT_PIXELS: Final = 400
_WIDTH_PIXELS: Final = 720
_FIRST_FOOT_PIXELS: Final = 90
_STEP_PIXELS: Final = 80


def draw_golden_page() -> bytes:
    """Return a PNG of black capitals on white paper, one of GOLDEN_LINES below the other."""
    page = np.full((_HEIGHT_PIXELS, _WIDTH_PIXELS, 3), 255, dtype=np.uint8)
    for row, text in enumerate(GOLDEN_LINES):
        foot = (40, _FIRST_FOOT_PIXELS + _STEP_PIXELS * row)
        cv2.putText(page, text, foot, cv2.FONT_HERSHEY_DUPLEX, 1.3, (20, 20, 20), 2, cv2.LINE_AA)
    _, encoded = cv2.imencode(".png", page)
    return encoded.tobytes()


def missed_lines(read: Collection[str], alphabet: Container[str]) -> list[str]:
    """Return the golden lines of this alphabet that are not among what was read; spaces do not count."""
    found = {"".join(text.split()) for text in read}
    lines = {line: "".join(line.split()) for line in GOLDEN_LINES}
    return [line for line, text in lines.items() if text not in found and all(each in alphabet for each in text)]
