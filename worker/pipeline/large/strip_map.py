"""The probability map of a large page, stitched of its tiles' maps, of which only the rows with open regions are kept.

Invariant: a region of text is found once, when its last row has passed, and is the same as on the whole map; one that
stays open for more than `max_open_rows` is closed where it stands, so that memory is bounded.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from cv2.typing import MatLike

from worker.domain.geometry import Transform
from worker.domain.image import Pixels, ProbabilityMap, TextRegion
from worker.domain.manifest import DetectionThresholds
from worker.pipeline.detect.regions import regions_of, text_mask
from worker.pipeline.large.scan_plan import Band

# A region's rectangle may reach over its marked pixels by this much, and its score counts all of it.
_REACH_ROWS: Final = 16


def stitch(band: Band, maps: Sequence[Pixels], width: int) -> Pixels:
    """Join the maps of a band's tiles, uint8 [h, w] each, by what each keeps, to the band's rows of the page's map.

    Returns uint8 [rows, width], 0 where no tile is.
    """
    values = np.zeros((band.stop - band.start, width), dtype=np.uint8)
    for placement, tile_map in zip(band.placements, maps, strict=True):
        rows, columns = placement.rows, placement.columns
        values[rows.kept_start - band.start : rows.kept_stop - band.start, columns.kept_start : columns.kept_stop] = (
            tile_map[
                rows.kept_start - rows.start : rows.kept_stop - rows.start,
                columns.kept_start - columns.start : columns.kept_stop - columns.start,
            ]
        )
    return values


class StripMap:
    """Takes the map of a page from row `top` on, uint8 [h, width] each time, and gives the complete regions."""

    def __init__(
        self, width: int, to_page: Transform, thresholds: DetectionThresholds, *, max_open_rows: int, top: int = 0
    ) -> None:
        self._to_page = to_page
        self._thresholds = thresholds
        self._max_open_rows = max_open_rows
        self._values = np.zeros((0, width), dtype=np.uint8)
        self._closed = np.zeros((0, width), dtype=np.uint8)
        self._top = top

    @property
    def open_from(self) -> int:
        """The first row of the map that a region to come may need."""
        return self._top

    def add(self, values: Pixels) -> list[TextRegion]:
        """Append rows to the map and return the regions that end in them, in page pixels."""
        self._values = np.concatenate([self._values, values])
        self._closed = np.concatenate([self._closed, np.zeros(values.shape, dtype=np.uint8)])
        return self._close(self._values.shape[0] - _REACH_ROWS)

    def skip_to(self, row: int) -> list[TextRegion]:
        """Say that all rows up to `row` are empty, and return the regions that ended before."""
        regions = self._close(self._values.shape[0] + 1)
        self._values, self._closed = self._values[:0], self._closed[:0]
        self._top = row
        return regions

    def _close(self, open_row: int) -> list[TextRegion]:
        """Return the regions that end above `open_row` of what is held, and forget the rows that no other needs."""
        if not self._values.size:
            return []
        mask = text_mask(self._values, self._thresholds)
        mask[self._closed != 0] = 0
        contours, relations = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        longest = self._values.shape[0] - self._max_open_rows
        spans = [_rows(contour) for contour in contours]
        is_open = [last >= open_row and first >= longest for first, last in spans]
        # A hole ends with the region around it.
        belongs = [parent if parent >= 0 else number for number, (*_, parent) in enumerate(_relations(relations))]
        complete = [contour for contour, around in zip(contours, belongs, strict=True) if not is_open[around]]
        regions = regions_of(complete, ProbabilityMap(self._values, self._to_page_from(self._top)), self._thresholds)
        cv2.drawContours(self._closed, complete, -1, (1,), cv2.FILLED)
        open_rows = [first for (first, _), still_open in zip(spans, is_open, strict=True) if still_open]
        self._forget(min([*open_rows, self._values.shape[0]]) - _REACH_ROWS)
        return regions

    def _to_page_from(self, row: int) -> Transform:
        return Transform.scale_then_shift(1.0, 1.0, 0.0, row).then(self._to_page)

    def _forget(self, row: int) -> None:
        first = max(0, row)
        self._values, self._closed = self._values[first:].copy(), self._closed[first:].copy()
        self._top += first


def _rows(contour: MatLike) -> tuple[int, int]:
    """Return the first and the last row of a contour."""
    _, top, _, height = cv2.boundingRect(contour)
    return top, top + height - 1


def _relations(relations: MatLike | None) -> list[list[int]]:
    """Return (next, previous, first child, parent) of each contour, as OpenCV has them; -1 is none."""
    return [] if relations is None else np.asarray(relations)[0].tolist()
