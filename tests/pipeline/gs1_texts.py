"""GS1 element strings as scanners send them and as labels print them, and what the worker takes such texts for.

Which identifiers need no separator is written down here once more, after the General Specifications, figure 7.8.5-2.
"""

from collections.abc import Iterable

from worker.domain.barcode import GS1Element
from worker.pipeline.barcodes import gs1

PREDEFINED = frozenset({*(f"{number:02}" for number in (*range(5), *range(11, 21), *range(31, 37), 41))})


def composed(elements: Iterable[GS1Element]) -> str:
    """What a scanner sends."""
    message = ""
    for element in elements:
        message += element.identifier + element.value
        if element.identifier[:2] not in PREDEFINED:
            message += gs1.GROUP_SEPARATOR
    return message.removesuffix(gs1.GROUP_SEPARATOR)


def printed(elements: Iterable[GS1Element]) -> str:
    """What a label prints."""
    return "".join(f"({element.identifier}){element.value}" for element in elements)


def parsed(text: str) -> tuple[GS1Element, ...] | None:
    """What a text is taken for, sent or printed with spaces anywhere; None if not all of it is sound GS1 data."""
    packed = text.replace(" ", "")
    found = gs1.read_unmarked(packed) if packed.startswith("(") else gs1.read_elements(text)
    return found if found and all(element.valid for element in found) else None
