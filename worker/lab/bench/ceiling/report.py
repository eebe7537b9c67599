"""The report on the worker's ceiling: `ceiling.json`, and a page."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.lab.bench.ceiling.measure import CeilingTurn, PictureSet
from worker.lab.bench.facts import facts
from worker.reporting import formats, plots
from worker.reporting.render import render, write

DEFINITIONS: Final = {
    "cpu_ms": "CPU milliseconds of the worker's process for a picture: all its threads, with Kafka and gRPC. The"
    " recorded Triton, the broker and the bench are other processes. Median over the rounds.",
    "over_decode": "The same over the CPU time of decoding one of these pictures with OpenCV, on one thread.",
    "over_first_decode": "The same over the CPU time of decoding a picture of the first set, receipts as a rule: so"
    " the figure can be carried to another machine.",
    "pictures_per_core_second": "Pictures over the worker's CPU seconds: what one core can do that serves the worker"
    " alone.",
    "spread_over_backlogs": "Highest cost of a picture over the lowest, of all lengths of the backlog, less one.",
    "memory_growth_mb": "Median of the resident memory in the last fifth of the longest backlog, less the median in the"
    " second fifth.",
}
_MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class CeilingRun:
    """All that was measured."""

    sets: Sequence[PictureSet]
    turns: Sequence[CeilingTurn]
    configuration: Mapping[str, Any]


def figures(run: CeilingRun) -> dict[str, Any]:
    """Return the content of `ceiling.json`."""
    longest = max(run.turns, key=lambda turn: turn.jobs)
    costs = {backlog: statistics.median(found) for backlog, found in _costs_by_backlog(run).items()}
    return {
        "pictures": {shown.name: _figures(shown, run) for shown in run.sets},
        "cpu_ms_by_backlog": {str(backlog): round(cost, 2) for backlog, cost in costs.items()},
        "spread_over_backlogs": round(max(costs.values()) / min(costs.values()) - 1, 4),
        "memory_growth_mb": _growth_mb(longest.resident_bytes),
        "longest_backlog": longest.jobs,
        "rounds": [
            {
                "pictures": turn.pictures,
                "round": turn.round + 1,
                "jobs": turn.jobs,
                "seconds": round(turn.seconds, 3),
                "cpu_ms": round(turn.cpu_ms_per_picture, 2),
                "recorded_triton_cpu_ms": round(1000 * turn.stub_cpu_seconds / turn.jobs, 2),
                "peak_rss_mb": round(max(turn.resident_bytes) / _MEGABYTE, 1),
            }
            for turn in run.turns
        ],
        "configuration": dict(run.configuration),
    }


def write_report(run: CeilingRun, folder: Path) -> Path:
    """Write `ceiling.json` and `ceiling.html`, and return the page."""
    measured = figures(run)
    write(folder / "ceiling.json", json.dumps(measured, indent=2) + "\n")
    first, longest = run.sets[0], max(run.turns, key=lambda turn: turn.jobs)
    costs = {f"{backlog} jobs": list(found) for backlog, found in _costs_by_backlog(run).items()}
    by_kind = {shown.title: [turn.cpu_ms_per_picture for turn in _shortest(shown, run)] for shown in run.sets}
    page = render(
        "ceiling",
        kind="ceiling",
        title=f"{formats.duration(measured['pictures'][first.name]['cpu_ms'])} of CPU for one of {first.title}",
        lead=(
            "What the worker costs by itself: a real Kafka, and a server in another process that answers out of a"
            " recording of the real models."
        ),
        measured=measured,
        sets=run.sets,
        by_kind=plots.rounds(by_kind, "CPU milliseconds a picture"),
        by_backlog=plots.rounds(costs, f"CPU milliseconds for one of {first.title}"),
        memory=plots.courses(
            {"worker": _course(longest)},
            f"share of a backlog of {longest.jobs} jobs, in percent",
            "resident memory, MB",
        ),
        facts=facts(run.configuration),
        definitions=DEFINITIONS,
    )
    return write(folder / "ceiling.html", page)


def _figures(shown: PictureSet, run: CeilingRun) -> dict[str, Any]:
    costs = [turn.cpu_ms_per_picture for turn in _shortest(shown, run)]
    cost, decode_ms = statistics.median(costs), 1000 * shown.decode_seconds
    return {
        "title": shown.title,
        "count": len(shown.pictures),
        "cpu_ms": round(cost, 2),
        "cpu_ms_lowest": round(min(costs), 2),
        "cpu_ms_highest": round(max(costs), 2),
        "decode_ms": round(decode_ms, 2),
        "over_decode": round(cost / decode_ms, 2),
        "over_first_decode": round(cost / (1000 * run.sets[0].decode_seconds), 2),
        "pictures_per_core_second": round(1000 / cost, 2),
    }


def _shortest(shown: PictureSet, run: CeilingRun) -> list[CeilingTurn]:
    """Return the turns of a set with the shortest backlog, which every set has."""
    own = [turn for turn in run.turns if turn.pictures == shown.name]
    shortest = min(turn.jobs for turn in own)
    return [turn for turn in own if turn.jobs == shortest]


def _costs_by_backlog(run: CeilingRun) -> dict[int, list[float]]:
    costs: dict[int, list[float]] = {}
    for turn in run.turns:
        if turn.pictures == run.sets[0].name:
            costs.setdefault(turn.jobs, []).append(turn.cpu_ms_per_picture)
    return costs


def _growth_mb(resident: Sequence[int]) -> float:
    fifth = max(1, len(resident) // 5)
    early = resident[fifth : 2 * fifth] or resident[:1]
    return round((statistics.median(resident[-fifth:]) - statistics.median(early)) / _MEGABYTE, 1)


def _course(turn: CeilingTurn) -> list[tuple[float, float]]:
    last = max(1, len(turn.resident_bytes) - 1)
    return [(100 * number / last, found / _MEGABYTE) for number, found in enumerate(turn.resident_bytes)]
