"""The parameters of a replay, its listener, and its result.

Invariant: a replay that is not a full success says why in sentences, with the command that resumes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.dlq.replay.canary import CanaryLimits, CanaryOutcomes
from worker.dlq.replay.counts import ReplayCounts
from worker.dlq.replay.plan import LetterOutcome, ReplayPlan
from worker.dlq.replay.runs import RunState
from worker.reporting.formats import quantity


@dataclass(frozen=True, slots=True)
class ReplayParameters:
    """How a plan is carried out this time. `rate` is in letters a second; without `canary` no outcome is waited for."""

    rate: float | None
    canary: CanaryLimits | None
    by: str


@dataclass(frozen=True, slots=True)
class ReplayListener:
    """Callbacks on how far a replay is: letters done, and canaries with their outcomes."""

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
                f"Because the payload is gone, the replay {run_id} left {quantity(unavailable, 'dead letter')} on the "
                "dead-letter topic."
            )
        if self.gone:
            problems.append(f"Retention removed {quantity(self.gone, 'dead letter')} ahead of the replay {run_id}.")
        return " ".join(problems) or None


def resume_command(run_id: str) -> str:
    """Return the command that resumes a run."""
    return f"labelwire dlq replay --resume {run_id}"


def format_aborted(run_id: str, outcomes: CanaryOutcomes, limits: CanaryLimits) -> str:
    """Return the sentence that too many canaries failed again."""
    return (
        f"{len(outcomes.failed)} of {outcomes.known} canaries failed again, more than --max-failure-ratio "
        f"{limits.max_failure_ratio:g} allows, so the other letters were not replayed. `labelwire dlq ls --header "
        f"labelwire.replay.run-id={run_id}` lists the failures. A new replay takes the other letters, with new "
        f"canaries; to replay them now all the same: {resume_command(run_id)} --no-canary"
    )


def format_unheard(plan: ReplayPlan, outcomes: CanaryOutcomes, limits: CanaryLimits) -> str:
    """Return the sentence that no canary has an outcome."""
    target = plan.target or "the topics that the jobs came from"
    return (
        f"None of the {outcomes.replayed} canaries has a result or a dead letter after {limits.wait_seconds:g} s. "
        f"Check that workers consume {target}, then resume (--canary-wait waits longer, --no-canary does not wait): "
        f"{resume_command(plan.run_id)}"
    )
