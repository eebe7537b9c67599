"""Counts over a span of time that need not be known before.

Invariant: the bins are as many as asked for at most, all of one width, and their counts add up to what was added; the
width only grows, from one that divides the next, so that bins are merged and never split.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WIDTHS_SECONDS: Final = (
    *(1, 5, 15),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 7 * _DAY, 28 * _DAY),
)
_BEYOND: Final = 4
MAX_BINS: Final = 60


@dataclass(frozen=True, slots=True)
class TimeBin:
    """What was counted from `start_ms` (epoch milliseconds) on, by name."""

    start_ms: int
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.counts.values())


class Timeline:
    """Counts by name in bins of time, aligned to the epoch."""

    def __init__(self, max_bins: int = MAX_BINS) -> None:
        self._max_bins = max_bins
        self._width_seconds = _WIDTHS_SECONDS[0]
        self._bins: dict[int, Counter[str]] = {}

    @property
    def width_seconds(self) -> int:
        """How much time one bin covers."""
        return self._width_seconds

    def add(self, at_ms: int, name: str, count: int = 1) -> None:
        """Count something that happened at an epoch time in milliseconds."""
        index = at_ms // (1000 * self._width_seconds)
        if index in self._bins:
            self._bins[index][name] += count
            return
        self._bins[index] = Counter({name: count})
        self._fit()

    def bins(self) -> list[TimeBin]:
        """Return the bins from the first time to the last, empty ones between them included."""
        if not self._bins:
            return []
        width_ms = 1000 * self._width_seconds
        indices = range(min(self._bins), max(self._bins) + 1)
        return [TimeBin(index * width_ms, dict(self._bins.get(index, {}))) for index in indices]

    def at_most(self, max_bins: int) -> "Timeline":
        """Return the same counts in fewer bins."""
        coarser = Timeline(max_bins)
        for each in self.bins():
            for name, count in each.counts.items():
                coarser.add(each.start_ms, name, count)
        # Counts of a wide bin stand at its start: narrower bins would claim to know more.
        coarser.widen_to(self._width_seconds)
        return coarser

    def widen_to(self, width_seconds: int) -> None:
        """Merge bins until they are at least so wide."""
        while self._width_seconds < width_seconds:
            self._widen()

    def _fit(self) -> None:
        while max(self._bins) - min(self._bins) >= self._max_bins:
            self._widen()

    def _widen(self) -> None:
        wider = next((width for width in _WIDTHS_SECONDS if width > self._width_seconds), self._width_seconds * _BEYOND)
        ratio = wider // self._width_seconds
        merged: dict[int, Counter[str]] = {}
        for index, counts in self._bins.items():
            merged.setdefault(index // ratio, Counter()).update(counts)
        self._bins, self._width_seconds = merged, wider
