"""A replay's plan and its outcome, for a terminal and for scripts.

Invariant: nothing foreign reaches the terminal unwritten-out.
"""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from worker.dlq.inspect.statistics import statistics_document
from worker.dlq.inspect.statistics_text import format_statistics
from worker.dlq.replay.canary import CanaryOutcomes
from worker.dlq.replay.plan import LetterOutcome, ReplayPlan
from worker.dlq.replay.planner import PreparedReplay
from worker.dlq.replay.result import ReplayResult
from worker.reporting.formats import moment, printable


def format_plan(prepared: PreparedReplay) -> Iterator[Text]:
    """Yield lines: what is there, and what would be done with it."""
    plan, found = prepared.plan, prepared.found
    if prepared.earlier is not None:
        run = prepared.earlier
        yield Text(
            f"Going on with the replay {plan.run_id} of {moment(run.started_at_ms)} ({run.state}):", style="bold"
        )
    if found is not None:
        yield from format_statistics(found.statistics, plan.topic)
        yield Text()
        for run_id, count in sorted(found.taken.items()):
            yield Text(f"{count} more letters match, and belong to the earlier replay {run_id}: they are left to it.")
    yield Text(_intent(plan))
    if found is not None and found.parked:
        often = f"were replayed {plan.max_replays} times or more"
        yield Text(f"{found.parked} of them {often} and go to {plan.parked_topic} instead.")
    if found is not None and found.references:
        yield Text(f"{found.references} of them are too large for the topic and are fetched back from their source.")
    if plan.canary_keys:
        yield Text(f"{len(plan.canary_keys)} keys go first, as canaries; the rest follows if they fare well.")


def _intent(plan: ReplayPlan) -> str:
    target = plan.target or "the topics of their origins"
    ends = sum(end - plan.claim.starts[partition] for partition, end in plan.claim.ends.items())
    return (
        f"Replay {plan.run_id}: {plan.letters} letters of {ends} offsets on {printable(plan.topic)}, as of "
        f"{moment(plan.claim.planned_at_ms)}, to {printable(target)}."
    )


def format_canaries(outcomes: CanaryOutcomes) -> str:
    """Return how the canaries fare."""
    done, failed = len(outcomes.succeeded), len(outcomes.failed)
    return f"{outcomes.replayed} canaries: {done} have a result, {failed} failed again."


def format_result(outcome: ReplayResult) -> Iterator[str]:
    """Yield lines: what was done."""
    tally = outcome.tally
    counts = f"{tally.total(LetterOutcome.REPLAYED)} replayed, {tally.total(LetterOutcome.PARKED)} parked"
    yield f"Replay {outcome.plan.run_id} {outcome.state}: {counts}, of {outcome.plan.letters} letters."
    if outcome.seconds:
        rate = outcome.written / outcome.seconds
        yield f"{outcome.written} letters in {outcome.seconds:.1f} s, {rate:.1f} letters/s."


def plan_document(prepared: PreparedReplay) -> dict[str, Any]:
    """Return the plan for scripts; times are epoch milliseconds."""
    plan, found = prepared.plan, prepared.found
    shown: dict[str, Any] = {
        "run_id": plan.run_id,
        "topic": plan.topic,
        "target": plan.target,
        "planned_at_ms": plan.claim.planned_at_ms,
        "starts": dict(plan.claim.starts),
        "ends": dict(plan.claim.ends),
        "letters": plan.letters,
        "counts": dict(plan.counts),
        "canary_keys": len(plan.canary_keys),
        "max_replays": plan.max_replays,
        "resumed": prepared.earlier is not None,
    }
    if found is not None:
        shown |= {"to_park": found.parked, "references": found.references, "left_to_earlier_runs": dict(found.taken)}
        shown["statistics"] = statistics_document(found.statistics, plan.topic)
    return shown


def result_document(outcome: ReplayResult) -> dict[str, Any]:
    """Return the outcome for scripts."""
    canaries = outcome.canaries
    return {
        "state": outcome.state.value,
        "counts": outcome.tally.figures(),
        "written": outcome.written,
        "seconds": round(outcome.seconds, 3),
        "letters_per_second": round(outcome.written / outcome.seconds, 2) if outcome.seconds else None,
        "gone": outcome.gone,
        "canaries": canaries
        and {"replayed": canaries.replayed, "succeeded": len(canaries.succeeded), "failed": len(canaries.failed)},
        "problem": outcome.problem(),
        "notices": outcome.notices,
    }
