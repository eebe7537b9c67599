"""The form in which a reading is kept: JSON, compressed by zlib.

Invariant: what is decoded is checked against the schema, and is no larger than the limits allow. A result made of it is
that which was made of the reading itself. What no result holds is left out: the characters of lines, the searches.
"""

import zlib
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Limited
from pydantic_core import PydanticSerializationError

from worker.domain.barcode import DecodedBarcode, GS1Element
from worker.domain.errors import RejectedEntryError
from worker.domain.fields import Field
from worker.domain.geometry import Points
from worker.domain.image import PageText, TextLine
from worker.domain.quality import PageQuality
from worker.domain.result import Element, LabelField, Quad, Quality

# Part of each entry's key: workers with another form find none of these entries.
STORED_SCHEMA: Final = "labelwire.stored-reading/1"

# The JSON of labels is 2 to 3 times as large as its compressed form; what grows more than this is no reading.
_MAX_EXPANSION: Final = 16
_LEVEL: Final = 1  # labels take 5 % more than by level 6, in 60 % of its time


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class _StoredLine(_Stored):
    text: str
    confidence: float = Limited(ge=0, le=1)
    polygon: Quad
    rotation_degrees: float


class _StoredBarcode(_Stored):
    format: str
    text: str
    polygon: Quad
    elements: tuple[Element, ...]


class _StoredPage(_Stored):
    width: int = Limited(ge=1)
    height: int = Limited(ge=1)
    lines: tuple[_StoredLine, ...]
    barcodes: tuple[_StoredBarcode, ...]
    fields: tuple[LabelField, ...]
    quality: Quality | None


class _StoredReading(_Stored):
    schema_: Literal["labelwire.stored-reading/1"] = Limited(default=STORED_SCHEMA, alias="schema")
    pages: tuple[_StoredPage, ...] = Limited(min_length=1)


def encode(pages: tuple[PageText, ...], max_bytes: int) -> bytes:
    """Return pages as bytes. Raises RejectedEntryError where that takes more than `max_bytes`."""
    try:
        text = _StoredReading(pages=tuple(map(_stored_page, pages))).model_dump_json(by_alias=True).encode()
    except (ValidationError, PydanticSerializationError) as error:
        raise RejectedEntryError(f"A reading has no stored form ({type(error).__name__}) and is not kept.") from error
    if len(text) > max_bytes * _MAX_EXPANSION:
        raise _too_large(len(text), max_bytes * _MAX_EXPANSION)
    value = zlib.compress(text, _LEVEL)
    if len(value) > max_bytes:
        raise _too_large(len(value), max_bytes)
    return value


def decode(value: bytes, max_bytes: int) -> tuple[PageText, ...]:
    """Return the pages. Raises RejectedEntryError for bytes that `encode` does not write under the same limit."""
    if len(value) > max_bytes:
        raise _too_large(len(value), max_bytes)
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(value, max_bytes * _MAX_EXPANSION)
        if not stream.eof or stream.unused_data:
            raise RejectedEntryError("An entry of the cache of readings is cut off, or larger than it may be.")
        stored = _StoredReading.model_validate_json(text)
    except (zlib.error, ValidationError) as error:
        raise RejectedEntryError(
            f"An entry of the cache of readings is not of {STORED_SCHEMA} ({type(error).__name__})."
        ) from error
    return tuple(map(_page, stored.pages))


def _stored_page(page: PageText) -> _StoredPage:
    return _StoredPage(
        width=page.width,
        height=page.height,
        lines=tuple(
            _StoredLine(
                text=line.text,
                confidence=line.confidence,
                polygon=_quad(line.polygon),
                rotation_degrees=line.rotation_degrees,
            )
            for line in page.lines
        ),
        barcodes=tuple(
            _StoredBarcode(
                format=code.format,
                text=code.text,
                polygon=_quad(code.polygon),
                elements=tuple(
                    Element(identifier=element.identifier, value=element.value, valid=element.valid)
                    for element in code.elements
                ),
            )
            for code in page.barcodes
        ),
        fields=tuple(
            LabelField(**{name: getattr(field, name) for name in LabelField.model_fields}) for field in page.fields
        ),
        quality=_stored_quality(page.quality),
    )


def _stored_quality(quality: PageQuality | None) -> Quality | None:
    if quality is None:
        return None
    return Quality(score=quality.score, measures=dict(quality.measures), problems=quality.problems)


def _page(stored: _StoredPage) -> PageText:
    quality = stored.quality
    return PageText(
        width=stored.width,
        height=stored.height,
        lines=tuple(
            TextLine(line.text, line.confidence, np.array(line.polygon), line.rotation_degrees) for line in stored.lines
        ),
        barcodes=tuple(
            DecodedBarcode(
                code.format,
                code.text,
                np.array(code.polygon),
                tuple(GS1Element(element.identifier, element.value, element.valid) for element in code.elements),
            )
            for code in stored.barcodes
        ),
        fields=tuple(Field(**dict(field)) for field in stored.fields),
        quality=None if quality is None else PageQuality(quality.score, quality.measures, quality.problems),
    )


def _quad(points: Points) -> Quad:
    """Return corners as they are: rounded here, they would be rounded twice."""
    first, second, third, fourth = ((float(x), float(y)) for x, y in points)
    return first, second, third, fourth


def _too_large(found_bytes: int, max_bytes: int) -> RejectedEntryError:
    return RejectedEntryError(
        f"A reading takes {found_bytes} bytes, over the limit of {max_bytes}; raise LABELWIRE_CACHE__MAX_ENTRY_BYTES."
    )
