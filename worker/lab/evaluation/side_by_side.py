"""Truth and reading of one picture side by side, line by line.

Each line of the truth is `right` (found, and the text is equal), `found` (the text differs) or `missed`; a line that
was read where the truth has none is `spare`. Pairs are those of the detection score.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from markupsafe import Markup, escape

from worker.lab.evaluation.fields import MARKS
from worker.lab.evaluation.matching import overlap_matrix, pairs
from worker.lab.evaluation.scores import normalized
from worker.lab.evaluation.transcript import Transcript, TranscriptLine, corners
from worker.reporting.picture import Outline

_GONE = Markup("<b>{}</b>")
_WORD = re.compile(r"\w+")


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

    @property
    def marked_truth(self) -> Markup:
        """The truth, with each word that was not read on this line marked as gone."""
        left = Counter(map(_folded, _WORD.findall(self.read)))
        parts: list[Markup] = []
        end = 0
        for word in _WORD.finditer(self.truth):
            was_read = left[_folded(word[0])] > 0
            left[_folded(word[0])] -= 1
            between = self.truth[end : word.start()]
            parts += [escape(between), escape(word[0]) if was_read else _GONE.format(word[0])]
            end = word.end()
        return Markup().join([*parts, self.truth[end:]])


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


def _folded(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _paired(truth: TranscriptLine, read: TranscriptLine) -> tuple[ComparedLine, Outline]:
    kind = "right" if normalized(truth.text) == normalized(read.text) else "found"
    outline = Outline(corners(read.polygon), f"{truth.text} → {read.text} ({read.confidence:.2f})", kind)
    return ComparedLine(kind, truth.text, read.text), outline


def _alone(line: TranscriptLine, kind: str) -> tuple[ComparedLine, Outline]:
    row = ComparedLine(kind, line.text, "") if kind == "missed" else ComparedLine(kind, "", line.text)
    return row, Outline(corners(line.polygon), f"{kind}: {line.text}", kind)
