"""A rollout's state and evidence, for people and for scripts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.model_set import set_title
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.judgment import FALSE_ALARM, Criterion, CriterionFinding, judge
from worker.domain.rollout.routing import ALL
from worker.domain.rollout.sequential import threshold
from worker.domain.rollout.state import ControlState, Mode, Rollout

_WHAT = {
    Criterion.ERRORS: "jobs that fail with the candidate alone",
    Criterion.BLANKS: "pages that are blank for the candidate alone",
    Criterion.CODES: "barcode texts that the candidate lost, of those that only one read",
    Criterion.TEXT: "mean part of the characters that differ",
    Criterion.FIELDS: "mean part of the fields that differ",
    Criterion.P50: "median of the time of a reading, ratio to the models in use",
    Criterion.P99: "p99 of the time of a reading, ratio to the models in use",
}


def status_document(state: ControlState, in_use: str, evidence: Mapping[int, Evidence]) -> dict[str, Any]:
    """Return what is known as JSON values."""
    document: dict[str, Any] = {"in_use": in_use, "epoch": state.epoch, "rollout": None}
    rollout = state.rollout
    if rollout is None:
        return document
    judgment = judge(rollout, evidence)
    document["rollout"] = rollout.model_dump(mode="json") | {"share": rollout.share / ALL}
    document["decision"] = judgment.decision.value if rollout.is_running else None
    document["waits_for"] = judgment.reason if rollout.is_running else ""
    document["findings"] = [
        {
            "criterion": finding.criterion.value,
            "observations": finding.observations,
            "seen": finding.seen,
            "limit": finding.limit,
            "log_wealth": round(finding.log_wealth, 3),
            "log_wealth_limit": round(threshold(FALSE_ALARM), 3),
        }
        for finding in judgment.findings
    ]
    document["steps"] = {str(step): seen.model_dump(mode="json") for step, seen in sorted(evidence.items())}
    return document


def status_view(state: ControlState, in_use: str, evidence: Mapping[int, Evidence]) -> RenderableType:
    """Return what a terminal shows."""
    rollout = state.rollout
    if rollout is None:
        return Text(f"The model set {set_title(in_use)!r} is in use; there was no rollout yet.")
    judgment = judge(rollout, evidence)
    table = Table("what is compared", "seen", "limit", "samples", "evidence against", title=_title(rollout))
    for finding in judgment.findings:
        table.add_row(*_row(finding))
    here = evidence.get(rollout.step, Evidence())
    lines = [
        f"The model set {set_title(in_use)!r} is in use.",
        f"In this step {here.jobs} jobs were judged, {here.pairs} compared, and {here.dropped} comparisons left out.",
        f"{here.undecided} jobs failed while the server did." if here.undecided else "",
        judgment.reason if rollout.is_running else rollout.reason,
    ]
    return Group(table, Text("\n".join(line for line in lines if line)))


def _title(rollout: Rollout) -> str:
    began = datetime.fromtimestamp(rollout.started_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    what = "shadow" if rollout.mode is Mode.SHADOW else "canary"
    where = f"step {rollout.step + 1} of {len(rollout.steps)}, {rollout.steps[rollout.step] / 100:g} % of the jobs"
    return f"{what} {set_title(rollout.candidate)!r}: {rollout.phase.value.replace('_', ' ')}, {where}, since {began}"


def _row(finding: CriterionFinding) -> tuple[str, ...]:
    seen = "" if finding.seen is None else f"{finding.seen:.3g}"
    share = max(0.0, finding.log_wealth) / threshold(FALSE_ALARM)
    bar = "█" * min(10, round(10 * share))
    return _WHAT[finding.criterion], seen, f"{finding.limit:g}", str(finding.observations), f"{bar} {share:.0%}"
