"""The state of the rollout, as the control topic holds it.

Invariants: a state is whole in one record. It has the next epoch after the state that its writer knew, and a reader
goes on to higher epochs only. So of states that are written at once the first in the log counts, for every reader. Keys
hold the epoch and the writer: no record replaces another writer's, so compaction takes away nothing that counts.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.domain.errors import RolloutError
from worker.domain.model_set import ModelSetName
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.routing import ALL

ROLLOUT_SCHEMA: Final = "labelwire.rollout/1"
DEFAULT_STEPS: Final = (100, 500, 2_500, ALL)
"""1, 5, 25 and 100 percent, in hundredths of a percent."""

Rate = Annotated[float, Field(gt=0, lt=1)]


class Mode(StrEnum):
    """What the candidate does: read a share of the jobs, or read them beside the models in use."""

    CANARY = "canary"
    SHADOW = "shadow"


class Phase(StrEnum):
    """Where a rollout stands. All but `running` are its end."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    PASSED = "passed"
    """A shadow has seen enough and found nothing; nothing was changed."""


class RolloutLimits(BaseModel):
    """What a candidate may do worse than the models in use before it is rolled back; rates are parts of 1.

    `max_error_rate`: jobs that fail with the candidate alone. `max_blank_rate`: pages with text for the models in use
    alone. `max_text_disagreement` and `max_field_disagreement`: mean parts of characters and fields that differ.
    `max_p99_ratio`: 99th percentile of the time of a reading, against the models in use, and the median as well.
    `min_jobs` are judged in each step before the next one begins, and `min_pairs` compared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_error_rate: Rate = 0.005
    max_blank_rate: Rate = 0.01
    max_text_disagreement: Rate = 0.1
    max_field_disagreement: Rate = 0.2
    max_p99_ratio: Annotated[float, Field(gt=1, le=100)] = 1.2
    min_jobs: Annotated[int, Field(ge=10, le=1_000_000)] = 100
    min_pairs: Annotated[int, Field(ge=10, le=1_000_000)] = 50


class Rollout(BaseModel):
    """A candidate on its way to take over from the models in use.

    `steps` are shares of the jobs in hundredths of a percent, ascending; `step` is the number of the present one.
    `reason` is a sentence for a phase that ended it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    mode: Mode
    candidate: ModelSetName
    replaced: ModelSetName
    steps: Annotated[tuple[Annotated[int, Field(gt=0, le=ALL)], ...], Field(min_length=1, max_length=20)] = (
        DEFAULT_STEPS
    )
    step: Annotated[int, Field(ge=0)] = 0
    phase: Phase = Phase.RUNNING
    limits: RolloutLimits = RolloutLimits()
    reason: Annotated[str, Field(max_length=1000)] = ""
    started_at_ms: Annotated[int, Field(ge=0)]
    changed_at_ms: Annotated[int, Field(ge=0)]

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError("each step must be larger than the one before")
        return steps

    @property
    def is_running(self) -> bool:
        """Whether the candidate reads jobs."""
        return self.phase is Phase.RUNNING

    @property
    def share(self) -> int:
        """The share of the jobs that the candidate reads now, in hundredths of a percent."""
        return self.steps[min(self.step, len(self.steps) - 1)] if self.is_running else 0


