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
from worker.reporting.formats import moment, printable, quantity


def format_plan(prepared: PreparedReplay) -> Iterator[Text]:
    """Yield lines: the letters that match, and what the replay would do with them."""
    plan, census = prepared.plan, prepared.census
    if prepared.earlier is not None:
        run = prepared.earlier
        yield Text(
            f"Resuming the replay {plan.run_id} that began {moment(run.started_at_ms)} ({run.state}):", style="bold"
        )
    if census is not None:
        yield from format_statistics(census.statistics, plan.topic)
        yield Text()
        for run_id, count in sorted(census.taken.items()):
            yield Text(
                f"Skipping {quantity(count, 'letter')} that the earlier replay {run_id} took; --again replays them too."
            )
    yield Text(_intent(plan))
    if census is not None and census.parked:
        often = f"replayed {quantity(plan.max_replays, 'time')} or more already"
        yield Text(f"To park on {plan.parked_topic}, because they were {often}: {quantity(census.parked, 'letter')}.")
    if census is not None and census.references:
        yield Text(
            f"Payloads to fetch from their source, because they were too large for the letter: {census.references}."
        )
    if plan.canary_keys:
        keys = quantity(len(plan.canary_keys), "canary key")
        succeed = "it succeeds" if len(plan.canary_keys) == 1 else "they succeed"
        yield Text(f"Replaying {keys} first; the rest follows if {succeed}.")


def _intent(plan: ReplayPlan) -> str:
    target = plan.target or "the topics that they came from"
    ends = sum(end - plan.claim.starts[partition] for partition, end in plan.claim.ends.items())
    return (
        f"Replay {plan.run_id}: {quantity(plan.letters, 'letter')} from {printable(plan.topic)} ({ends} offsets, as of "
        f"{moment(plan.claim.planned_at_ms)}) to {printable(target)}."
    )


def format_canaries(outcomes: CanaryOutcomes) -> str:
    """Return how many canaries have an outcome."""
    done, failed = len(outcomes.succeeded), len(outcomes.failed)
    return f"Of {outcomes.replayed} canaries {done} succeeded and {failed} failed again."


def format_result(result: ReplayResult) -> Iterator[str]:
    """Yield lines: what the replay did."""
    counts = result.counts
    summary = f"{counts.total(LetterOutcome.REPLAYED)} replayed, {counts.total(LetterOutcome.PARKED)} parked"
    yield f"Replay {result.plan.run_id} {result.state}: {summary}, of {quantity(result.plan.letters, 'letter')}."
    if result.seconds:
        rate = result.written / result.seconds
        yield f"{quantity(result.written, 'letter')} in {result.seconds:.1f} s, {rate:.1f} letters/s."


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
