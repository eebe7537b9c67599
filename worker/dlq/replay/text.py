"""A replay's plan and its result, for a terminal and for scripts.

Invariant: control characters in foreign text are escaped.
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
    plan, census = prepared.plan, prepared.census
    if prepared.earlier is not None:
        run = prepared.earlier
        yield Text(
            f"Going on with the replay {plan.run_id} of {moment(run.started_at_ms)} ({run.state}):", style="bold"
        )
    if census is not None:
        yield from format_statistics(census.statistics, plan.topic)
        yield Text()
        for run_id, count in sorted(census.taken.items()):
            yield Text(f"{count} more letters match, and belong to the earlier replay {run_id}: they are left to it.")
    yield Text(_intent(plan))
    if census is not None and census.parked:
        often = f"were replayed {plan.max_replays} times or more"
        yield Text(f"{census.parked} of them {often} and go to {plan.parked_topic} instead.")
    if census is not None and census.references:
        yield Text(f"{census.references} of them are too large for the topic and are fetched back from their source.")
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


def format_result(result: ReplayResult) -> Iterator[str]:
    """Yield lines: what was done."""
    counts = result.counts
    summary = f"{counts.total(LetterOutcome.REPLAYED)} replayed, {counts.total(LetterOutcome.PARKED)} parked"
    yield f"Replay {result.plan.run_id} {result.state}: {summary}, of {result.plan.letters} letters."
    if result.seconds:
        rate = result.written / result.seconds
        yield f"{result.written} letters in {result.seconds:.1f} s, {rate:.1f} letters/s."


def plan_document(prepared: PreparedReplay) -> dict[str, Any]:
    """Return the plan for scripts; times are epoch milliseconds."""
    plan, census = prepared.plan, prepared.census
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
    if census is not None:
        shown |= {"to_park": census.parked, "references": census.references, "left_to_earlier_runs": dict(census.taken)}
        shown["statistics"] = statistics_document(census.statistics, plan.topic)
    return shown


def result_document(result: ReplayResult) -> dict[str, Any]:
    """Return the result for scripts."""
    canaries = result.canaries
    return {
        "state": result.state.value,
        "counts": result.counts.document(),
        "written": result.written,
        "seconds": round(result.seconds, 3),
        "letters_per_second": round(result.written / result.seconds, 2) if result.seconds else None,
        "gone": result.gone,
        "canaries": canaries
        and {"replayed": canaries.replayed, "succeeded": len(canaries.succeeded), "failed": len(canaries.failed)},
        "problem": result.problem(),
        "notices": result.notices,
    }
