"""Dead letters counted: by what went wrong, and over time.

Invariant: memory is bounded whatever the topic holds, and every letter is counted once: beyond the most groups and
codes that are kept it is counted under `OTHER`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.dlq.inspect.timeline import Timeline
from worker.dlq.letter import DeadLetter
from worker.domain.records import Coordinate

OTHER: Final = "(other)"
_MAX_SKEW_MS: Final = 3_600_000
_MAX_GROUPS: Final = 1000
_MAX_CODES: Final = 24
_MAX_NAME_CHARACTERS: Final = 64
_MAX_MESSAGE_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class ErrorOccurrence:
    """One letter's error as it is counted, when it occurred (epoch milliseconds), and where the letter is."""

    code: str
    stage: str
    fingerprint: str
    message: str
    at_ms: int
    coordinate: Coordinate

    @classmethod
    def of(cls, letter: DeadLetter) -> "ErrorOccurrence":
        """Return a letter's error; a time of failure long after the letter was written is not believed."""
        written_ms, failed_ms = letter.record.timestamp_ms, letter.failed_at_ms
        return cls(
            code=letter.code,
            stage=letter.stage,
            fingerprint=letter.fingerprint,
            message=letter.message,
            at_ms=written_ms if 0 < written_ms < failed_ms - _MAX_SKEW_MS else failed_ms,
            coordinate=letter.record.coordinate,
        )


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Letters with the same code, stage and fingerprint; `example` and `message` are those of the newest."""

    code: str
    stage: str
    fingerprint: str
    count: int
    first_ms: int
    last_ms: int
    example: Coordinate
    message: str

    @classmethod
    def of(cls, occurrence: ErrorOccurrence, name: tuple[str, str, str]) -> "ErrorGroup":
        """Return the group of one letter."""
        message = occurrence.message[:_MAX_MESSAGE_CHARACTERS]
        return cls(*name, 1, occurrence.at_ms, occurrence.at_ms, occurrence.coordinate, message)

    def joined(self, other: "ErrorGroup") -> "ErrorGroup":
        """Return both as one, under this one's name."""
        newest = max(other, self, key=lambda group: group.last_ms)
        return ErrorGroup(
            *(self.code, self.stage, self.fingerprint),
            self.count + other.count,
            min(self.first_ms, other.first_ms),
            newest.last_ms,
            newest.example,
            newest.message,
        )


class Statistics:
    """Takes letters in any order."""

    def __init__(self, max_groups: int = _MAX_GROUPS) -> None:
        self._max_groups = max_groups
        self._groups: dict[tuple[str, str, str], ErrorGroup] = {}
        self._codes: set[str] = set()
        self.timeline = Timeline()
        self.letters = 0

    def add(self, occurrence: ErrorOccurrence) -> None:
        """Count a letter."""
        self.letters += 1
        name = _name(occurrence)
        if name not in self._groups and len(self._groups) >= self._max_groups:
            name = (OTHER, OTHER, OTHER)
        found, known = ErrorGroup.of(occurrence, name), self._groups.get(name)
        self._groups[name] = found if known is None else known.joined(found)
        self.timeline.add(occurrence.at_ms, self._code(name[0]))

    @property
    def groups(self) -> Sequence[ErrorGroup]:
        """The groups, the largest first."""
        return sorted(self._groups.values(), key=lambda each: (-each.count, each.code, each.stage, each.fingerprint))

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """When the first and the last error occurred; None without letters."""
        if not self._groups:
            return None
        return (
            min(each.first_ms for each in self._groups.values()),
            max(each.last_ms for each in self._groups.values()),
        )

    def share(self, group: ErrorGroup) -> float:
        """Return which part of all letters is in a group, 0 to 1."""
        return group.count / self.letters

    def _code(self, code: str) -> str:
        if len(self._codes) < _MAX_CODES:
            self._codes.add(code)
        return code if code in self._codes else OTHER


def _name(occurrence: ErrorOccurrence) -> tuple[str, str, str]:
    # Headers are foreign input: a worker writes short ones.
    code, stage, fingerprint = (
        text[:_MAX_NAME_CHARACTERS] for text in (occurrence.code, occurrence.stage, occurrence.fingerprint)
    )
    return code, stage, fingerprint


def statistics_document(statistics: Statistics, topic: str) -> dict[str, Any]:
    """Return all of it for scripts; times are epoch milliseconds."""
    span = statistics.span_ms
    return {
        "topic": topic,
        "letters": statistics.letters,
        "first_ms": span[0] if span else None,
        "last_ms": span[1] if span else None,
        "clusters": [
            {
                "code": each.code,
                "stage": each.stage,
                "fingerprint": each.fingerprint,
                "count": each.count,
                "share": round(statistics.share(each), 6),
                "first_ms": each.first_ms,
                "last_ms": each.last_ms,
                "example": str(each.example),
                "message": each.message,
            }
            for each in statistics.groups
        ],
        "histogram": {
            "bin_seconds": statistics.timeline.width_seconds,
            "bins": [
                {"start_ms": each.start_ms, "count": each.total, "codes": dict(each.counts)}
                for each in statistics.timeline.bins()
            ],
        },
    }
