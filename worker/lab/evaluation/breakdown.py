"""Scores of parts of a set: by degradation, by layout, by type of field; and how far confidence can be believed.

Invariant: a picture that did not pass the quality gate counts in `admitted` and in no score of its group.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.fields import FieldCounts
from worker.lab.evaluation.matching import overlap_matrix, pairs
from worker.lab.evaluation.run import SystemReading
from worker.lab.evaluation.scores import Scores, normalized, total

_BINS = 10


@dataclass(frozen=True, slots=True)
class PictureGroup:
    """Some pictures of a set. `admitted` is the share that passed the quality gate, `scores` are of these.

    `problems` says how many pictures the gate had which problem with.
    """

    name: str
    images: int
    admitted: float
    scores: Scores
    problems: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bins of confidence: how sure the reader was on average, what share of the lines was right, how many there were.

    `error` is the mean distance of the two, by lines: the expected calibration error of Naeini et al. (2015).
    """

    confidence: tuple[float, ...]
    right: tuple[float, ...]
    lines: tuple[int, ...]

    @property
    def error(self) -> float | None:
        """How far confidence is from the truth on average."""
        apart = [count * abs(sure - right) for sure, right, count in zip(*self._columns(), strict=True)]
        return sum(apart) / sum(self.lines) if self.lines else None

    def _columns(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
        return self.confidence, self.right, self.lines


def admitted_share(read: SystemReading) -> float:
    """Return the share of pictures that passed the quality gate."""
    count = len(read.transcripts)
    return sum(read.passed_gate(number) for number in range(count)) / count


def by_degradation(dataset: Dataset, read: SystemReading) -> list[PictureGroup]:
    """Return the groups of pictures with the same thing wrong, in the order of the set; none where nobody says."""
    return _groups([sample.degradation for sample in dataset.samples], read)


def by_layout(dataset: Dataset, read: SystemReading) -> list[PictureGroup]:
    """Return the groups of pictures of the same layout, in the order of the set; none where nobody says."""
    return _groups([sample.layout for sample in dataset.samples], read)


def by_type(read: SystemReading) -> Mapping[str, FieldCounts]:
    """Return what was counted of each type of field, over the pictures that passed the gate."""
    counts = read.counts or ()
    return total(one for number, one in enumerate(counts) if read.passed_gate(number)).fields


def calibration(dataset: Dataset, read: SystemReading) -> Calibration:
    """Return how often lines were right at what confidence; a line that stands nowhere in the truth is wrong."""
    told = [judged for number, _ in enumerate(dataset.samples) for judged in _judged_lines(dataset, read, number)]
    confidences = np.array([confidence for confidence, _ in told])
    right = np.array([is_right for _, is_right in told], dtype=np.float64)
    return _binned(confidences, right)


def _groups(names: Sequence[str], read: SystemReading) -> list[PictureGroup]:
    members: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        members.setdefault(name, []).append(number)
    return [_group(name, numbers, read) for name, numbers in members.items() if name]


def _group(name: str, numbers: Sequence[int], read: SystemReading) -> PictureGroup:
    passed = [number for number in numbers if read.passed_gate(number)]
    counts = [read.counts[number] for number in passed] if read.counts else []
    problems = Counter(problem for number in numbers for problem in set(read.problems[number] if read.problems else ()))
    return PictureGroup(
        name, len(numbers), len(passed) / len(numbers), Scores.of(total(counts)), dict(problems.most_common())
    )


def _judged_lines(dataset: Dataset, read: SystemReading, number: int) -> Iterator[tuple[float, bool]]:
    truth, lines = dataset.samples[number].truth, read.transcripts[number].lines
    if truth is None:
        return
    overlaps = overlap_matrix([line.polygon for line in truth.lines], [line.polygon for line in lines])
    partner = {column: row for row, column in pairs(overlaps)}
    for index, line in enumerate(lines):
        same = index in partner and normalized(truth.lines[partner[index]].text) == normalized(line.text)
        yield line.confidence, same


def _binned(confidences: NDArray[np.float64], right: NDArray[np.float64]) -> Calibration:
    bin_indices = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    filled = [bin_index for bin_index in range(_BINS) if np.any(bin_indices == bin_index)]
    return Calibration(
        confidence=tuple(float(confidences[bin_indices == bin_index].mean()) for bin_index in filled),
        right=tuple(float(right[bin_indices == bin_index].mean()) for bin_index in filled),
        lines=tuple(int((bin_indices == bin_index).sum()) for bin_index in filled),
    )
