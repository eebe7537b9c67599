"""A barcode that was read off a page."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.geometry import Points


class Symbology(StrEnum):
    """The kinds of symbols that are read, by zxing-cpp's names; some are families of several formats."""

    CODE_128 = "Code128"
    CODE_39 = "Code39"
    CODE_93 = "Code93"
    CODABAR = "Codabar"
    ITF = "ITF"
    EAN_UPC = "EANUPC"
    DATABAR = "DataBar"
    TELEPEN = "Telepen"
    DX_FILM_EDGE = "DXFilmEdge"
    QR_CODE = "QRCode"
    MICRO_QR_CODE = "MicroQRCode"
    DATA_MATRIX = "DataMatrix"
    PDF417 = "PDF417"
    AZTEC = "Aztec"
    MAXICODE = "MaxiCode"


@dataclass(frozen=True, slots=True)
class GS1Element:
    """One element string of GS1 data: an application identifier, as `00` or `3103`, and its value without it.

    The value of one that is not `valid` has not the form of its identifier, or there is none that GS1 knows.
    """

    identifier: str
    value: str
    valid: bool = True


@dataclass(frozen=True, slots=True)
class DecodedBarcode:
    """A symbol and what it holds.

    `format` is zxing-cpp's name of the symbology, as `Code128`. `text` is what it says (GS1 data has its application
    identifiers in parentheses); `elements` are the same apart, empty where the symbol holds no GS1 data. `polygon` is
    float64 [4, 2] in page pixels, clockwise from the symbol's own top left.
    """

    format: str
    text: str
    polygon: Points
    elements: tuple[GS1Element, ...] = ()
