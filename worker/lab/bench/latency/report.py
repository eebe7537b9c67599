"""The report on latency: `latency.json`, and a page."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import Stage
from worker.lab.bench.facts import facts
from worker.lab.bench.latency.loads import AloneJob, BacklogLoad, OpenLoopLoad
from worker.lab.bench.latency.model_times import PictureModelTimes
from worker.lab.bench.open_loop import percentile
from worker.reporting import formats, plots
from worker.reporting.render import render, write

DEFINITIONS: Final = {
    "queue_to_result": "From the broker's time of the job's record to the broker's time of its result's record.",
    "models_ms": "What Triton itself computed for a picture, copies included: its requests, recorded, sent one after"
    " another by themselves to the same server, idle otherwise. No queue and no gRPC is in it.",
    "requests_ms": "What a client waited for these same requests.",
    "over_models": "Median over the jobs of a job's queue_to_result over models_ms of its picture.",
    "over_requests": "The same over requests_ms.",
    "outside_ms": "Median of queue_to_result less the job's stages; barcodes are left out, because they are read while"
    " Triton detects.",
    "processing": "From when the worker took a job's record to its acknowledged result, as the worker's log says.",
    "model_cores": "Seconds in which Triton computed, over all instances, a second of the backlog.",
    "due_to_result": "From when a job was due to be written to the broker's time of its result.",
    "p95_over_alone_p50": "p95 of due_to_result over the p50 of a job alone.",
    "p95_over_aim": "p95 of due_to_result over 1.3 times the median of models_ms.",
}
_PERCENTILES: Final = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
_AIM: Final = 1.3  # of a job alone, over its models


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """All that was measured; `models_alone` has an entry for each picture of the set."""

    models_alone: Sequence[PictureModelTimes]
    alone: Sequence[AloneJob]
    backlogs: Sequence[BacklogLoad]
    open_loops: Sequence[OpenLoopLoad]
    configuration: Mapping[str, Any]


def figures(run: LatencyRun) -> dict[str, Any]:
    """Return the content of `latency.json`."""
    alone = _alone(run)
    return {
        "alone": alone,
        "backlogs": [
            {
                "jobs": load.jobs,
                "jobs_per_second": round(load.jobs_per_second, 3),
                "model_cores": round(load.model_seconds / load.seconds, 3),
                **_percentiles(load.processing_ms),
            }
            for load in run.backlogs
        ],
        "open_loops": [
            {"share": load.share, "rate_per_second": round(load.rate_per_second, 3), "jobs": len(load.answered)}
            | _of_open_loop([one.due_to_result_ms for one in load.answered], alone)
            for load in run.open_loops
        ],
        "configuration": dict(run.configuration),
    }


def write_report(run: LatencyRun, folder: Path) -> Path:
    """Write `latency.json` and `latency.html`, and return the page."""
    measured = figures(run)
    write(folder / "latency.json", json.dumps(measured, indent=2) + "\n")
    alone = measured["alone"]
    by_load = {
        name.removesuffix("_ms"): [(100 * load["share"], load[name]) for load in measured["open_loops"]]
        for name in _PERCENTILES
    }
    by_backlog = {
        name.removesuffix("_ms"): [(float(load["jobs"]), load[name]) for load in measured["backlogs"]]
        for name in _PERCENTILES
    }
    page = render(
        "latency",
        kind="latency",
        title=f"One job alone: {formats.times(alone['over_models'])} its models",
        lead=(
            f"{alone['jobs']} jobs, each in an idle system; backlogs that are there at once; and jobs that come at"
            " random."
        ),
        measured=measured,
        alone=plots.distribution(
            {
                "queue to result": [float(one.answered.queue_to_result_ms) for one in run.alone],
                "its requests one after another": [run.models_alone[one.picture].requests_ms for one in run.alone],
                "its models": [run.models_alone[one.picture].computed_ms for one in run.alone],
            },
            "milliseconds",
            bins=50,
        ),
        stages=[(stage, formats.duration(milliseconds)) for stage, milliseconds in alone["stages_ms"].items()],
        by_load=plots.courses(by_load, "load, percent of the capacity", "ms from due to result"),
        by_backlog=plots.courses(by_backlog, "jobs in the backlog", "ms from received to acknowledged"),
        facts=facts(run.configuration),
        definitions=DEFINITIONS,
    )
    return write(folder / "latency.html", page)


def _alone(run: LatencyRun) -> dict[str, Any]:
    waited = [float(one.answered.queue_to_result_ms) for one in run.alone]
    models = [run.models_alone[one.picture] for one in run.alone]
    pairs = list(zip(waited, models, strict=True))
    return {
        "jobs": len(waited),
        **_percentiles(waited),
        "requests": statistics.median(one.requests for one in models),
        "models_ms": round(statistics.median(one.computed_ms for one in models), 1),
        "requests_ms": round(statistics.median(one.requests_ms for one in models), 1),
        "over_models": round(statistics.median(ms / one.computed_ms for ms, one in pairs), 3),
        "over_requests": round(statistics.median(ms / one.requests_ms for ms, one in pairs), 3),
        "stages_ms": dict(_stages(run.alone)),
        "outside_ms": round(statistics.median(map(_outside_ms, run.alone)), 1),
    }


def _of_open_loop(waited_ms: Sequence[float], alone: Mapping[str, Any]) -> dict[str, float]:
    found = _percentiles(waited_ms)
    return found | {
        "p95_over_alone_p50": round(found["p95_ms"] / alone["p50_ms"], 3),
        "p95_over_aim": round(found["p95_ms"] / (_AIM * alone["models_ms"]), 3),
    }


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    return {name: round(percentile(milliseconds, share), 1) for name, share in _PERCENTILES.items()}


def _stages(alone: Sequence[AloneJob]) -> Iterator[tuple[str, float]]:
    """Yield the median milliseconds of each stage in the order of the way, over the jobs that had it."""
    for stage in Stage:
        spent = [one.answered.stage_ms[stage] for one in alone if stage in one.answered.stage_ms]
        if spent:
            yield stage.value, round(statistics.median(spent), 2)


def _outside_ms(one: AloneJob) -> float:
    stages = sum(spent for stage, spent in one.answered.stage_ms.items() if stage != Stage.BARCODES)
    return one.answered.queue_to_result_ms - stages
