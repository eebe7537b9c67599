"""What a synthetic label says and where: exact, because the label was drawn from it.

Coordinates are pixels of the final picture, counted from its left and upper edge. A line is one run of text that stands
apart from its neighbors, as a text detector sees it.
"""

from dataclasses import dataclass
from enum import StrEnum

Corner = tuple[float, float]
Polygon = tuple[Corner, Corner, Corner, Corner]


class FieldType(StrEnum):
    """The kinds of values that a reader of labels looks for."""

    UPS_1Z = "ups_1z"
    USPS_IMPB = "usps_impb"
    S10 = "s10"
    SSCC = "sscc"
    GTIN = "gtin"
    FEDEX = "fedex"
    DHL_EXPRESS = "dhl_express"
    DPD = "dpd"
    VAT = "vat"
    AIR_WAYBILL = "air_waybill"
    ISO6346 = "iso6346"
    POSTCODE = "postcode"
    PHONE = "phone"
    WEIGHT = "weight"
    DATE = "date"
    ADDRESS_TO = "address_to"
    ADDRESS_FROM = "address_from"


@dataclass(frozen=True, slots=True)
class LabelLine:
    """A line of text and the box of its ink: four corners, clockwise from the text's own top left."""

    polygon: Polygon
    text: str


@dataclass(frozen=True, slots=True)
class PrintedField:
    """A value that stands on the label, in its normal form.

    Numbers of consignments and goods without spaces or punctuation, telephone numbers as E.164, dates as ISO 8601,
    weights as `12.4 kg`, postcodes as printed. An address is its lines as printed, person and firm first, joined by
    line feeds; telephone numbers within the block are no part of it.
    """

    type: FieldType
    value: str


@dataclass(frozen=True, slots=True)
class LabelBarcode:
    """A symbol, what a reader gets out of it, and its corners without quiet zone, clockwise from the top left.

    A GS1 value has its application identifiers in parentheses.
    """

    format: str
    value: str
    polygon: Polygon


@dataclass(frozen=True, slots=True)
class SyntheticLabel:
    """An encoded picture with its truth. `image` holds JPEG bytes; `width` and `height` are pixels."""

    image: bytes
    width: int
    height: int
    layout: str
    degradation: str
    lines: tuple[LabelLine, ...]
    fields: tuple[PrintedField, ...]
    barcodes: tuple[LabelBarcode, ...]