class ControlState(BaseModel):
    """Which models are in use, and the last rollout. `epoch` counts the states, from 0 where none was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["labelwire.rollout/1"] = Field(default=ROLLOUT_SCHEMA, alias="schema")
    epoch: Annotated[int, Field(ge=0)] = 0
    in_use: ModelSetName | None = None
    """None: no rollout has decided, so each worker's setting counts."""
    rollout: Rollout | None = None

    @property
    def running(self) -> Rollout | None:
        """The rollout that runs, if one does."""
        return self.rollout if self.rollout is not None and self.rollout.is_running else None

    def follow(self, other: "ControlState") -> "ControlState":
        """Return the state after reading another one from the log."""
        return other if other.epoch > self.epoch else self

    # What may follow. Each returns the next state.

    def started(self, rollout: Rollout) -> "ControlState":
        """Return the state in which a rollout has begun. Raises RolloutError while another one runs."""
        if (running := self.running) is not None:
            raise RolloutError(
                f"A rollout of {running.candidate!r} runs already, at step {running.step + 1} of "
                f"{len(running.steps)}: wait for its end, or end it with `labelwire canary abort` or `promote`."
            )
        return self._next(self.in_use, rollout)

    def advanced(self, now_ms: int) -> "ControlState":
        """Return the state after a step was passed: the next step, or the end of the rollout."""
        rollout = self._must_run()
        if rollout.step + 1 < len(rollout.steps):
            return self._next(
                self.in_use, rollout.model_copy(update={"step": rollout.step + 1, "changed_at_ms": now_ms})
            )
        if rollout.mode is Mode.SHADOW:
            return self._ended(Phase.PASSED, "", now_ms)
        return self.promoted(now_ms)

    def promoted(self, now_ms: int, reason: str = "") -> "ControlState":
        """Return the state in which the candidate is in use."""
        rollout = self._must_run()
        return self._ended(Phase.PROMOTED, reason, now_ms, in_use=rollout.candidate)

    def rolled_back(self, reason: str, now_ms: int) -> "ControlState":
        """Return the state in which the candidate was found worse."""
        self._must_run()
        return self._ended(Phase.ROLLED_BACK, reason, now_ms)

    def aborted(self, reason: str, now_ms: int) -> "ControlState":
        """Return the state in which somebody ended the rollout."""
        self._must_run()
        return self._ended(Phase.ABORTED, reason, now_ms)

    def _must_run(self) -> Rollout:
        if (running := self.running) is None:
            raise RolloutError(
                "No rollout runs; see `labelwire canary status`, or begin one with `labelwire canary start`."
            )
        return running

    def _ended(self, phase: Phase, reason: str, now_ms: int, in_use: str | None = None) -> "ControlState":
        change = {"phase": phase, "reason": reason[:1000], "changed_at_ms": now_ms}
        return self._next(self.in_use if in_use is None else in_use, self._must_run().model_copy(update=change))

    def _next(self, in_use: str | None, rollout: Rollout) -> "ControlState":
        return ControlState(epoch=self.epoch + 1, in_use=in_use, rollout=rollout)


class WorkerEvidence(BaseModel):
    """What one worker saw in one step, up to now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["labelwire.rollout/1"] = Field(default=ROLLOUT_SCHEMA, alias="schema")
    rollout: str
    step: Annotated[int, Field(ge=0)]
    evidence: Evidence

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.evidence.errors > self.evidence.jobs or self.evidence.blanks > self.evidence.pairs:
            raise ValueError("more jobs or pairs are bad than there are")
        return self


def state_key(state: ControlState, writer: str) -> str:
    """Return the key of a state's record."""
    return f"state/{state.epoch}/{writer}"


def evidence_key(evidence: WorkerEvidence, writer: str) -> str:
    """Return the key of evidence's record: a worker's later record replaces its earlier one."""
    return f"evidence/{evidence.rollout}/{evidence.step}/{writer}"


def to_json(record: ControlState | WorkerEvidence) -> bytes:
    """Return a record's value."""
    return record.model_dump_json(by_alias=True, exclude_defaults=False).encode()


def from_record(key: str, value: bytes) -> ControlState | WorkerEvidence:
    """Return what a record holds. Raises RolloutError where it is none of a rollout's."""
    try:
        match key.partition("/")[0]:
            case "state":
                return ControlState.model_validate_json(value)
            case "evidence":
                return WorkerEvidence.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise RolloutError(f"The record {key[:80]!r} is none of {ROLLOUT_SCHEMA} ({place}: {first['msg']}).") from error
    raise RolloutError(f"The record {key[:80]!r} is none of {ROLLOUT_SCHEMA}: its key names no kind.")
