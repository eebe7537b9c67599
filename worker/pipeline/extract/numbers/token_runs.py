"""Runs of tokens that may be one number. A token is letters and digits without a gap.

A number may be printed in groups, and a detector may find the groups as lines of their own, beside or below each other.
In: the folded lines of a page. Out: every run of tokens whose length some number has.
"""

import re
from collections.abc import Container, Iterator, Sequence
from typing import Final, NamedTuple

from worker.domain.image import PageText
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.numbers.captions import CarrierNames, topics_of
from worker.pipeline.extract.text_span import Span

_GROUP: Final = re.compile(r"[0-9A-Z]+")
_JOINT: Final = re.compile(r" {0,3}[-.]? {0,3}")
_AFTER_IDENTIFIER: Final = re.compile(r"[)\]}] ?")  # (00)…: a number may begin behind an application identifier
_DIGIT: Final = re.compile(r"\d")
_MIN_DIGITS: Final = 4
_MAX_LETTERS: Final = 4  # without a digit, in a number: RR, GB, QLMU; more letters are a word
_GLUED: Final = re.compile(r"[A-Z]{3,}(?=\d{3})|[A-Z#]{2,}(?=1Z[0-9A-Z]{6})")
_NUMBER_WORD: Final = re.compile(r"(?:N[OR]|NUM[BM]ER)$")
# The check digit of a container is printed in a box, which may be read as MSCU 676540 [0]. A code of size and type
# follows.
_BEFORE_BOX: Final = re.compile(r"[A-Z]{3}[A-Z0-9][ -]{0,2}[0-9A-Z]{3} ?[0-9A-Z]{3}$")
_BOX: Final = re.compile(r" {0,2}[\[(|{/] ?(?=[0-9OIL](?![0-9A-Z]))")
_SIZED: Final = re.compile(r"([A-Z]{3}[UJZABDEK][0-9]{7})[0-9LM][0-9A-Z][A-Z][0-9]")
# A container's number in lines below one another: its owner's code, its serial number, its check digit.
_OWNER: Final = re.compile(r"\W*[A-Z]{3}[UJZABDEK]\W*")
_SERIAL: Final = re.compile(r"\W*(?:[A-Z]{3}[UJZABDEK] ?)?[0-9]{3} ?[0-9]{3}\W*")
_SERIAL_AND_CHECK: Final = re.compile(r"\W*[0-9]{3} ?[0-9]{3}\W{0,4}[0-9](?![0-9]).*")
_CHECK_DIGIT: Final = re.compile(r"\W*[0-9]\W*")
_MAX_LINES: Final = 4
_CONTAINER_LENGTH: Final = 11
_MAX_ALONE: Final = 12  # characters of a line without digits that may begin a number: RR in a box of its own
_MAX_COUNT_DIGITS: Final = 5  # the length of a count of pieces or of a lot


class Token(NamedTuple):
    """Letters and digits without a gap: `text`, folded, at `start` to `stop` of its line.

    `joined`: it may belong to the same number as the token before it. `tied`: it stands in the same line as the token
    before it, with no more than a space or a sign between.
    """

    text: str
    line_id: int
    start: int
    stop: int
    joined: bool
    tied: bool
    has_digit: bool

    @property
    def is_code(self) -> bool:
        """Whether it may be part of a number: it has a digit, or few letters."""
        return self.has_digit or len(self.text) <= _MAX_LETTERS


