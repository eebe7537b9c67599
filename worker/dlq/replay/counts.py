"""What a replay has done, by fate and error code.

Invariant: a tally travels in the metadata of the positions that it belongs to, so the two are never apart, even where
the process was killed.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from worker.dlq.replay.plan import LetterOutcome

OTHER_CODES = "(other)"
_COUNTS = TypeAdapter(dict[LetterOutcome, dict[str, int]])
_MAX_CHARACTERS = 3500  # the broker takes 4,096 bytes of metadata


@dataclass(slots=True)
class ReplayCounts:
    """Counts by fate and code."""

    counts: dict[LetterOutcome, Counter[str]] = field(
        default_factory=lambda: {fate: Counter() for fate in LetterOutcome}
    )

    def add(self, fate: LetterOutcome, code: str) -> None:
        """Count a letter."""
        self.counts[fate][code] += 1

    def total(self, *fates: LetterOutcome) -> int:
        """Return how many letters had these fates; of all fates where none is named."""
        return sum(self.counts[fate].total() for fate in fates or LetterOutcome)

    def metadata(self) -> str:
        """Return it as text; where there are too many codes for that, they are counted as one."""
        text = _dumped(self.counts)
        if len(text) <= _MAX_CHARACTERS:
            return text
        return _dumped({fate: Counter({OTHER_CODES: counts.total()}) for fate, counts in self.counts.items()})

    @classmethod
    def of(cls, metadata: str) -> "ReplayCounts":
        """Read it back; metadata that is not ours counts nothing."""
        tally = cls()
        try:
            found = _COUNTS.validate_json(metadata)
        except ValidationError:
            return tally
        for fate, counts in found.items():
            tally.counts[fate].update(counts)
        return tally

    @classmethod
    def sum(cls, tallies: Iterable["ReplayCounts"]) -> "ReplayCounts":
        """Return all of them as one."""
        whole = cls()
        for tally in tallies:
            for fate, counts in tally.counts.items():
                whole.counts[fate].update(counts)
        return whole

    def figures(self) -> dict[str, dict[str, int]]:
        """Return it for scripts: fate, then code."""
        return {fate.value: dict(sorted(counts.items())) for fate, counts in self.counts.items()}


def _dumped(counts: Mapping[LetterOutcome, Counter[str]]) -> str:
    return json.dumps({fate: by_code for fate, by_code in counts.items() if by_code}, separators=(",", ":"))
