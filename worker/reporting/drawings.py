"""Drawings of pictures that were read, one file a page.

Invariant: no two pictures of a run share a drawing's name, and no page is held larger than it is drawn where its rows
can be decoded a few at a time.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from worker.domain.errors import LabelwireError
from worker.domain.image import ImageHeader
from worker.domain.result import Page
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.explanation import Rectangle
from worker.reporting.draw import MAX_LONG_SIDE, draw_page


def draw_pages(
    picture: bytes, header: ImageHeader, pages: Sequence[Page], tiles: Sequence[Sequence[Rectangle]], stem: Path
) -> tuple[Path, ...]:
    """Draw each page of a picture, with its tiles, and return the files: `stem`.png, or `stem`.page-1.png and so on.

    Raises JobError for a page that cannot be decoded, LabelwireError for a drawing that cannot be encoded; OSError,
    MemoryError.
    """
    drawings = tuple(stem.with_name(f"{stem.name}{suffix}.png") for suffix in _suffixes(len(pages)))
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number, (page, drawing) in enumerate(zip(pages, drawings, strict=True)):
        small = EncodedPage(picture, header, number).reduced(MAX_LONG_SIDE)
        drawing.write_bytes(_png(np.asarray(draw_page(small, page, tiles[number])), drawing))
    return drawings


def _suffixes(pages: int) -> list[str]:
    """Return what follows the pages' common name; nothing for a single one."""
    if pages == 1:
        return [""]
    digits = len(str(pages))  # so that they sort
    return [f".page-{number:0{digits}}" for number in range(1, pages + 1)]


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], drawing: Path) -> bytes:
    written, png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not written:
        raise LabelwireError(f"the drawing {drawing} cannot be encoded")
    return png.tobytes()


class DrawingNames:
    """What the drawings of a picture begin with: its own name, numbered where two pictures share one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def of(self, path: Path) -> Path | None:
        """Return the stem of a picture's drawings; None without a folder."""
        if self._folder is None:
            return None
        name, number = path.name, 1
        while name in self._taken:
            number += 1
            name = f"{path.name}.{number}"
        self._taken.add(name)
        return self._folder / name
