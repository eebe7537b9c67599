"""A value that a warehouse looks for, found on a page."""

from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """Whether a value passes its check digit or the rules of its type."""

    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"  # values of this kind carry nothing to check


class Source(StrEnum):
    """Where a value was found."""

    TEXT = "text"
    BARCODE = "barcode"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Field:
    """A value with the evidence for and against it.

    `type` is one of the built-in kinds, as `ups_1z`, or a name of the deployment's own. `value` is in normal form,
    `text` as it was read, before any repair. `line_ids` and `barcode_ids` are indices of the page's lines and barcodes.
    `repaired` says that `value` differs from what was read, by evidence; `conflict` that a barcode of the same kind
    says something else.
    """

    type: str
    value: str
    text: str
    confidence: float
    check: Check
    source: Source
    line_ids: tuple[int, ...] = ()
    barcode_ids: tuple[int, ...] = ()
    repaired: bool = False
    conflict: bool = False
