"""Which records of a topic become training data, if there are more than are wanted.

Invariant: the choice depends on the seed and on what stands on the topic alone, never on the order of its partitions,
and memory is bounded however long the topic is.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from worker.domain.records import Coordinate
from worker.training.split import seeded_rank

MAX_CANDIDATES: Final = 100_000
_TIME_BANDS: Final = 10
_CONFIDENCE_BANDS: Final = 4


@dataclass(frozen=True, slots=True)
class ExportCandidate:
    """A record that could be exported.

    `content` is the same for records of the same picture, `key` for records of the same key. `confidence` is that of
    the record's worst line, 0 to 1.
    """

    content: str
    coordinate: Coordinate
    key: bytes | None
    timestamp_ms: int
    confidence: float


class CandidatePool:
    """A random sample of the contents that were offered, `max_candidates` of them at most.

    It keeps the contents of lowest rank, a hash of seed and content (a bottom-k sketch: Cohen and Kaplan, "Summarizing
    data using bottom-k sketches", 2007). So each content counts once, however often it comes. Of the records of one
    content the newest is kept, which the newest models read.
    """

    def __init__(self, seed: int, max_candidates: int = MAX_CANDIDATES) -> None:
        self._seed = seed
        self._max_candidates = max_candidates
        self._kept: dict[str, ExportCandidate] = {}
        self._ranks: list[tuple[float, str]] = []  # a heap, the highest rank first
        self.repeated = 0
        self.dropped = 0

    def offer(self, candidate: ExportCandidate) -> None:
        """Take a candidate, or drop it or another one."""
        known = self._kept.get(candidate.content)
        if known is not None:
            self.repeated += 1
            self._kept[candidate.content] = max(known, candidate, key=_age)
            return
        self._kept[candidate.content] = candidate
        heapq.heappush(self._ranks, (-seeded_rank(self._seed, candidate.content.encode()), candidate.content))
        if len(self._ranks) > self._max_candidates:
            self.dropped += 1
            del self._kept[heapq.heappop(self._ranks)[1]]

    def ranked(self) -> list[ExportCandidate]:
        """Return what was kept, in the random order of the seed."""
        return [self._kept[content] for _, content in sorted(self._ranks, reverse=True)]


def spread(candidates: Sequence[ExportCandidate], count: int) -> list[ExportCandidate]:
    """Return up to `count` candidates, spread over keys, time and confidence.

    No key comes a second time before each has come once. Otherwise ten bands of time and four of confidence take turns,
    all of one width, so quiet hours and doubtful records have their share.
    """
    times = _bands([each.timestamp_ms for each in candidates], _TIME_BANDS)
    confidences = _bands([each.confidence for each in candidates], _CONFIDENCE_BANDS)
    seen = Counter[bytes]()
    rounds: dict[int, dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, candidate in enumerate(candidates):
        key = candidate.content.encode() if candidate.key is None else candidate.key
        rounds[seen[key]][times[number], confidences[number]].append(number)
        seen[key] += 1
    ordered = chain.from_iterable(_in_turns(strata) for _, strata in sorted(rounds.items()))
    return [candidates[number] for number in islice(ordered, count)]


def _in_turns(strata: dict[tuple[int, int], list[int]]) -> Iterator[int]:
    waiting = [stratum[::-1] for _, stratum in sorted(strata.items())]
    while waiting:
        for stratum in waiting:
            yield stratum.pop()
        waiting = [stratum for stratum in waiting if stratum]


def _bands(values: Sequence[float], count: int) -> list[int]:
    """Return in which of `count` bands of one width each value lies, from 0."""
    low, high = min(values, default=0), max(values, default=0)
    return [0 if high == low else min(count - 1, int((value - low) * count / (high - low))) for value in values]


def _age(candidate: ExportCandidate) -> tuple[int, Coordinate]:
    return candidate.timestamp_ms, candidate.coordinate
