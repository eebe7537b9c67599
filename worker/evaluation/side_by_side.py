"""Truth and reading of one picture side by side, line by line.

Each line of the truth is `right` (found, and the text is equal), `found` (the text differs) or `missed`; a line that
was read where the truth has none is `spare`. Pairs are those of the detection score.
"""

from dataclasses import dataclass

from worker.evaluation.matching import overlap_matrix, pairs
from worker.evaluation.scores import normalised
from worker.evaluation.transcript import Transcript, TranscriptLine, corners
from worker.reporting.picture import Outline

MARKS = {"right": "✓", "found": "≠", "missed": "−", "spare": "+"}  # noqa: RUF001 - signs, not letters


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """One row: what stands there, what was read, and which of the four kinds it is."""

    kind: str
    truth: str
    read: str

    @property
    def mark(self) -> str:
        """A sign for the kind."""
        return MARKS[self.kind]


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """All rows; `outlines` has one outline for each row, in the same order."""

    rows: tuple[ComparedLine, ...]
    outlines: tuple[Outline, ...]


def compare_page(truth: Transcript, reading: Transcript) -> ComparedPage:
    """Pair the lines, in the order of the truth, then what was read beyond it."""
    overlaps = overlap_matrix([line.polygon for line in truth.lines], [line.polygon for line in reading.lines])
    partner = dict(pairs(overlaps))
    rows = [
        _paired(line, reading.lines[partner[number]]) if number in partner else _alone(line, "missed")
        for number, line in enumerate(truth.lines)
    ]
    taken = set(partner.values())
    rows += [_alone(line, "spare") for number, line in enumerate(reading.lines) if number not in taken]
    return ComparedPage(tuple(row for row, _ in rows), tuple(outline for _, outline in rows))


def _paired(truth: TranscriptLine, read: TranscriptLine) -> tuple[ComparedLine, Outline]:
    kind = "right" if normalised(truth.text) == normalised(read.text) else "found"
    outline = Outline(corners(read.polygon), f"{truth.text} → {read.text} ({read.confidence:.2f})", kind)
    return ComparedLine(kind, truth.text, read.text), outline


def _alone(line: TranscriptLine, kind: str) -> tuple[ComparedLine, Outline]:
    row = ComparedLine(kind, line.text, "") if kind == "missed" else ComparedLine(kind, "", line.text)
    return row, Outline(corners(line.polygon), f"{kind}: {line.text}", kind)
