"""Which candidates stay where several cover the same characters: by check, then evidence, length and confidence.

Invariant: no two exclusive candidates that stay share a character, and each value stays once, with all its lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from worker.domain.fields import Check
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.text_span import Span


def resolve_overlaps(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that stay, each value once, in reading order."""
    taken: dict[tuple[str, int], list[Span]] = {}
    kept = []
    for candidate in sorted(candidates, key=_priority, reverse=True):
        rivals = "" if candidate.exclusive else candidate.type
        if any(_overlaps(span, other) for span in candidate.spans for other in taken.get((rivals, span.line_id), ())):
            continue
        for span in candidate.spans:
            taken.setdefault((rivals, span.line_id), []).append(span)
        kept.append(candidate)
    return _merged(sorted(kept, key=_position))


def _priority(candidate: Candidate) -> tuple[bool, float, int, float]:
    length = sum(span.stop - span.start for span in candidate.spans)
    return candidate.check is Check.PASSED, candidate.evidence, length, candidate.confidence


def _position(candidate: Candidate) -> tuple[int, int]:
    first = candidate.spans[0] if candidate.spans else Span(-1, 0, 0)
    return first.line_id, first.start


def _overlaps(one: Span, other: Span) -> bool:
    return one.start < other.stop and other.start < one.stop


def _merged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Join candidates of the same type and value: the one that was read best, at the position of the first."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.type, candidate.value), []).append(candidate)
    return [_joined(group) for group in groups.values()]


def _joined(group: Sequence[Candidate]) -> Candidate:
    best = max(group, key=lambda candidate: (not candidate.repaired, *_priority(candidate)))
    spans = tuple(chain.from_iterable(candidate.spans for candidate in group))
    return replace(best, spans=spans)
