"""How many records were exported, and why others were not."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.training.manifest import TrainingKind

_MAX_SENTENCES = 10


class Skip(StrEnum):
    """Why a record was not exported."""

    NO_CONSENT = "no-consent"
    NOT_A_RESULT = "not-a-result"
    NO_SUCH_LINES = "no-such-lines"  # results: none that is a label; lines: none that is doubtful
    REDACTED = "redacted"  # texts were left out of the result
    REPEATED = "repeated"  # another record has the same picture
    OVER_LIMIT = "over-limit"
    PICTURE_MISSING = "picture-missing"
    PICTURE_CHANGED = "picture-changed"  # another picture, or pages of other sizes, than the result was read from
    PICTURE_UNREADABLE = "picture-unreadable"
    POISON = "poison"  # it crashed workers, so it is not decoded


@dataclass(slots=True)
class TrainingCounts:
    """Records that were written and that were there before, by kind, and those that were left out, by kind and reason.

    `sentences` say of the first pictures that cannot be had why.
    """

    written: Counter[TrainingKind] = field(default_factory=Counter)
    present: Counter[TrainingKind] = field(default_factory=Counter)
    skipped: Counter[tuple[TrainingKind, Skip]] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)

    def skip(self, kind: TrainingKind, reason: Skip, sentence: str = "", count: int = 1) -> None:
        """Count records that are left out."""
        self.skipped[kind, reason] += count
        if sentence and len(self.sentences) < _MAX_SENTENCES:
            self.sentences.append(sentence)

    def reasons(self, kind: TrainingKind) -> dict[str, int]:
        """Return how many records of a kind were left out, by reason."""
        return {reason.value: self.skipped[kind, reason] for reason in Skip if self.skipped[kind, reason]}

    def document(self) -> dict[str, Any]:
        """Return the counts of the kinds that were asked for, as JSON."""
        return {
            kind.value: {
                "written": self.written[kind],
                "present": self.present[kind],
                "skipped": self.reasons(kind),
            }
            for kind in TrainingKind
        }
