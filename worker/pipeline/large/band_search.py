"""The geometry of a large page's bands: tiles out of its rows, regions out of the tiles' maps, crops out of the rows.

Invariant: bands come in turn, from top to bottom, and rows that a later band or an open region needs are kept.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from worker.domain.barcode import DecodedBarcode
from worker.domain.errors import Stage
from worker.domain.geometry import Points, Transform
from worker.domain.image import LineCrop, PageImage, Pixels, TextRegion, Tile
from worker.pipeline.barcodes.find import (
    Codes,
    find_codes,
    find_missed_codes,
    find_plain_codes,
    luminance,
    without_codes,
)
from worker.pipeline.decode.page_rows import STRIP_ROWS, PageRows
from worker.pipeline.detect.tile import scaled_and_padded
from worker.pipeline.detect.tile_spans import spans
from worker.pipeline.large.large_symbols import SEEN_WHOLE_PIXELS
from worker.pipeline.large.scan_plan import Band, ScanPlan, TilePlacement
from worker.pipeline.large.strip_map import StripMap, stitch
from worker.pipeline.models import ModelSet
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.crop import crop_lines
from worker.pipeline.stages import Stages

_OPEN_TILES: Final = 2  # a region that is higher than so many tiles is cut
_CODE_PIECE_PIXELS: Final = 4096
_SPARE_ROWS: Final = SEEN_WHOLE_PIXELS + STRIP_ROWS + 256  # of the page, besides those that a band shows
_CROP_MARGIN: Final = 64  # rows of the map above an open region that its crop may reach into


class BandSearch:
    """One page under search: its methods are called in turn, band after band."""

    def __init__(
        self, rows: PageRows, plan: ScanPlan, models: ModelSet, options: PipelineOptions, stages: Stages
    ) -> None:
        self._rows = rows
        self._plan = plan
        self._models = models
        self._options = options
        self._stages = stages
        self._to_page = Transform.scale_then_shift(rows.width / plan.width, rows.height / plan.height, 0.0, 0.0)
        self._strips = StripMap(
            plan.width,
            self._to_page,
            models.thresholds,
            max_open_rows=_OPEN_TILES * options.tile_side,
            top=plan.bands[0].start if plan.bands else 0,
        )
        self._top = 0
        self._searched_to = 0  # the page's row to which symbols were looked for
        self._plain: Codes | None = None  # what zxing-cpp sees on the whole page
        self._window: Pixels = np.zeros((0, 0, 3), dtype=np.uint8)
        highest = max((band.last_row - band.first_row for band in plan.bands), default=0)
        rows.reserve(self._row((1 + _OPEN_TILES) * highest) + _SPARE_ROWS)

    def tiles(self, band: Band) -> list[Tile]:
        """Return the band's tiles, at the scale of the search."""
        with self._stages.timed(Stage.DECODE):
            first_row = self._row(min(self._strips.open_from, band.first_row) - _CROP_MARGIN)
            if first_row <= self._searched_to:  # a symbol may have begun in the last window
                first_row = min(first_row, self._searched_to - SEEN_WHOLE_PIXELS)
            self._top = max(self._top, first_row)
            self._window = self._rows.window(self._top, self._row(band.last_row + _CROP_MARGIN))
        with self._stages.timed(Stage.TILE):
            return [self._tile(placement) for placement in band.placements]

    def codes(self, band: Band) -> Codes:
        """Return the symbols in the rows at hand, where the band has anything.

        A page that lies in memory goes to zxing-cpp whole, with its first band: no cut goes through a large symbol.
        """
        with self._stages.timed(Stage.BARCODES):
            barcodes: list[DecodedBarcode] = []
            areas: list[Points] = []
            options = self._options.barcodes
            if self._plain is None and (whole := self._rows.whole()) is not None:
                self._plain = find_plain_codes(luminance(whole), options)
                barcodes += self._plain.barcodes
                areas += self._plain.areas
            stretches = [(self._column(start), self._column(stop)) for start, stop in _stretches(band)]
            for left, right in (piece for stretch in stretches for piece in _pieces(*stretch)):
                piece = self._window[:, left:right]
                if self._plain is None:
                    codes = find_codes(piece, options)
                else:
                    codes = find_missed_codes(luminance(piece), options, self._plain.shifted(-left, -self._top))
                found = codes.shifted(left, self._top)
                barcodes += found.barcodes
                areas += found.areas
            self._searched_to = self._top + self._window.shape[0]
            return Codes(tuple(barcodes), tuple(areas))

    def regions(self, band: Band, maps: Sequence[Pixels], following: int) -> list[TextRegion]:
        """Return the regions of text that end in the band; the next band keeps rows from `following` on."""
        with self._stages.timed(Stage.STITCH):
            found = self._strips.add(stitch(band, maps, self._plan.width))
            if following > band.stop or following == self._plan.height:
                found += self._strips.skip_to(following)
            return found

    def crops(self, regions: Sequence[TextRegion], areas: Sequence[Points]) -> list[LineCrop]:
        """Cut regions out of the rows at hand, but for those inside of the areas of symbols."""
        with self._stages.timed(Stage.CROP):
            texts = without_codes(regions, areas)
            return crop_lines(PageImage(self._window), texts, self._models.line, top=self._top)

    def _tile(self, placement: TilePlacement) -> Tile:
        rows, columns = placement.rows, placement.columns
        top, bottom = self._row(rows.start), self._row(rows.stop)
        left, right = self._column(columns.start), self._column(columns.stop)
        piece = self._window[top - self._top : bottom - self._top, left:right]
        to_map = Transform.scale_then_shift(1.0, 1.0, columns.start, rows.start)
        width, height = columns.stop - columns.start, rows.stop - rows.start
        return Tile(scaled_and_padded(piece, width, height, self._models.tile_shapes), to_map)

    def _row(self, map_row: float) -> int:
        """Return the page's row for a row of the map."""
        return min(round(max(map_row, 0) * float(self._to_page.matrix[1, 1])), self._rows.height)

    def _column(self, map_column: float) -> int:
        return min(round(max(map_column, 0) * float(self._to_page.matrix[0, 0])), self._rows.width)


def _stretches(band: Band) -> Iterator[tuple[int, int]]:
    """Return the stretches of the map's columns that the band's tiles show; tiles that overlap make one."""
    stretch: tuple[int, int] | None = None
    for placement in sorted(band.placements, key=lambda placement: placement.columns.start):
        if stretch is not None and placement.columns.start <= stretch[1]:
            stretch = stretch[0], max(stretch[1], placement.columns.stop)
            continue
        if stretch is not None:
            yield stretch
        stretch = placement.columns.start, placement.columns.stop
    if stretch is not None:
        yield stretch


def _pieces(left: int, right: int) -> Iterator[tuple[int, int]]:
    """Cut columns into pieces that share what is seen whole: a reader of symbols needs many times its input."""
    for span in spans(right - left, min(right - left, _CODE_PIECE_PIXELS), SEEN_WHOLE_PIXELS):
        yield left + span.start, left + span.stop
