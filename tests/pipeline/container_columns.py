"""Pictures of container numbers that are printed downwards, and what a detector finds of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from worker.domain.geometry import Points
from worker.domain.image import Pixels, TextRegion
from worker.lab.synth.fonts import ROBOTO, load

NUMBER = "MSCU 676540 0"
_GROWTH = 0.15  # of its height around a character: what a detector adds


@dataclass(frozen=True)
class Print:
    """How a column is printed; lengths are in heights of its capitals."""

    size: int = 60
    pitch: float = 1.45
    gap: float = 0.6
    ink: tuple[int, int, int] = (10, 10, 10)
    ground: tuple[int, int, int] = (245, 245, 245)
    boxed: bool = False
    below: str = ""


def drawn(*columns: str, style: Print = Print(), beside: Sequence[str] = ()) -> tuple[Pixels, list[Points]]:
    """Return a picture of columns beside one another, a space a gap, and the rectangle of each character."""
    face = load(ROBOTO.bold, style.size)
    _, top, _, bottom = face.getbbox("H")
    cap = bottom - top
    height = int(cap * (len(columns[0]) * style.pitch + 3 * style.gap + 6))
    page = Image.new("RGB", (int(cap * (4 + 3 * len(columns) + 14 * bool(beside))), height), style.ground)
    draw = ImageDraw.Draw(page)
    quads = []
    for number, text in enumerate(columns):
        x, y = cap * (2.2 + 3 * number), cap * 1.5
        for character in text:
            if character == " ":
                y += cap * style.gap
                continue
            width = face.getlength(character)
            draw.text((x - width / 2, y - top), character, font=face, fill=style.ink)
            quads.append(rectangle(x - width / 2, y, x + width / 2, y + cap, cap * _GROWTH))
            y += cap * style.pitch
        if style.boxed:
            y -= cap * style.pitch
            draw.rectangle((x - 0.75 * cap, y - 0.3 * cap, x + 0.75 * cap, y + 1.3 * cap), outline=style.ink, width=4)
        if style.below:
            draw.text((x - face.getlength(style.below) / 2, y + cap * 1.5), style.below, font=face, fill=style.ink)
    small = load(ROBOTO.bold, style.size // 2)
    for row, text in enumerate(beside):
        draw.text((cap * (1 + 3 * len(columns)), cap * (1.5 + style.pitch * row)), text, font=small, fill=style.ink)
    return np.ascontiguousarray(np.asarray(page)[:, :, ::-1]), quads


def rectangle(left: float, top: float, right: float, bottom: float, more: float) -> Points:
    """Return the corners of a rectangle that is grown on all sides."""
    return np.array(
        [
            (left - more, top - more),
            (right + more, top - more),
            (right + more, bottom + more),
            (left - more, bottom + more),
        ]
    )


def merged(quads: Sequence[Points]) -> Points:
    """Return the rectangle around characters as a line that runs down, from its top right."""
    corners = np.concatenate(quads)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return np.roll(rectangle(left, top, right, bottom, 0.0), -1, axis=0)


def regions_of(quads: Sequence[Points]) -> list[TextRegion]:
    return [TextRegion(quad, 0.9) for quad in quads]
