"""What a replay has done, by outcome and error code.

Invariant: counts are committed in the metadata of the positions that they belong to, so that the two always agree, also
after a kill.
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
    """Counts by outcome and code."""

    by_outcome: dict[LetterOutcome, Counter[str]] = field(
        default_factory=lambda: {outcome: Counter() for outcome in LetterOutcome}
    )

    def add(self, outcome: LetterOutcome, code: str) -> None:
        """Count a letter."""
        self.by_outcome[outcome][code] += 1

    def total(self, *outcomes: LetterOutcome) -> int:
        """Return how many letters had these outcomes; of all outcomes where none is named."""
        return sum(self.by_outcome[outcome].total() for outcome in outcomes or LetterOutcome)

    def metadata(self) -> str:
        """Return them as text for a commit; where there are too many codes for that, they are counted as one."""
        text = _dumped(self.by_outcome)
        if len(text) <= _MAX_CHARACTERS:
            return text
        return _dumped({outcome: Counter({OTHER_CODES: counts.total()}) for outcome, counts in self.by_outcome.items()})

    @classmethod
    def of(cls, metadata: str) -> "ReplayCounts":
        """Read them back; metadata that is not ours counts nothing."""
        read = cls()
        try:
            found = _COUNTS.validate_json(metadata)
        except ValidationError:
            return read
        for outcome, counts in found.items():
            read.by_outcome[outcome].update(counts)
        return read

    @classmethod
    def sum(cls, parts: Iterable["ReplayCounts"]) -> "ReplayCounts":
        """Return all of them as one."""
        whole = cls()
        for part in parts:
            for outcome, counts in part.by_outcome.items():
                whole.by_outcome[outcome].update(counts)
        return whole

    def document(self) -> dict[str, dict[str, int]]:
        """Return them for scripts: outcome, then code."""
        return {outcome.value: dict(sorted(counts.items())) for outcome, counts in self.by_outcome.items()}


def _dumped(counts: Mapping[LetterOutcome, Counter[str]]) -> str:
    return json.dumps({outcome: by_code for outcome, by_code in counts.items() if by_code}, separators=(",", ":"))
