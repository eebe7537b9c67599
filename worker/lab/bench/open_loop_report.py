"""The report of an open loop: `open_loop.json`, and a page."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.lab.bench.facts import facts
from worker.lab.bench.open_loop import OpenLoopTurn, PictureKind, percentile
from worker.reporting import formats, plots
from worker.reporting.render import render, write

_P50, _P95, _P99 = 0.5, 0.95, 0.99
DEFINITIONS: Final = {
    "latency": "From the time at which a job was due to be written to the timestamp of its answer's record.",
    "capacity": "Small labels over seconds, all of them in the topic at once, before the open loop.",
    "p95_ratio": "Median over the rounds of the small labels' p95 with large and undecodable pictures among them, over"
    " the median without. Both runs of a round have the same arrivals.",
}


@dataclass(frozen=True, slots=True)
class OpenLoopRun:
    """All that was measured; rates are jobs a second."""

    capacity_per_second: float
    rate_per_second: float
    turns: Sequence[OpenLoopTurn]
    configuration: Mapping[str, Any]


def figures(run: OpenLoopRun) -> dict[str, Any]:
    """Return the content of `open_loop.json`; latencies in milliseconds."""
    alone, mixed = _p95s(run, mixed=False), _p95s(run, mixed=True)
    return {
        "p95_ratio": round(statistics.median(mixed) / statistics.median(alone), 3),
        "small_alone_p95_ms": statistics.median(alone),
        "small_among_others_p95_ms": statistics.median(mixed),
        "capacity_per_second": round(run.capacity_per_second, 3),
        "rate_per_second": round(run.rate_per_second, 3),
        "rounds": [
            {"mixed": turn.mixed, **{kind.value: _summary(turn.latency_seconds[kind]) for kind in PictureKind}}
            for turn in run.turns
        ],
        "configuration": dict(run.configuration),
    }


def write_report(run: OpenLoopRun, folder: Path) -> Path:
    """Write `open_loop.json` and `open_loop.html`, and return the page."""
    measured = figures(run)
    write(folder / "open_loop.json", json.dumps(measured, indent=2) + "\n")
    series = {
        "small labels alone": _pooled(run, PictureKind.SMALL, mixed=False),
        "the same among large and undecodable ones": _pooled(run, PictureKind.SMALL, mixed=True),
        "large pictures": _pooled(run, PictureKind.LARGE, mixed=True),
    }
    page = render(
        "open_loop",
        kind="open loop",
        title=f"{formats.times(measured['p95_ratio'])} the p95 of small labels without others",
        lead=(
            f"Large pictures and broken ones among small labels that come at {measured['rate_per_second']:.2f} jobs a"
            f" second, {run.rate_per_second / run.capacity_per_second:.0%} of what the worker can do."
        ),
        measured=measured,
        latencies=plots.distribution(series, "seconds from due to answered", bins=60),
        facts=facts(run.configuration),
        definitions=DEFINITIONS,
    )
    return write(folder / "open_loop.html", page)


def _p95s(run: OpenLoopRun, *, mixed: bool) -> list[float]:
    turns = (turn.latency_seconds[PictureKind.SMALL] for turn in run.turns if turn.mixed is mixed)
    return [round(1000 * percentile(seconds, _P95), 1) for seconds in turns]


def _pooled(run: OpenLoopRun, kind: PictureKind, *, mixed: bool) -> list[float]:
    return [seconds for turn in run.turns if turn.mixed is mixed for seconds in turn.latency_seconds[kind]]


def _summary(seconds: Sequence[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    ranks = {f"p{round(share * 100)}_ms": round(1000 * percentile(seconds, share), 1) for share in (_P50, _P95, _P99)}
    return {"jobs": len(seconds), **ranks}
