"""Where the margins of a page end, so that a second look need not take them in.

Invariant: no text that the first look found lies in a margin, and nothing else that is longer than a few cells.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from worker.domain.image import PageImage, TextRegion
from worker.pipeline.detect.detail_grid import CELL_PIXELS, cells_with_detail, count_steps
from worker.pipeline.detect.tile import Box

_PRINTED_CELLS: Final = 4  # of detail in a row or a column: print, not a speck
_MARGIN_PIXELS: Final = CELL_PIXELS


def within_margins(page: PageImage, regions: Sequence[TextRegion]) -> Box:
    """Return (left, top, right, bottom) of the part of a page that holds its print and the regions found on it.

    There is a little paper around them, so that the detector sees where a line ends.
    """
    detail = cells_with_detail(count_steps(page.pixels)).astype(np.uint8)
    along, down = (
        cv2.morphologyEx(detail, cv2.MORPH_OPEN, np.ones(run, dtype=np.uint8))
        for run in ((1, _PRINTED_CELLS), (_PRINTED_CELLS, 1))
    )
    rows, columns = np.nonzero(cv2.bitwise_or(along, down))
    cells = np.stack([columns, rows], axis=1)
    corners = np.concatenate([cells * CELL_PIXELS, (cells + 1) * CELL_PIXELS, *(region.quad for region in regions)])
    if not len(corners):
        return 0, 0, page.width, page.height
    left, top = np.floor(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).tolist()
    return (
        max(0, left - _MARGIN_PIXELS),
        max(0, top - _MARGIN_PIXELS),
        min(page.width, right + _MARGIN_PIXELS),
        min(page.height, bottom + _MARGIN_PIXELS),
    )
