"""A recognizer's answer to characters: best-path decoding of CTC (Graves et al., ICML 2006).

Invariant: a line's characters spell its text, from left to right, and its confidence is the mean of theirs.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Character

_BLANK = 0
_MIN_PROBABILITY = 1e-3  # what is less likely is no alternative

_Scalar = TypeVar("_Scalar", np.int32, np.float32)
_Alternatives = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Spelling:
    """What one line reads as; a line of blanks is "" with confidence 0."""

    text: str
    confidence: float
    characters: tuple[Character, ...]


def decode_ctc(
    tokens: NDArray[np.int32],
    confidences: NDArray[np.float32],
    dictionary: Sequence[str],
    content_steps: NDArray[np.float64] | None = None,
) -> list[Spelling]:
    """Return what each line reads as, by best-path decoding.

    `tokens` and `confidences` are [n, T, K], best first; a best token that repeats its predecessor, or is the blank 0,
    counts for nothing. `content_steps` [n] says how many steps each line's picture covers (default: all); positions are
    parts of that. A character's alternatives are those of the steps that its best token holds, each with its highest
    probability, without blank.
    """
    best, steps = tokens[..., 0], tokens.shape[1]
    begins = np.ones(best.shape, dtype=np.bool_)
    begins[:, 1:] = best[:, 1:] != best[:, :-1]
    rows, starts = np.nonzero(begins)
    ends = np.append(starts[1:], 0)
    ends[np.append(rows[1:] != rows[:-1], [True])[: ends.size]] = steps
    kept = best[rows, starts] != _BLANK
    rows, starts, ends = rows[kept], starts[kept], ends[kept]
    covered = np.full(len(best), steps) if content_steps is None else content_steps
    positions = np.clip((starts + ends) / 2 / covered[rows], 0.0, 1.0)
    found = list(
        map(
            Character,
            [dictionary[token] for token in best[rows, starts].tolist()],
            confidences[rows, starts, 0].tolist(),
            positions.tolist(),
            _alternatives(tokens, confidences, dictionary, (rows, starts, ends)),
        )
    )
    bounds = np.searchsorted(rows, np.arange(len(best) + 1)).tolist()
    return [spell(found[first:last]) for first, last in itertools.pairwise(bounds)]


def join_steps(answers: Sequence[NDArray[_Scalar]]) -> NDArray[_Scalar]:
    """Return answers [n, T, K] of any T as one, to be decoded together: a pass costs about the same for few and many.

    Behind a line with fewer steps than others stand tokens 0: blanks, which count for nothing.
    """
    lines = sum(len(answer) for answer in answers)
    steps, alternatives = (max(answer.shape[axis] for answer in answers) for axis in (1, 2))
    joined = np.zeros((lines, steps, alternatives), dtype=answers[0].dtype)
    first = 0
    for answer in answers:
        joined[first : first + len(answer), : answer.shape[1], : answer.shape[2]] = answer
        first += len(answer)
    return joined


def spell(characters: Sequence[Character]) -> Spelling:
    """Return characters as a line."""
    text = "".join([character.text for character in characters])
    mean = sum([character.confidence for character in characters]) / max(len(characters), 1)
    return Spelling(text, mean, tuple(characters))


def _alternatives(
    tokens: NDArray[np.int32],
    confidences: NDArray[np.float32],
    dictionary: Sequence[str],
    runs: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]],
) -> list[_Alternatives]:
    """Return the alternatives of each run of equal best tokens, given as rows, starts and ends."""
    rows, starts, ends = runs
    found: list[_Alternatives] = [()] * len(rows)
    if tokens.shape[2] == 1 or not len(rows):
        return found
    # Most characters are certain: only what else is likely is looked at one by one.
    likely = (confidences[..., 1:] >= _MIN_PROBABILITY) & (tokens[..., 1:] != _BLANK)
    lines, steps, ranks = np.nonzero(likely)
    line_starts = rows * tokens.shape[1]
    places = lines * tokens.shape[1] + steps
    held = np.searchsorted(line_starts + starts, places, side="right") - 1  # -1 before the first
    other, probability = tokens[lines, steps, ranks + 1], confidences[lines, steps, ranks + 1]
    counts = (held >= 0) & (places < (line_starts + ends)[held]) & (other != tokens[rows, starts, 0][held])
    others: dict[int, dict[str, float]] = {}
    for run, token, likelihood in zip(
        held[counts].tolist(), other[counts].tolist(), probability[counts].tolist(), strict=True
    ):
        entries = others.setdefault(run, {})
        entries[dictionary[token]] = max(entries.get(dictionary[token], 0.0), likelihood)
    for run, entries in others.items():
        found[run] = tuple(sorted(entries.items(), key=lambda entry: -entry[1]))
    return found
