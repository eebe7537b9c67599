"""The choices that a deployment has about how pages are read, with their defaults, which the settings take from here.

Every default was measured; docs/adr tells how.
"""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.barcode import Symbology


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large a picture may claim to be, and at which resolution documents become pictures.

    A page has at most `max_pixels`, and `max_side_pixels` along each side; one that must be decoded whole takes at most
    `max_decoded_bytes` for it. A picture has at most `max_pages`, and twice `max_pixels` on all of them.
    """

    max_pixels: int = 268_435_456
    max_side_pixels: int = 65_535
    max_decoded_bytes: int = 384 * 1024 * 1024
    max_pages: int = 100
    pdf_dots_per_inch: int = 200

    @property
    def max_total_pixels(self) -> int:
        """The most that all pages of a picture have together: they take time, not memory."""
        return 2 * self.max_pixels


@dataclass(frozen=True, slots=True)
class BarcodeOptions:
    """Which symbols are looked for on a page; none at all where `formats` is empty."""

    formats: tuple[Symbology, ...] = tuple(Symbology)


class QualityMode(StrEnum):
    """What becomes of a page whose score is under the floor."""

    OFF = "off"
    FLAG = "flag"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """Whether quality is measured, and what a page under the `floor` of the score, 0 to 1, comes to."""

    mode: QualityMode = QualityMode.FLAG
    floor: float = 0.7


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How a page is searched and read.

    Pages of up to `tiled_from_pixels` are searched whole: their long side is brought to `detection_long_side` pixels,
    but they are enlarged no more than `max_enlargement` times. Larger pages are searched in tiles of `tile_side` pixels
    that overlap by `tile_overlap`, at `tile_scale`, or where that is None at the scale that brings their print to
    `detection_text_height` pixels; those of more than `streamed_from_pixels` are decoded while they are read, where
    their format can. Up to `vote_lines` lines from all over the page are classified by which way up they stand; if they
    agree, that holds for all, else more are classified. A request holds at most `max_lines_per_request` lines,
    padded to one of `line_widths`, or of the models' own where none is named. Lines read with less than
    `min_line_confidence` are dropped. Symbols of `barcode_formats` are read, none where it is empty.
    """

    detection_long_side: int = 1056
    max_enlargement: float = 2.0
    tiled_from_pixels: int = 4_000_000
    streamed_from_pixels: int = 24_000_000
    tile_scale: float | None = None
    detection_text_height: float = 21.0
    tile_side: int = 960
    tile_overlap: int = 128
    vote_lines: int = 8
    max_lines_per_request: int = 32
    line_widths: tuple[int, ...] = ()
    min_line_confidence: float = 0.5
    barcode_formats: tuple[Symbology, ...] = BarcodeOptions().formats

    @property
    def barcodes(self) -> BarcodeOptions:
        """What is looked for in bars and matrices."""
        return BarcodeOptions(self.barcode_formats)
