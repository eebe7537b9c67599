"""Which keys a replay takes first, and the outcomes that are known of them.

Invariant: a key is a canary or it is not, in all its letters, so the order within a key does not depend on the phases.
Memory is bounded: a group keeps no more than `_MAX_KEYS` keys, those of the lowest hashes, whose counts are exact
because a key that is among the lowest at the end was so from its first letter on (a bottom-k sketch: Cohen and Kaplan,
"Summarizing data using bottom-k sketches", PODC 2007).
"""

import hashlib
import heapq
from dataclasses import dataclass, field

from worker.dlq.letter import DeadLetter
from worker.domain.records import Coordinate

CANARY_SHARE = 0.01
_MAX_KEYS = 500
_HASH_DIGITS = 16


def key_hash(run_id: str, letter: DeadLetter) -> str:
    """Return the name under which a run knows the letter's key; a letter without a key is a key of its own."""
    key = letter.record.key
    identity = b"letter:" + letter.id.encode("utf-8", "surrogatepass") if key is None else b"key:" + key
    return hashlib.sha256(run_id.encode() + b"\0" + identity).hexdigest()[:_HASH_DIGITS]


class CanarySketch:
    """Chooses canaries among all letters of a plan: about 1 % of each error group, as whole keys."""

    def __init__(self, run_id: str, max_keys: int = _MAX_KEYS) -> None:
        self._run_id = run_id
        self._max_keys = max_keys
        self._groups: dict[str, _GroupSketch] = {}

    def add(self, letter: DeadLetter) -> None:
        """Count a letter."""
        group = self._groups.setdefault(letter.fingerprint, _GroupSketch(self._max_keys))
        group.add(key_hash(self._run_id, letter))

    def choose(self) -> frozenset[str]:
        """Return the hashes of the canary keys."""
        return frozenset(key for group in self._groups.values() for key in group.choose())


@dataclass(slots=True)
class _GroupSketch:
    max_keys: int
    letters: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    highest: list[int] = field(default_factory=list)  # a heap of negated hashes: the highest is its first

    def add(self, key: str) -> None:
        self.letters += 1
        if key in self.counts:
            self.counts[key] += 1
            return
        self.counts[key] = 1
        heapq.heappush(self.highest, -int(key, 16))
        if len(self.highest) > self.max_keys:
            del self.counts[f"{-heapq.heappop(self.highest):0{_HASH_DIGITS}x}"]

    def choose(self) -> list[str]:
        """Return keys in the order of their hashes up to the share; one whose letters are far too many is left out."""
        wanted = max(1, round(self.letters * CANARY_SHARE))
        chosen: list[str] = []
        letters = 0
        for key in sorted(self.counts):
            if letters >= wanted:
                break
            if letters + self.counts[key] <= 2 * wanted:
                chosen.append(key)
                letters += self.counts[key]
        return chosen or [min(self.counts, key=lambda key: (self.counts[key], key))]


@dataclass(frozen=True, slots=True)
class CanaryLimits:
    """How long to wait for the canaries' outcomes, and which share of them may fail again."""

    wait_seconds: float
    max_failure_ratio: float


@dataclass(slots=True)
class CanaryOutcomes:
    """The outcomes of `replayed` canaries; a job that has both a result and a dead letter has succeeded."""

    replayed: int
    succeeded: set[Coordinate] = field(default_factory=set)
    failed: set[Coordinate] = field(default_factory=set)

    def note(self, origin: Coordinate, *, failed: bool) -> None:
        """Note a result or a dead letter of a job of the run."""
        if failed and origin not in self.succeeded:
            self.failed.add(origin)
        elif not failed:
            self.succeeded.add(origin)
            self.failed.discard(origin)

    @property
    def known(self) -> int:
        """How many canaries have an outcome."""
        return len(self.succeeded) + len(self.failed)

    @property
    def complete(self) -> bool:
        """Whether no canary is waited for."""
        return self.known >= self.replayed

    def too_many_failed(self, max_failure_ratio: float) -> bool:
        """Say whether more failed than may, of those whose outcome is known."""
        return self.known > 0 and len(self.failed) > max_failure_ratio * self.known

    def hopeless(self, max_failure_ratio: float) -> bool:
        """Say whether too many failed already, whatever becomes of the others."""
        return len(self.failed) > max_failure_ratio * max(self.replayed, self.known)
