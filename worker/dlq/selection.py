"""Which dead letters a command selects.

Invariant: `matches` depends on the letter and the time alone, so a plan that is resumed matches the same letters.
"""

from dataclasses import dataclass

from worker.dlq.letter import DeadLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter. Kinds are joined by `and`, values of one kind by `or`; an empty kind lets everything through.

    Headers are joined by `and`: a letter must have each of these names with that value, compared as UTF-8 text. Ages
    are counted from the failure. A fingerprint may be given by its first digits. `limit` is for whoever reads on:
    `matches` does not count.
    """

    codes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None
    keys: frozenset[str] = frozenset()
    headers: tuple[tuple[str, str], ...] = ()
    fingerprints: frozenset[str] = frozenset()
    limit: int | None = None

    def matches(self, letter: DeadLetter, now_ms: int) -> bool:
        """Say whether the letter is selected, at `now_ms` in epoch milliseconds."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.stages or letter.stage in self.stages)
            and self._is_of_age(letter, now_ms)
            and (not self.keys or _text(letter.record.key) in self.keys)
            and all(_has_header(letter, name, value) for name, value in self.headers)
            and (not self.fingerprints or letter.fingerprint.startswith(tuple(self.fingerprints)))
        )

    def _is_of_age(self, letter: DeadLetter, now_ms: int) -> bool:
        age_seconds = (now_ms - letter.failed_at_ms) / 1000
        return (self.older_than_seconds is None or age_seconds > self.older_than_seconds) and (
            self.newer_than_seconds is None or age_seconds <= self.newer_than_seconds
        )


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("utf-8", "replace")


def _has_header(letter: DeadLetter, name: str, value: str) -> bool:
    return any(key == name and _text(got) == value for key, got in letter.record.headers)