class TokenRun(NamedTuple):
    """Tokens that may be one number.

    `before` and `after` are the lengths of the tokens beside them that may be more of it, or 0. `stacked`: the tokens
    stand in lines below one another.
    """

    groups: Sequence[Token]
    number: str
    before: int = 0
    after: int = 0
    stacked: bool = False

    def is_whole(self, lengths: Container[int]) -> bool:
        """Whether this is no part of something longer. `lengths` are those that numbers of the type have.

        A single token may have a short number beside it, unless the two together have one of the lengths.
        """
        if not self.before and not self.after:
            return True
        longer = {len(self.number) + more for more in (self.before, self.after, self.before + self.after) if more}
        return (
            len(self.groups) == 1
            and max(self.before, self.after) <= _MAX_COUNT_DIGITS
            and not any(length in lengths for length in longer)
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of the tokens."""
        return tuple(len(group.text) for group in self.groups)

    @property
    def start(self) -> Span:
        """Where the tokens of the first line lie."""
        first = self.groups[0]
        stop = first.stop
        for group in self.groups:
            if group.line_id != first.line_id:
                break
            stop = group.stop
        return Span(first.line_id, first.start, stop)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the tokens lie, one span a line."""
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


class TokenRuns:
    """Finds the runs of tokens of a page."""

    def __init__(self, page: PageText, neighbors: Neighbors, names: CarrierNames) -> None:
        self._page = page
        self._names = names
        self._neighbors = neighbors
        self._groups: dict[int, list[Token]] = {}

    def runs(self, lengths: frozenset[int]) -> Iterator[TokenRun]:
        """Yield every run of tokens that together have one of the lengths."""
        longest = max(lengths)
        for line_id in range(len(self._page.lines)):
            if row := self._row(line_id, longest):
                yield from _runs(row, line_id, lengths, longest)
            if stack := self._stack(line_id):
                groups = [group for line in stack for group in self._of(line)]
                yield from _stacked_runs(groups, lengths)

    def _stack(self, last: int) -> Sequence[int]:
        """Return the lines of a container's number that stand below one another, from the top down to line `last`.

        Returns nothing where `last` is no end of such a number. What stands beside the digits in their row is ignored.
        """
        folded = self._neighbors.folded
        if _SERIAL_AND_CHECK.fullmatch(folded[last]):
            owner = self._above(last, _OWNER)
            return () if owner is None else (owner, last)
        if not _CHECK_DIGIT.fullmatch(folded[last]):
            return ()
        serial = self._above(last, _SERIAL)
        if serial is None or any(map(str.isalpha, folded[serial])):
            return () if serial is None else (serial, last)
        owner = self._above(serial, _OWNER)
        return () if owner is None else (owner, serial, last)

    def _above(self, line_id: int, shape: re.Pattern[str]) -> int | None:
        """Return the nearest line above another, if its text has this shape."""
        above = self._neighbors.above(Span(line_id, 0, len(self._neighbors.folded[line_id])))
        return above[0] if above and shape.fullmatch(self._neighbors.folded[above[0]]) else None

    def _row(self, line_id: int, longest: int) -> list[Token]:
        """Return the tokens of a line, and of the lines to its right while the row ends in what may begin a number."""
        folded = self._neighbors.folded[line_id]
        digits = len(_DIGIT.findall(folded))
        if not digits and len(folded) > _MAX_ALONE:
            return []
        if digits < _MIN_DIGITS and not self._neighbors.right_of(line_id):
            return []
        groups = self._of(line_id)
        if not digits and not (len(groups) == 1 and groups[0].is_code):
            return []
        row, last = list(groups), line_id
        for _ in range(_MAX_LINES - 1):
            if not _goes_on(row, longest) or not (following := self._neighbors.right_of(last)):
                break
            last = following[0]
            if not (more := self._of(last)) or not more[0].is_code:
                break
            row += more
        return row if len(_DIGIT.findall("".join(group.text for group in row))) >= _MIN_DIGITS else []

    def _of(self, line_id: int) -> list[Token]:
        if line_id not in self._groups:
            self._groups[line_id] = list(_groups(self._neighbors.folded[line_id], line_id, self._names))
        return self._groups[line_id]


def _goes_on(row: Sequence[Token], longest: int) -> bool:
    """Whether the row ends in what may begin a number."""
    tail = 0
    for group in reversed(row):
        if not group.is_code or tail > longest:
            break
        tail += len(group.text)
        if not group.joined:
            break
    return 1 < tail < longest


def _groups(folded: str, line_id: int, names: CarrierNames) -> Iterator[Token]:
    end = -1
    for found in _GROUP.finditer(folded):
        start = found.start()
        text, between = found.group(), folded[end:start] if end >= 0 else ""
        tied = end >= 0 and (
            between == " "
            or _JOINT.fullmatch(between) is not None
            or (_BOX.match(folded, end) is not None and _BEFORE_BOX.search(folded[:end]) is not None)
        )
        joined = tied or end < 0 or _AFTER_IDENTIFIER.fullmatch(between) is not None
        end, is_word = found.end(), text.isalpha()
        if not is_word and (glued := _GLUED.match(text)) and _is_caption(glued.group(), names):
            yield Token(glued.group(), line_id, start, start + glued.end(), joined, tied, has_digit=False)
            start, joined, tied = start + glued.end(), True, True
        elif sized := _SIZED.fullmatch(text):
            yield Token(sized[1], line_id, start, start + sized.end(1), joined, tied, has_digit=True)
            start, joined, tied = start + sized.end(1), False, False
        yield Token(folded[start:end], line_id, start, end, joined, tied, not is_word)


def _is_caption(word: str, names: CarrierNames) -> bool:
    """Whether a word without a gap before a number is its caption, as SSCC is; TBA is part of the number itself."""
    bare = _NUMBER_WORD.sub("", word)
    return bool(topics_of(word) or topics_of(bare) or names.within(bare))


def _runs(row: Sequence[Token], line_id: int, lengths: frozenset[int], longest: int) -> Iterator[TokenRun]:
    for first, start in enumerate(row):
        if start.line_id != line_id:
            return
        number = ""
        for last in range(first, len(row)):
            group = row[last]
            if not group.is_code or (last > first and not group.joined):
                break
            number += group.text
            if len(number) > longest:
                break
            if len(number) in lengths:
                yield TokenRun(row[first : last + 1], number, *_lengths_beside(row, first, last))


def _stacked_runs(groups: Sequence[Token], lengths: Container[int]) -> Iterator[TokenRun]:
    """Yield the first tokens of a stack if they are as long as a container's number."""
    number = ""
    for last, group in enumerate(groups, 1):
        number += group.text
        if len(number) == _CONTAINER_LENGTH and _CONTAINER_LENGTH in lengths:
            yield TokenRun(groups[:last], number, stacked=True)
        if len(number) >= _CONTAINER_LENGTH:
            return


def _lengths_beside(row: Sequence[Token], first: int, last: int) -> tuple[int, int]:
    """Return the lengths of the tokens with digits that are tied to both ends of a run, 0 where there is none."""
    before = first > 0 and row[first].tied and row[first - 1].has_digit
    after = last + 1 < len(row) and row[last + 1].tied and row[last + 1].has_digit
    return len(row[first - 1].text) if before else 0, len(row[last + 1].text) if after else 0
