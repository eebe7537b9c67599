"""Which candidates stay on the same characters."""

from collections.abc import Sequence

from worker.domain.fields import Check
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.resolve_overlaps import resolve_overlaps
from worker.pipeline.extract.text_span import Span


def candidate(
    kind: str, spans: Sequence[Span], *, check: Check = Check.NONE, evidence: float = 0.5, exclusive: bool = True
) -> Candidate:
    return Candidate(kind, f"{kind} value", "read", spans, check, 0.9, evidence, exclusive=exclusive)


def test_a_check_that_passes_goes_over_evidence_and_evidence_over_length() -> None:
    span = (Span(0, 0, 10),)
    weak, sure = candidate("a", span, evidence=0.9), candidate("b", span, check=Check.PASSED, evidence=0.3)
    assert [c.type for c in resolve_overlaps([weak, sure])] == ["b"]

    long, named = candidate("a", (Span(0, 0, 20),), evidence=0.4), candidate("b", span, evidence=0.8)
    assert [c.type for c in resolve_overlaps([long, named])] == ["b"]
    assert [c.type for c in resolve_overlaps([candidate("a", span), candidate("b", (Span(0, 0, 20),))])] == ["b"]


def test_candidates_that_only_touch_both_stay_in_reading_order() -> None:
    later, first = candidate("a", (Span(0, 10, 20),), evidence=0.9), candidate("b", (Span(0, 0, 10),))
    assert [c.type for c in resolve_overlaps([later, first])] == ["b", "a"]


def test_a_candidate_over_two_lines_rivals_those_of_both() -> None:
    joined = candidate("a", (Span(0, 0, 5), Span(1, 0, 5)), check=Check.PASSED)
    assert [c.type for c in resolve_overlaps([joined, candidate("b", (Span(1, 4, 9),))])] == ["a"]


def test_a_block_may_hold_other_values_but_no_block_of_its_own_type() -> None:
    block = candidate("address", (Span(0, 0, 20), Span(1, 0, 20)), exclusive=False, evidence=0.9)
    again = candidate("address", (Span(1, 0, 20),), exclusive=False)
    assert [c.type for c in resolve_overlaps([block, again, candidate("postcode", (Span(1, 0, 5),))])] == [
        "address",
        "postcode",
    ]


def test_a_value_that_stands_twice_is_one_with_both_places() -> None:
    twice = resolve_overlaps([candidate("a", (Span(4, 0, 9),)), candidate("a", (Span(1, 3, 12),), evidence=0.8)])
    assert [c.spans for c in twice] == [(Span(1, 3, 12), Span(4, 0, 9))]
    assert twice[0].evidence == 0.8
