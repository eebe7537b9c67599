"""The chaos report: `chaos.json` for scripts, `chaos.html` for people."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from worker.lab.chaos.faults import Restart
from worker.lab.chaos.run import ChaosRun
from worker.reporting import formats
from worker.reporting.render import render, write
from worker.reporting.timeline import timeline

_TRITON = "triton"
_UNASKED = "by itself"
_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class _RestartRow:
    """A server's way back. `recovery_seconds` runs from its being ready to the next result; None if none came."""

    server: str
    at_seconds: float
    start_seconds: float
    recovery_seconds: float | None


@dataclass(frozen=True, slots=True)
class _FaultRow:
    kind: str
    at_seconds: float
    seconds: float
    words: str


@dataclass(frozen=True, slots=True)
class _ExitRow:
    why: str
    status: int
    times: int


def figures(run: ChaosRun) -> dict[str, Any]:
    """Return the content of `chaos.json`; `recovery_seconds` is the longest after a kill of Triton, else None."""
    plan, verdict = run.plan, run.verdict
    restarts = _restarts(run)
    starts = [row.start_seconds for row in restarts if row.server == _TRITON]
    recoveries = [
        row.recovery_seconds for row in restarts if row.server == _TRITON and row.recovery_seconds is not None
    ]
    return {
        "passed": not run.shortcomings,
        "seed": plan.seed,
        "duration_seconds": plan.duration_seconds,
        "delivery": plan.delivery,
        "workers": plan.workers,
        "command": plan.command,
        "jobs_per_second": run.jobs_per_second,
        "jobs": verdict.jobs,
        "completed": verdict.completed,
        "dead_letters": verdict.dead_lettered,
        "faults": run.fault_counts,
        "faults_injected": sum(run.fault_counts.values()),
        "faults_scheduled": len(plan.schedule),
        "lost": verdict.lost,
        "duplicates": verdict.duplicates,
        "duplicates_after_dedup": verdict.duplicates_after_dedup,
        "wrong": verdict.wrong,
        "recovery_seconds": max(recoveries, default=None),
        "recovery_seconds_median": median(recoveries) if recoveries else None,
        "triton_start_seconds": max(starts, default=None),
        "drain_seconds": round((run.drained_at_ms - run.ended_at_ms) / _MILLISECONDS, 3),
        "restarts": [_plain(row) for row in restarts],
        "fault_timeline": [_plain(row) for row in _faults(run)],
        "worker_exits": [_plain(row) for row in _exits(run)],
        "problems": [*run.shortcomings, *verdict.problems],
        "audit": run.audited.to_dict(),
        "configuration": dict(run.description),
    }


def write_report(run: ChaosRun, folder: Path) -> Path:
    """Write `chaos.json` and `chaos.html`, and return the page."""
    write(folder / "chaos.json", json.dumps(figures(run), indent=2) + "\n")
    return write(folder / "chaos.html", page(run))


def page(run: ChaosRun) -> str:
    """Return the page."""
    measured = figures(run)
    return render(
        "chaos",
        kind="chaos",
        title=_headline(run, measured),
        lead=f"{run.plan.workers} workers under load for {run.plan.duration_seconds:.0f} seconds, while workers, "
        f"Triton, the broker and the network failed by a schedule; then every job was accounted for. "
        f"Seed {run.plan.seed}, delivery {run.plan.delivery}.",
        measured=measured,
        problems=measured["problems"],
        timeline=_timeline(run),
        facts=_facts(run, measured),
        restarts=_restarts(run),
        faults=_faults(run),
        exits=_exits(run),
        audit=json.dumps(measured["audit"], indent=2),
    )


def _headline(run: ChaosRun, measured: Mapping[str, Any]) -> str:
    if run.shortcomings:
        return f"Not passed: {'; '.join(run.shortcomings)}"
    return f"{measured['faults_injected']} faults, {measured['jobs']} jobs, nothing lost"


def _timeline(run: ChaosRun) -> Any:  # noqa: ANN401 - markup
    rows: dict[str, list[tuple[float, float]]] = {}
    for fault in sorted(_faults(run), key=lambda row: row.kind):
        rows.setdefault(fault.kind, []).append((fault.at_seconds, fault.at_seconds + fault.seconds))
    seconds = _since(run, run.drained_at_ms)
    answered = [at for answer in run.answers if 0 <= (at := _since(run, answer.at_ms)) <= seconds]
    marks = {"load ends": _since(run, run.ended_at_ms)}
    return timeline(answered, seconds, rows, label="answers a second", marks=marks)


def _restarts(run: ChaosRun) -> list[_RestartRow]:
    return [
        _RestartRow(
            restart.server,
            _since(run, restart.killed_at_ms),
            (restart.ready_at_ms - restart.killed_at_ms) / _MILLISECONDS,
            _recovery_seconds(run, restart),
        )
        for restart in run.restarts
    ]


def _recovery_seconds(run: ChaosRun, restart: Restart) -> float | None:
    results = [answer.at_ms for answer in run.answers if answer.code is None and answer.at_ms >= restart.ready_at_ms]
    return (min(results) - restart.ready_at_ms) / _MILLISECONDS if results else None


def _faults(run: ChaosRun) -> list[_FaultRow]:
    return [
        _FaultRow(
            fault.kind.value,
            _since(run, fault.began_at_ms),
            (fault.ended_at_ms - fault.began_at_ms) / _MILLISECONDS,
            fault.words or f"could not be done: {fault.failure}",
        )
        for fault in run.faults
    ]


def _exits(run: ChaosRun) -> list[_ExitRow]:
    counts = Counter((worker.asked or _UNASKED, worker.status) for worker in run.exits)
    return [_ExitRow(why, status, times) for (why, status), times in sorted(counts.items())]


def _facts(run: ChaosRun, measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        *((name.capitalize(), words) for name, words in run.description.items()),
        ("Load", f"{run.jobs_per_second:g} jobs a second, 2 % of them undecodable"),
        ("Completed", str(measured["completed"])),
        ("Dead letters", str(measured["dead_letters"])),
        ("The rest took", formats.duration(measured["drain_seconds"] * _MILLISECONDS)),
        ("Again", run.plan.command),
    ]


def _since(run: ChaosRun, at_ms: int) -> float:
    return (at_ms - run.began_at_ms) / _MILLISECONDS


def _plain(row: _RestartRow | _FaultRow | _ExitRow) -> dict[str, Any]:
    return {name: _rounded(getattr(row, name)) for name in row.__slots__}


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def sentences(run: ChaosRun) -> Iterator[str]:
    """Say the outcome in a few lines."""
    measured = figures(run)
    recovery = measured["recovery_seconds"]
    yield (
        f"{measured['jobs']} jobs, {measured['faults_injected']} faults of {len(run.fault_counts)} kinds: "
        f"lost {measured['lost']}, wrong {measured['wrong']}, duplicates {measured['duplicates']}, "
        f"after dedup {measured['duplicates_after_dedup']}"
    )
    if recovery is not None:
        yield (
            f"Longest time from Triton's being ready again to the next result: {recovery:.1f} s; "
            f"its own start took up to {measured['triton_start_seconds']:.1f} s"
        )
    yield from _shown(measured["problems"])


def _shown(problems: Sequence[str]) -> Iterator[str]:
    for problem in problems:
        yield f"- {problem}"
