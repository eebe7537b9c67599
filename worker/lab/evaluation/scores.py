"""Scores that can be trusted: the same pure functions for every system.

- Words: multiset precision, recall and F1 on `[A-Z0-9]+` of the upper-cased NFKC text.
- Detection: polygons of intersection over union 0.5 or more, one to one.
- Lines: the same, and equal text: NFKC, spaces collapsed, case-folded. O and 0 are never folded.
- CER: edits (Levenshtein, rapidfuzz) over characters of the whole page in reading order, normalized alike.
- Fields and barcodes: see `fields`.

Invariant: counts add up over pictures, and a score is a function of the sum (micro average); a score without a
denominator is None, never 0 or 1.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from enum import StrEnum

import numpy as np
from rapidfuzz.distance import Levenshtein

from worker.lab.evaluation.fields import UNTOLD, FieldCounts, Findings, count_barcodes, count_fields
from worker.lab.evaluation.matching import overlap_matrix, pairs
from worker.lab.evaluation.transcript import Transcript

_WORD = re.compile(r"[A-Z0-9]+")


def normalized(text: str) -> str:
    """Return text as lines are compared: NFKC, spaces collapsed, case-folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(transcript: Transcript) -> Counter[str]:
    """Return the multiset of a picture's words."""
    found: Counter[str] = Counter()
    for line in transcript.lines:
        found.update(_WORD.findall(unicodedata.normalize("NFKC", line.text).upper()))
    return found


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted on one picture, or on many: counts add up. `fields` are by type."""

    words_true: int = 0
    words_read: int = 0
    words_right: int = 0
    lines_true: int = 0
    lines_read: int = 0
    lines_found: int = 0
    lines_right: int = 0
    characters_true: int = 0
    character_edits: int = 0
    barcodes_true: int = 0
    barcodes_right: int = 0
    fields: Mapping[str, FieldCounts] = field(default_factory=dict)

    def __add__(self, other: "Counts") -> "Counts":
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMMED}
        types = {*self.fields, *other.fields}
        nothing = FieldCounts()
        by_type = {kind: self.fields.get(kind, nothing) + other.fields.get(kind, nothing) for kind in sorted(types)}
        return Counts(**sums, fields=by_type)

    @property
    def all_fields(self) -> FieldCounts:
        """The counts of all types together."""
        return sum(self.fields.values(), start=FieldCounts())


_SUMMED = tuple(part.name for part in fields(Counts) if part.name != "fields")


class Score(StrEnum):
    """A score by which two systems are compared: a ratio of counts that add up over pictures."""

    WORD_F1 = "word_f1"
    LINE_HMEAN = "line_hmean"
    DETECTION_HMEAN = "detection_hmean"
    CER = "cer"
    FIELD_EXACT = "field_exact"

    @property
    def less_is_better(self) -> bool:
        """Whether a lower score is the better one."""
        return self is Score.CER

    def terms(self, counts: Counts) -> tuple[int, int]:
        """Return numerator and denominator."""
        match self:
            case Score.WORD_F1:
                return 2 * counts.words_right, counts.words_true + counts.words_read
            case Score.LINE_HMEAN:
                return 2 * counts.lines_right, counts.lines_true + counts.lines_read
            case Score.DETECTION_HMEAN:
                return 2 * counts.lines_found, counts.lines_true + counts.lines_read
            case Score.CER:
                return counts.character_edits, counts.characters_true
            case Score.FIELD_EXACT:
                return counts.all_fields.fields_exact, counts.all_fields.fields_true


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of design's eval report; None is not measured."""

    word_precision: float | None
    word_recall: float | None
    word_f1: float | None
    line_hmean: float | None
    detection_hmean: float | None
    cer: float | None
    field_exact: float | None = None
    field_false_accept: float | None = None
    address_cer: float | None = None
    barcode_recall: float | None = None

    @classmethod
    def unmeasured(cls) -> "Scores":
        """Return the scores of a set without truth."""
        return cls(None, None, None, None, None, None)

    def __getitem__(self, score: Score) -> float | None:
        value: float | None = getattr(self, score.value)
        return value

    @classmethod
    def of(cls, counts: Counts) -> "Scores":
        """Return the scores of counts."""
        found = counts.all_fields
        return cls(
            word_precision=_ratio(counts.words_right, counts.words_read),
            word_recall=_ratio(counts.words_right, counts.words_true),
            word_f1=_ratio(*Score.WORD_F1.terms(counts)),
            line_hmean=_ratio(*Score.LINE_HMEAN.terms(counts)),
            detection_hmean=_ratio(*Score.DETECTION_HMEAN.terms(counts)),
            cer=_ratio(*Score.CER.terms(counts)),
            field_exact=_ratio(*Score.FIELD_EXACT.terms(counts)),
            field_false_accept=found.false_accept,
            address_cer=found.address_cer,
            barcode_recall=_ratio(counts.barcodes_right, counts.barcodes_true),
        )


def count(
    truth: Transcript,
    reading: Transcript,
    stands: Findings = UNTOLD,
    told: Findings = UNTOLD,
    covered: AbstractSet[str] = frozenset(),
) -> Counts:
    """Compare what was read on one picture with what stands there.

    `stands` and `told` are its fields and barcodes, `covered` the types of field that the set's truth knows of.
    """
    words_true, words_read = words(truth), words(reading)
    found, right = _matched_lines(truth, reading)
    text_true, text_read = _page_text(truth), _page_text(reading)
    barcodes_true, barcodes_right = count_barcodes(stands, told)
    return Counts(
        words_true=words_true.total(),
        words_read=words_read.total(),
        words_right=(words_true & words_read).total(),
        lines_true=len(truth.lines),
        lines_read=len(reading.lines),
        lines_found=found,
        lines_right=right,
        characters_true=len(text_true),
        character_edits=Levenshtein.distance(text_true, text_read),
        barcodes_true=barcodes_true,
        barcodes_right=barcodes_right,
        fields=count_fields(stands, told, covered, normalized),
    )


def total(counts: Iterable[Counts]) -> Counts:
    """Add up the counts of many pictures."""
    return sum(counts, start=Counts())


def _matched_lines(truth: Transcript, reading: Transcript) -> tuple[int, int]:
    overlaps = overlap_matrix([line.polygon for line in truth.lines], [line.polygon for line in reading.lines])
    texts_true = [normalized(line.text) for line in truth.lines]
    texts_read = [normalized(line.text) for line in reading.lines]
    equal = np.array([[left == right for right in texts_read] for left in texts_true], dtype=np.bool_)
    return len(pairs(overlaps)), len(pairs(overlaps, equal.reshape(overlaps.shape)))


def _page_text(transcript: Transcript) -> str:
    return normalized(" ".join(line.text for line in transcript.lines))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
