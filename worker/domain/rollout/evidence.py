"""What was seen of a candidate, in numbers that add up.

Invariant: evidence is a sum. What two workers saw can be added in any order, and no job's text is in it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, cast

from pydantic import BaseModel, ConfigDict, Field

# Sixteen to an octave: a time is known to 4.4 %.
_BINS_PER_OCTAVE: Final = 16
_MIN_SECONDS: Final = 1e-4
_PARTS: Final = 20
"""Parts of 1 to which a disagreement is rounded, up."""

# Bounds that no worker comes near; within them nothing that is computed from a record overflows.
_Count = Annotated[int, Field(ge=0, le=10**12)]
_TimeBin = Annotated[int, Field(ge=-1000, le=1000)]
_PartBin = Annotated[int, Field(ge=0, le=_PARTS)]
Histogram = dict[int, _Count]
"""How often each bin was seen, by its number."""


class Evidence(BaseModel):
    """What one or more workers saw of a candidate in one step of its rollout.

    `jobs` are those that the candidate was to read, for which a judgment is possible: `errors` of them failed where
    the models in use did not. `undecided` are those that failed while the server was at fault. `pairs` were read by
    both; of them `blanks` hold no text for the candidate alone. `text` and `fields` count pairs by their disagreement,
    in twentieths. The barcode of a page is the truth for the text beside it: `code_lost` says how often only the models
    in use read it, `code_won` how often only the candidate did. `candidate_times` and `in_use_times` count readings
    by their time. `dropped` comparisons were left out, because the worker had other work.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    jobs: _Count = 0
    errors: _Count = 0
    undecided: _Count = 0
    pairs: _Count = 0
    blanks: _Count = 0
    text: dict[_PartBin, _Count] = Field(default_factory=dict)
    fields: dict[_PartBin, _Count] = Field(default_factory=dict)
    code_lost: _Count = 0
    code_won: _Count = 0
    candidate_times: dict[_TimeBin, _Count] = Field(default_factory=dict)
    in_use_times: dict[_TimeBin, _Count] = Field(default_factory=dict)
    dropped: _Count = 0

    def __add__(self, other: "Evidence") -> "Evidence":
        """Return what both saw."""
        return self.model_copy(
            update={name: _sum(getattr(self, name), getattr(other, name)) for name in Evidence.model_fields}
        )

    @property
    def text_disagreement(self) -> float | None:
        """The mean part of the characters that differ; None without a pair."""
        return _mean(self.text)

    @property
    def field_disagreement(self) -> float | None:
        """The mean part of the fields that differ; None without a pair that has any."""
        return _mean(self.fields)


def total(evidence: Iterable[Evidence]) -> Evidence:
    """Return the sum of evidence."""
    return sum(evidence, start=Evidence())


def part_bin(part: float) -> int:
    """Return the bin of a part of 1, rounded up, so that a small difference counts."""
    return min(_PARTS, math.ceil(max(0.0, part) * _PARTS - 1e-9))


def part_counts(histogram: Mapping[int, int]) -> dict[float, int]:
    """Return how often each part of 1 was seen."""
    return {min(1.0, number / _PARTS): count for number, count in histogram.items()}


def time_bin(seconds: float) -> int:
    """Return the bin of a time."""
    return math.floor(_BINS_PER_OCTAVE * math.log2(max(seconds, _MIN_SECONDS)))


def time_of_bin(number: int) -> float:
    """Return the middle of a bin in seconds."""
    return float(2 ** ((number + 0.5) / _BINS_PER_OCTAVE))


def quantile_bin(histogram: Mapping[int, int], quantile: float) -> int | None:
    """Return the bin that holds a quantile, None without a time."""
    rank = quantile * sum(histogram.values())
    for number, so_far in _accumulated(histogram):
        if so_far >= rank:
            return number
    return None


def _accumulated(histogram: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    so_far = 0
    for number in sorted(histogram):
        so_far += histogram[number]
        yield number, so_far


def _mean(histogram: Mapping[int, int]) -> float | None:
    pairs = sum(histogram.values())
    return sum(number * count for number, count in histogram.items()) / _PARTS / pairs if pairs else None


def _sum(one: int | Histogram, other: int | Histogram) -> int | Histogram:
    if isinstance(one, int) or isinstance(other, int):
        return cast("int", one) + cast("int", other)
    return dict(Counter(one) + Counter(other))
