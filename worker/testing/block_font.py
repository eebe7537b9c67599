"""A font that a few lines of arithmetic can read: each character is a block whose blue level says which one it is.

Blocks have no red, paper has full red; the lower half of a block has a little green, so that a line that stands on its
head is known. It survives scaling and turning, not lossy compression.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels

CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ -"
DICTIONARY: Final = ("", *CHARACTERS)
STRIDE_PIXELS: Final = 8

_LEVELS_APART = 6
_LEVEL_TOLERANCE = 2
_LOWER_GREEN = 90
_BLOCK_PART = 0.8  # of a character's cell; the rest is paper
_PAPER = 255
_HALF_RED = 128
_CLOSED_GAP = 11


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A line to draw: `left` and `top` of its first block, and the height of its blocks, in pixels."""

    text: str
    left: int
    top: int
    height: int = 24


def draw_blocks(lines: Iterable[BlockLine], *, width: int, height: int) -> Pixels:
    """Return white paper, uint8 [height, width, 3] BGR, with the lines on it.

    Lines should be two thirds of their height apart. Raises ValueError for a character that is not in `CHARACTERS`.
    """
    paper = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    for line in lines:
        for place, character in enumerate(line.text):
            left = line.left + place * line.height
            right, bottom = left + round(line.height * _BLOCK_PART), line.top + line.height
            middle = line.top + line.height // 2
            level = CHARACTERS.index(character) * _LEVELS_APART
            paper[line.top : bottom, left:right] = (level, 0, 0)
            paper[middle:bottom, left:right, 1] = _LOWER_GREEN
    return paper


def encode_png(pixels: Pixels) -> bytes:
    """Return the pixels as a PNG."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def find_blocks(tiles: Pixels) -> Pixels:
    """Return where there is text on tiles uint8 [n, h, w, 3]: uint8 [n, h, w], 255 inside of lines and 0 elsewhere."""
    return np.stack([_close_gaps(np.where(tile[:, :, 2] < _HALF_RED, 255, 0).astype(np.uint8)) for tile in tiles])


def is_upside_down(lines: Pixels) -> NDArray[np.float32]:
    """Return 1 for each line of uint8 [n, h, w, 3] whose upper half is the greener, else 0: float32 [n, 1]."""
    half = lines.shape[1] // 2
    green = np.where(lines[..., 2] < _HALF_RED, lines[..., 1], 0).astype(np.float64)
    upside_down = green[:, :half].sum(axis=(1, 2)) > green[:, half:].sum(axis=(1, 2))
    return np.asarray(upside_down[:, np.newaxis], dtype=np.float32)


def read_blocks(lines: Pixels, upside_down: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return tokens int32 [n, T, 1] and confidences float32 [n, T, 1] of lines uint8 [n, h, w, 3], T = w / 8.

    A line is turned by 180° first where `upside_down` float32 [n, 1] is over 0.5. Where a block's lower half is up, its
    level is read wrong on purpose, with little confidence.
    """
    turned = np.where(upside_down[:, :, np.newaxis, np.newaxis] > 0.5, lines[:, ::-1, ::-1], lines)  # noqa: PLR2004
    wrong = is_upside_down(turned) > 0
    row = turned[:, turned.shape[1] // 4]
    count, width, _ = row.shape
    steps = row[:, : width // STRIDE_PIXELS * STRIDE_PIXELS].reshape(count, -1, STRIDE_PIXELS, 3).astype(np.int32)
    blue, red = steps[..., 0], steps[..., 2]
    level = blue.mean(axis=2)
    index = np.clip(np.round(level / _LEVELS_APART), 0, len(CHARACTERS) - 1).astype(np.int32)
    clear = (np.ptp(blue, axis=2) <= _LEVEL_TOLERANCE) & (red.max(axis=2) < _HALF_RED)
    clear &= np.abs(level - index * _LEVELS_APART) <= _LEVEL_TOLERANCE
    right = np.where(wrong, len(CHARACTERS) - index, index + 1)
    tokens = np.where(clear, right, 0).astype(np.int32)
    confidences = np.where(wrong, 0.6, 0.99).astype(np.float32) * np.ones_like(tokens, dtype=np.float32)
    return tokens[..., np.newaxis], confidences[..., np.newaxis].astype(np.float32)


def _close_gaps(blocks: Pixels) -> Pixels:
    """Join the blocks of a line, whether it runs along the page or down."""
    along = cv2.morphologyEx(blocks, cv2.MORPH_CLOSE, np.ones((1, _CLOSED_GAP), dtype=np.uint8))
    down = cv2.morphologyEx(blocks, cv2.MORPH_CLOSE, np.ones((_CLOSED_GAP, 1), dtype=np.uint8))
    return np.asarray(cv2.max(along, down), dtype=np.uint8)
