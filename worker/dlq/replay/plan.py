"""The plan of a replay, fixed before it begins.

Invariants: whether a letter is replayed, parked or passed over, and in which phase, follows from plan and letter
alone, so a plan that is resumed takes the same letters. The target is never the dead-letter topic.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter

from worker.dlq.letter import DeadLetter
from worker.dlq.replay.canary import key_hash
from worker.dlq.selection import Selection
from worker.domain.errors import LabelwireError
from worker.domain.start_position import is_same_topic

_RUN_ID_DIGITS = 12


class ReplayError(LabelwireError):
    """A replay is refused, or did not reach its end."""


class LettersGoneError(ReplayError):
    """The dead-letter topic that a replay was planned for was deleted, and its letters with it."""

    def __init__(self, run_id: str, topic: str) -> None:
        super().__init__(
            f"The dead-letter topic {topic} was deleted and created again after the replay {run_id} was planned: its "
            "letters are gone. To replay the letters that are there now, leave out --resume and this --run-id."
        )


class ReplayPhase(StrEnum):
    """The canaries go first, then the rest."""

    CANARY = "canary"
    REST = "rest"


class LetterOutcome(StrEnum):
    """What a replay does with a letter that it takes."""

    REPLAYED = "replayed"
    PARKED = "parked"
    UNAVAILABLE = "unavailable"  # its payload is gone, so it stays where it is


@dataclass(frozen=True, slots=True)
class RunClaim:
    """The letters that one run takes; offsets are by partition.

    `only_keys` are the hashes of the canaries' keys where the run was given up after them, and None else. `topic_id`
    tells which dead-letter topic of its name the offsets belong to; it is empty where the broker tells no ids.
    """

    run_id: str
    selection: Selection
    planned_at_ms: int
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    only_keys: frozenset[str] | None = None
    topic_id: str = ""

    def is_on(self, topic_id: str) -> bool:
        """Say whether its letters stand on the topic of this id, and not on a former one of the same name."""
        return is_same_topic(self.topic_id, topic_id)

    def covers(self, letter: DeadLetter) -> bool:
        """Say whether the run takes the letter, unless a run before it did."""
        _, partition, offset = letter.record.coordinate
        return (
            self.starts.get(partition, 0) <= offset < self.ends.get(partition, 0)
            and self.selection.matches(letter, self.planned_at_ms)
            and (self.only_keys is None or key_hash(self.run_id, letter) in self.only_keys)
        )


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """One replay.

    `target` is None where each letter goes back to the topic of its origin. `earlier` are runs whose letters are left
    to them. `canary_keys` are hashes, none where there is no canary; `results_ends` is where the results' topic, which
    had the id `results_topic_id`, ended when the plan was made, by partition. `counts` says how many letters of each
    code are to be taken.
    """

    claim: RunClaim
    cluster_id: str
    topic: str
    target: str | None
    parked_topic: str
    max_replays: int
    earlier: tuple[RunClaim, ...]
    canary_keys: frozenset[str]
    results_ends: Mapping[int, int]
    counts: Mapping[str, int]
    results_topic_id: str = ""

    @property
    def run_id(self) -> str:
        """The replay's name."""
        return self.claim.run_id

    @property
    def letters(self) -> int:
        """How many letters it takes."""
        return sum(self.counts.values())

    @property
    def phases(self) -> tuple[ReplayPhase, ...]:
        """Its phases, in their order."""
        return (ReplayPhase.CANARY, ReplayPhase.REST) if self.canary_keys else (ReplayPhase.REST,)

    def takes(self, letter: DeadLetter) -> bool:
        """Say whether the replay takes the letter."""
        return self.claim.covers(letter) and not any(claim.covers(letter) for claim in self.earlier)

    def phase(self, letter: DeadLetter) -> ReplayPhase:
        """Return the phase in which a letter is taken."""
        is_canary = bool(self.canary_keys) and key_hash(self.run_id, letter) in self.canary_keys
        return ReplayPhase.CANARY if is_canary else ReplayPhase.REST

    def is_parked(self, letter: DeadLetter) -> bool:
        """Say whether the letter was replayed too often already."""
        return letter.derived.replay_count >= self.max_replays

    def target_of(self, letter: DeadLetter) -> str:
        """Return the topic that a letter goes to."""
        if self.is_parked(letter):
            return self.parked_topic
        return self.target or letter.derived.origin.topic


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What a replay is asked for; see `ReplayPlan`. Without a `run_id` one is made from the plan's content."""

    selection: Selection
    target: str | None
    max_replays: int
    run_id: str | None = None
    canary: bool = True
    again: bool = False  # letters that earlier runs took are replayed once more

    def identity(
        self,
        cluster_id: str,
        topic: str,
        topic_id: str,
        ends: Mapping[int, int],
        finished: Collection[str],
        now_ms: int,
    ) -> str:
        """Return the run's id: the same for the same request as long as no letter comes and no run ends.

        A replay that is asked for `again` is another one each time.
        """
        content = [
            *(cluster_id, topic, topic_id, self.target, self.max_replays, self.canary),
            *(_sorted(_SELECTION.dump_python(self.selection, mode="json")), sorted(ends.items()), sorted(finished)),
            *([now_ms] if self.again else []),
        ]
        return self.run_id or hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_RUN_ID_DIGITS]

    def is_of(self, plan: ReplayPlan) -> bool:
        """Say whether a plan is one for this request."""
        same = (plan.claim.selection, plan.target, plan.max_replays)
        return (self.selection, self.target, self.max_replays) == same


_SELECTION = TypeAdapter(Selection)


def _sorted(fields: dict[str, object]) -> list[tuple[str, object]]:
    return sorted((name, sorted(value) if isinstance(value, list) else value) for name, value in fields.items())
