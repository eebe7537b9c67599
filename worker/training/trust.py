"""How far the text of a line can be trusted as a label.

Invariant: a line that a check or a barcode contradicts is never a label, however confident the recognizer was.
"""

from collections.abc import Mapping
from enum import StrEnum

from worker.domain.fields import Check, Source
from worker.domain.result import LabelField, Line, Page


class Trust(StrEnum):
    """Why a line is a label, or is none."""

    BARCODE = "barcode"  # a barcode says the same
    CHECK = "check"  # its check digit or the rules of its type hold
    CONFIDENT = "confident"
    UNSURE = "unsure"
    DISPUTED = "disputed"  # it was repaired, or a barcode says something else

    @property
    def is_label(self) -> bool:
        """Whether the text may be trained on without a person having looked at it."""
        return self not in {Trust.UNSURE, Trust.DISPUTED}


def line_trust(page: Page, min_confidence: float) -> Mapping[int, Trust]:
    """Return how far each line of a page can be trusted, by the line's id.

    A field proves or disproves its line. It proves only a line that holds nothing else.
    """
    found = {line.id: Trust.CONFIDENT if line.confidence >= min_confidence else Trust.UNSURE for line in page.lines}
    lines = {line.id: line for line in page.lines}
    proofs = [(number, proof) for field in page.fields for number, proof in _proofs(field, lines)]
    # What speaks against a line comes last, so that it stays.
    return found | dict(sorted(proofs, key=_strength))


def _proofs(field: LabelField, lines: Mapping[int, Line]) -> list[tuple[int, Trust]]:
    known = [number for number in field.line_ids if number in lines]
    if field.repaired or field.conflict:
        return [(number, Trust.DISPUTED) for number in known]
    if len(known) != 1 or _letters(lines[known[0]].text) != _letters(field.text):
        return []
    if field.source is Source.BOTH:
        return [(known[0], Trust.BARCODE)]
    return [(known[0], Trust.CHECK)] if field.check is Check.PASSED else []


def _strength(proof: tuple[int, Trust]) -> int:
    return (Trust.CHECK, Trust.BARCODE, Trust.DISPUTED).index(proof[1])


def _letters(text: str) -> str:
    return "".join(text.split())
