"""What a number may have been before it was misread: decoding over the recognizer's alternatives under a check digit.

Invariant: a value is changed only if exactly one of the readings that are plausible passes the check; where two pass
nothing is known, and nothing is changed. Digits are exchanged for digits only where the recognizer itself held the
other possible. The thresholds come from a simulation (tests/extract/test_repair.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.numbers.forms import MEANT_BY, Form
from worker.pipeline.extract.numbers.token_runs import TokenRun

_MAX_CHANGES: Final = 2
_LOOKALIKE_ODDS: Final = 0.5  # of a character of the wrong class for what looks like it, if the recognizer said nothing
_ENOUGH_ODDS: Final = 0.1  # against what was read, or against the likeliest reading where that has not the shape
_POSSIBLE_ODDS: Final = 0.002  # a reading as probable as this counts as one that may pass as well
_RIVAL_ODDS: Final = 0.03  # so probable, it casts doubt even on what passes as it was read
SURE_ENOUGH: Final = 0.95  # a character under this may be another: any, if the recognizer does not tell which
_MAX_PLACES: Final = 12  # more doubtful characters are no reading


@dataclass(frozen=True, slots=True)
class Mark:
    """A character as read: folded `text`, and what else it may be, with the odds of each against it.

    `doubtful` says that the recognizer was unsure, whether or not it told what else it may be.
    """

    text: str
    others: Sequence[tuple[str, float]] = ()
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class _Repair:
    number: str
    odds: float


def marks_of(run: TokenRun, page: PageText, folded: Sequence[str]) -> tuple[Mark, ...]:
    """Return the characters of a run, with the recognizer's alternatives where it gave them."""
    marks: list[Mark] = []
    for group in run.groups:
        line = page.lines[group.line_id]
        places = line.characters if len(line.characters) == len(line.text) else ()
        for place in range(group.start, group.stop):
            alternatives = places[place].alternatives if places else ()
            certainty = max(places[place].confidence, 1e-3) if places else 1.0
            others = tuple((text.upper(), odds / certainty) for text, odds in alternatives if len(text) == 1)
            marks.append(Mark(folded[group.line_id][place], others, certainty < SURE_ENOUGH))
    return tuple(marks)


def repaired(marks: Sequence[Mark], form: Form) -> str | None:
    """Return the one number of this form that was probably printed, None if there is none or more than one.

    At most two characters are changed. A form without a check digit is never repaired.
    """
    if form.check is None:
        return None
    passing = [reading for reading in _readings(marks, form, _POSSIBLE_ODDS) if form.passes(reading.number)]
    if len(passing) != 1 or passing[0].odds < _ENOUGH_ODDS:
        return None
    number = passing[0].number
    kept = [place for place, mark in enumerate(marks) if mark.doubtful and mark.text == number[place]]
    return None if any(_is_unproven(number, marks[place], place, form) for place in kept) else number


def is_rivalled(marks: Sequence[Mark], form: Form) -> bool:
    """Whether another reading than what was read is probable and passes the check as well.

    A character that the check does not cover, or is blind for, has to be read without doubt.
    """
    read = "".join(mark.text for mark in marks)
    if any(mark.doubtful and _is_unproven(read, mark, place, form) for place, mark in enumerate(marks)):
        return True
    if not any(odds >= _RIVAL_ODDS for mark in marks for _, odds in mark.others):
        return False
    rivals = (reading.number for reading in _readings(marks, form, _RIVAL_ODDS))
    return any(form.passes(number) for number in rivals if number != read)


def _is_unproven(number: str, mark: Mark, place: int, form: Form) -> bool:
    """Whether another character that may stand at this place would pass as well."""
    told = {text for text, odds in mark.others if odds >= _POSSIBLE_ODDS}
    others = sorted((form.places[place] & told if mark.others else form.places[place]) - {number[place]})
    return any(form.passes(f"{number[:place]}{other}{number[place + 1 :]}") for other in others)


def _readings(marks: Sequence[Mark], form: Form, least_odds: float) -> Iterator[_Repair]:
    """Yield the numbers of the form's shape that may have been printed, what was read too if it has the shape."""
    choices = [_choices(mark, allowed, least_odds) for mark, allowed in zip(marks, form.places, strict=True)]
    forced = [
        place for place, (mark, allowed) in enumerate(zip(marks, form.places, strict=True)) if mark.text not in allowed
    ]
    free = [place for place, options in enumerate(choices) if options and place not in forced]
    if len(forced) > _MAX_CHANGES or len(free) > _MAX_PLACES or not all(choices[place] for place in forced):
        return
    read = [mark.text for mark in marks]
    for count in range(_MAX_CHANGES - len(forced) + 1):
        for more in combinations(free, count):
            yield from _changed(read, choices, (*forced, *more), least_odds)


def _changed(
    read: Sequence[str],
    choices: Sequence[Sequence[tuple[str, float]]],
    places: Sequence[int],
    least_odds: float,
) -> Iterator[_Repair]:
    for picked in product(*(choices[place] for place in places)):
        number, odds = list(read), 1.0
        for place, (text, chance) in zip(places, picked, strict=True):
            number[place] = text
            odds *= min(chance, 1.0)
        if odds >= least_odds:
            yield _Repair("".join(number), odds)


def _choices(mark: Mark, allowed: frozenset[str], least_odds: float) -> list[tuple[str, float]]:
    """Return what may stand in place of a character, of those that the form allows there."""
    told = {text: odds for text, odds in mark.others if text in allowed and text != mark.text and odds >= least_odds}
    if mark.text in allowed or told:
        return sorted(told.items())
    return [(text, _LOOKALIKE_ODDS) for text in MEANT_BY.get(mark.text, "") if text in allowed]
