"""What is in an export, in figures: the training configurations and the README are made of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from worker.training.manifest import TrainingKind, TrainingRecord
from worker.training.split import Split
from worker.training.trust import Trust


@dataclass(frozen=True, slots=True)
class TrainingFigures:
    """Counts of an export.

    `pictures` and `lines` are those to train on, by split. `review_lines` and `review_pictures` are those to correct.
    `longest_text` is in characters, of the lines to train on; `trust` counts these by why they are trusted.
    """

    pictures: Counter[Split]
    lines: Counter[Split]
    single_words: Counter[Split]
    review_lines: int
    review_pictures: int
    longest_text: int
    trust: Counter[Trust]

    @classmethod
    def of(cls, records: Iterable[TrainingRecord]) -> Self:
        """Count what is in a manifest."""
        pictures, lines, single_words, trust = Counter[Split](), Counter[Split](), Counter[Split](), Counter[Trust]()
        review, longest = Counter[TrainingKind](), 0
        for record in records:
            if record.kind is TrainingKind.DEAD_LETTERS:
                review[record.kind] += len(record.pages)
                continue
            cut = [line for page in record.pages for line in page.lines if line.crop is not None]
            if record.kind is TrainingKind.LINES:
                review[record.kind] += len(cut)
                continue
            pictures[record.split] += len(record.pages)
            lines[record.split] += len(cut)
            single_words[record.split] += sum(len(line.text.split()) == 1 for line in cut)
            trust.update(line.trust for line in cut)
            longest = max([longest, *(len(line.text) for line in cut)])
        return cls(
            pictures,
            lines,
            single_words,
            review[TrainingKind.LINES],
            review[TrainingKind.DEAD_LETTERS],
            longest,
            trust,
        )
