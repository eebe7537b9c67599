"""A row of text in groups of letters and digits, and the runs of groups that may be one number.

A number may be printed in groups, and a detector may find its groups as lines of their own: both are tried.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Span
from worker.pipeline.extract.surroundings import Surroundings

_GROUP: Final = re.compile(r"[0-9A-Z]+")
_JOINT: Final = re.compile(r" {0,3}[-.]? {0,3}")
_DIGIT: Final = re.compile(r"\d")
_FOUR_DIGITS: Final = re.compile(r"(?:\d\D*){4}")
_LONGEST_WORD: Final = 4  # letters alone: RR, GB, QLMU; more are a word
_GLUED: Final = re.compile(r"[A-Z]{3,}(?=\d{5})|[A-Z#]{2,}(?=1Z[0-9A-Z]{6})")
_MOST_LINES: Final = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Letters and digits without a gap: `text`, folded, at `start` to `stop` of its line.

    `joined` says that it may go on from the group before it, `tied` that it stands in the same line with no more than
    a space or a sign between.
    """

    text: str
    line_id: int
    start: int
    stop: int
    joined: bool
    tied: bool

    @property
    def is_code(self) -> bool:
        """Whether it may be part of a number: it has a digit, or is too short for a word."""
        return len(self.text) <= _LONGEST_WORD or self.has_digit

    @property
    def has_digit(self) -> bool:
        """Whether there is a digit in it."""
        return _DIGIT.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Run:
    """Groups that may be one number. `whole` says that nothing on either side looks like more of it."""

    groups: Sequence[Group]
    number: str
    whole: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of the groups."""
        return tuple(len(group.text) for group in self.groups)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the groups lie, one span a line."""
        spans: list[Span] = []
        for group in self.groups:
            if spans and spans[-1].line_id == group.line_id:
                spans[-1] = Span(group.line_id, spans[-1].start, group.stop)
            else:
                spans.append(Span(group.line_id, group.start, group.stop))
        return tuple(spans)

    def read_in(self, page: PageText) -> str:
        """Return the text as it was read."""
        return " ".join(page.lines[span.line_id].text[span.start : span.stop] for span in self.spans)


class Pieces:
    """The groups of every line of a page, made as they are asked for."""

    def __init__(self, page: PageText, around: Surroundings) -> None:
        self._page = page
        self._around = around
        self._groups: dict[int, list[Group]] = {}

    def runs(self, lengths: frozenset[int]) -> Iterator[Run]:
        """Yield every run of groups whose letters and digits are of one of the lengths."""
        longest = max(lengths)
        for line_id in range(len(self._page.lines)):
            if row := self._row(line_id, longest):
                yield from _runs(row, line_id, lengths, longest)

    def _row(self, line_id: int, longest: int) -> list[Group]:
        """Return the groups of a line, and of those that go on to its right if it ends in what may be a number."""
        groups = self._of(line_id)
        if not any(group.has_digit for group in groups) and not (len(groups) == 1 and groups[0].is_code):
            return []
        row, last = list(groups), line_id
        for _ in range(_MOST_LINES - 1):
            if not _goes_on(row, longest) or not (following := self._around.right_of(last)):
                break
            last = following[0]
            if not (more := self._of(last)) or not more[0].is_code:
                break
            row += more
        return row if _FOUR_DIGITS.search("".join(group.text for group in row)) else []

    def _of(self, line_id: int) -> list[Group]:
        if line_id not in self._groups:
            self._groups[line_id] = list(_groups(self._around.folded[line_id], line_id))
        return self._groups[line_id]


def _goes_on(row: Sequence[Group], longest: int) -> bool:
    """Whether the row ends in what may be the beginning of a number."""
    tail = 0
    for group in reversed(row):
        if not group.is_code or tail > longest:
            break
        tail += len(group.text)
        if not group.joined:
            break
    return 1 < tail < longest


def _groups(folded: str, line_id: int) -> Iterator[Group]:
    end = -1
    for found in _GROUP.finditer(folded):
        tied = end >= 0 and _JOINT.fullmatch(folded, end, found.start()) is not None
        start = found.start()
        if glued := _GLUED.match(found.group()):
            yield Group(glued.group(), line_id, start, start + glued.end(), tied, tied)
            start, tied = start + glued.end(), True
        yield Group(folded[start : found.end()], line_id, start, found.end(), tied or end < 0, tied)
        end = found.end()


def _runs(row: Sequence[Group], line_id: int, lengths: frozenset[int], longest: int) -> Iterator[Run]:
    for first, group in enumerate(row):
        if group.line_id != line_id:
            return
        number = ""
        for last in range(first, len(row)):
            if not row[last].is_code or (last > first and not row[last].joined):
                break
            number += row[last].text
            if len(number) > longest:
                break
            if len(number) in lengths:
                yield Run(row[first : last + 1], number, _is_whole(row, first, last))


def _is_whole(row: Sequence[Group], first: int, last: int) -> bool:
    goes_on = last + 1 < len(row) and row[last + 1].tied and row[last + 1].has_digit
    return not goes_on and not (first > 0 and row[first].tied and row[first - 1].has_digit)
