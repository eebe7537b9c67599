"""Corrects misread numbers: the recognizer's alternatives are tried until the check digit holds.

Invariant: a number is changed only if exactly one of its plausible readings passes the check. Where two pass, nothing
is changed. A digit is exchanged for another digit only where the recognizer itself gave that alternative. The
thresholds come from a simulation (tests/extract/test_repair.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

from worker.domain.image import PageText
from worker.pipeline.extract.numbers.forms import MEANT_BY, Form
from worker.pipeline.extract.numbers.token_runs import TokenRun

_MAX_CHANGES: Final = 2
_LOOKALIKE_ODDS: Final = 0.5  # of a look-alike for a character of the wrong class, if the recognizer gave none
_ENOUGH_ODDS: Final = 0.1  # against what was read, or against the likeliest reading of the right shape
_POSSIBLE_ODDS: Final = 0.002  # a reading with these odds counts as one that may pass as well
_RIVAL_ODDS: Final = 0.03  # with these odds it casts doubt even on a number that passes as it was read
SURE_ENOUGH: Final = 0.95  # with less confidence, a character may be any other, or an alternative if there are some
_MAX_POSITIONS: Final = 12  # a number with more doubtful characters is not corrected


@dataclass(frozen=True, slots=True)
class ReadCharacter:
    """A character as read: its folded `text`, and `others` that it may be, each with its odds against the text.

    `doubtful`: the recognizer was unsure, whether or not it gave others.
    """

    text: str
    others: Sequence[tuple[str, float]] = ()
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class _Repair:
    number: str
    odds: float


def characters_of(run: TokenRun, page: PageText, folded: Sequence[str]) -> tuple[ReadCharacter, ...]:
    """Return the characters of a run, with the recognizer's alternatives where it gave them."""
    characters: list[ReadCharacter] = []
    for group in run.groups:
        line = page.lines[group.line_id]
        read = line.characters if len(line.characters) == len(line.text) else ()
        for position in range(group.start, group.stop):
            alternatives = read[position].alternatives if read else ()
            certainty = max(read[position].confidence, 1e-3) if read else 1.0
            others = tuple((text.upper(), odds / certainty) for text, odds in alternatives if len(text) == 1)
            characters.append(ReadCharacter(folded[group.line_id][position], others, certainty < SURE_ENOUGH))
    return tuple(characters)


def repaired(characters: Sequence[ReadCharacter], form: Form) -> str | None:
    """Return the one number of this form that was probably printed, None if there is none or more than one.

    At most two characters are changed. A number without a check digit is never changed.
    """
    if form.check is None:
        return None
    passing = [reading for reading in _readings(characters, form, _POSSIBLE_ODDS) if form.passes(reading.number)]
    if len(passing) != 1 or passing[0].odds < _ENOUGH_ODDS:
        return None
    number = passing[0].number
    kept = [
        position
        for position, character in enumerate(characters)
        if character.doubtful and character.text == number[position]
    ]
    return None if any(_is_unproven(number, characters[position], position, form) for position in kept) else number


def is_rivalled(characters: Sequence[ReadCharacter], form: Form) -> bool:
    """Whether another reading is probable and passes the check as well.

    A doubtful character is enough if another one in its position passes too: the check does not see the difference.
    """
    read = "".join(character.text for character in characters)
    if any(
        character.doubtful and _is_unproven(read, character, position, form)
        for position, character in enumerate(characters)
    ):
        return True
    if not any(odds >= _RIVAL_ODDS for character in characters for _, odds in character.others):
        return False
    rivals = (reading.number for reading in _readings(characters, form, _RIVAL_ODDS))
    return any(form.passes(number) for number in rivals if number != read)


def _is_unproven(number: str, character: ReadCharacter, position: int, form: Form) -> bool:
    """Whether another character that may stand at this position would pass as well."""
    possible = {text for text, odds in character.others if odds >= _POSSIBLE_ODDS}
    allowed = form.positions[position]
    others = sorted((allowed & possible if character.others else allowed) - {number[position]})
    return any(form.passes(f"{number[:position]}{other}{number[position + 1 :]}") for other in others)


def _readings(characters: Sequence[ReadCharacter], form: Form, least_odds: float) -> Iterator[_Repair]:
    """Yield the numbers of the form's shape that may be printed, with what was read among them if it has the shape."""
    choices = [
        _choices(character, allowed, least_odds) for character, allowed in zip(characters, form.positions, strict=True)
    ]
    forced = [
        position
        for position, (character, allowed) in enumerate(zip(characters, form.positions, strict=True))
        if character.text not in allowed
    ]
    free = [position for position, options in enumerate(choices) if options and position not in forced]
    if len(forced) > _MAX_CHANGES or len(free) > _MAX_POSITIONS or not all(choices[position] for position in forced):
        return
    read = [character.text for character in characters]
    for count in range(_MAX_CHANGES - len(forced) + 1):
        for more in combinations(free, count):
            yield from _changed(read, choices, (*forced, *more), least_odds)


def _changed(
    read: Sequence[str],
    choices: Sequence[Sequence[tuple[str, float]]],
    positions: Sequence[int],
    least_odds: float,
) -> Iterator[_Repair]:
    for picked in product(*(choices[position] for position in positions)):
        number, odds = list(read), 1.0
        for position, (text, chance) in zip(positions, picked, strict=True):
            number[position] = text
            odds *= min(chance, 1.0)
        if odds >= least_odds:
            yield _Repair("".join(number), odds)


def _choices(character: ReadCharacter, allowed: frozenset[str], least_odds: float) -> list[tuple[str, float]]:
    """Return what may stand instead of a character, of those that the form allows at its position."""
    possible = {
        text: odds
        for text, odds in character.others
        if text in allowed and text != character.text and odds >= least_odds
    }
    if character.text in allowed or possible:
        return sorted(possible.items())
    return [(text, _LOOKALIKE_ODDS) for text in MEANT_BY.get(character.text, "") if text in allowed]
