"""How a replay is carried out, who is told, and how it ended.

Invariant: whatever keeps a replay from being a full success is said in sentences, with the command that goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.dlq.replay.canary import CanaryLimits, CanaryOutcomes
from worker.dlq.replay.counts import ReplayCounts
from worker.dlq.replay.plan import LetterOutcome, ReplayPlan
from worker.dlq.replay.runs import RunState


@dataclass(frozen=True, slots=True)
class ReplayParameters:
    """How a plan is carried out, this time. `rate` is in letters a second; `canary` None widens without a look."""

    rate: float | None
    canary: CanaryLimits | None
    by: str


@dataclass(frozen=True, slots=True)
class ReplayListener:
    """Who is told how far a replay is: letters done, and canaries with their outcomes."""

    began: Callable[[ReplayPlan, int], None]
    advanced: Callable[[int], None]
    watched: Callable[[CanaryOutcomes], None]


@dataclass(slots=True)
class ReplayResult:
    """How a replay ended. `seconds` is the time in which letters were written, by this process.

    `gone` counts letters of the plan that retention took from the dead-letter topic before their turn came.
    """

    plan: ReplayPlan
    state: RunState
    counts: ReplayCounts
    reason: str = ""
    written: int = 0
    seconds: float = 0.0
    gone: int = 0
    canaries: CanaryOutcomes | None = None
    notices: list[str] = field(default_factory=list)

    def problem(self) -> str | None:
        """Return what keeps this from being a full success, as sentences."""
        run_id, unavailable = self.plan.run_id, self.counts.total(LetterOutcome.UNAVAILABLE)
        problems = []
        if self.state is not RunState.FINISHED:
            problems.append(self.reason)
        if unavailable:
            problems.append(
                f"{unavailable} dead letters of the replay {run_id} could not be replayed, because their payload is "
                "gone; they stay on the dead-letter topic."
            )
        if self.gone:
            problems.append(
                f"{self.gone} dead letters of the replay {run_id} were taken by retention before their turn came."
            )
        return " ".join(problems) or None


def resume_command(run_id: str) -> str:
    """Return the command that goes on with a run."""
    return f"labelwire dlq replay --resume {run_id}"


def format_aborted(run_id: str, outcomes: CanaryOutcomes, limits: CanaryLimits) -> str:
    """Say that too many canaries failed again."""
    return (
        f"{len(outcomes.failed)} of {outcomes.known} canaries failed again, more than the allowed part of "
        f"{limits.max_failure_ratio:g}, so the other letters were left; see `labelwire dlq ls --header "
        f"labelwire.replay.run-id={run_id}`. A new replay takes them with canaries of its own; to replay them all the "
        f"same: {resume_command(run_id)} --no-canary"
    )


def format_unheard(plan: ReplayPlan, outcomes: CanaryOutcomes, limits: CanaryLimits) -> str:
    """Say that no canary has an outcome."""
    target = plan.target or "the topics of their origins"
    return (
        f"None of the {outcomes.replayed} canaries has a result or a dead letter after {limits.wait_seconds:g} s; look "
        f"whether workers consume {target}, then go on (--canary-wait waits longer, --no-canary does not look): "
        f"{resume_command(plan.run_id)}"
    )
