"""The report on a profile: `profile.json`, a page, and the flame graph beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.lab.bench.facts import facts
from worker.lab.bench.profile.sampler import SampledStack
from worker.lab.bench.profile.stages import function_of, part_of, seconds_by
from worker.lab.bench.profile.threads import ThreadTimes
from worker.reporting import formats
from worker.reporting.render import render, write

DEFINITIONS: Final = {
    "threads": "CPU time as Linux counts it for each thread. A thread that Python does not know is a library's.",
    "cpu_ms": "CPU milliseconds over the pictures that were answered meanwhile.",
    "parts": "The CPU time of each thread, in the shares of its samples. A sample counts for the innermost code of the"
    " worker's own on its stack, which has called what runs. Threads of libraries have no samples.",
    "flame graph": "flame.svg, the same load in a second sampling: open it in a browser and click on a frame.",
}
_FUNCTIONS: Final = 25
_LEAST_SHARE: Final = 0.001


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """All that was measured while so many `pictures` were answered; `names` are Python's, by a thread's id."""

    pictures: int
    threads: Mapping[int, ThreadTimes]
    names: Mapping[int, str]
    stacks: Sequence[SampledStack]
    flame_graph: str
    configuration: Mapping[str, Any]


def figures(run: ProfileRun) -> dict[str, Any]:
    """Return the content of `profile.json`."""
    total = sum(times.cpu_seconds for times in run.threads.values())
    functions = seconds_by(function_of, run.stacks, run.threads)
    return {
        "pictures": run.pictures,
        "cpu_ms": _per_picture(total, run.pictures),
        "samples": sum(stack.samples for stack in run.stacks),
        "threads": _rows(_by_name(run), run.pictures),
        "parts": _rows(seconds_by(part_of, run.stacks, run.threads), run.pictures),
        "functions": _rows(functions, run.pictures)[:_FUNCTIONS],
        "configuration": dict(run.configuration),
    }


def write_report(run: ProfileRun, folder: Path) -> Path:
    """Write `profile.json`, `flame.svg` and `profile.html`, and return the page. Raises ValueError for no CPU time."""
    measured = figures(run)
    write(folder / "profile.json", json.dumps(measured, indent=2) + "\n")
    write(folder / "flame.svg", run.flame_graph)
    page = render(
        "profile",
        kind="profile",
        title=f"{formats.duration(measured['cpu_ms'])} of CPU a picture",
        lead=(
            f"A worker under full load against a recorded Triton, while it read {run.pictures} pictures:"
            f" {measured['samples']} samples of its stacks."
        ),
        measured=measured,
        facts=facts(run.configuration),
        definitions=DEFINITIONS,
    )
    return write(folder / "profile.html", page)


def _by_name(run: ProfileRun) -> dict[str, float]:
    """Return the CPU seconds of threads by their name, the largest first; threads of one name are put together."""
    seconds: dict[str, float] = {}
    for number, times in run.threads.items():
        name = run.names.get(number) or f"{times.name} (library)"
        seconds[name] = seconds.get(name, 0.0) + times.cpu_seconds
    return dict(sorted(seconds.items(), key=lambda one: -one[1]))


def _rows(seconds: Mapping[str, float], pictures: int) -> list[dict[str, Any]]:
    """Return what took at least a thousandth of all."""
    total = sum(seconds.values())
    return [
        {
            "name": name,
            "cpu_seconds": round(spent, 3),
            "cpu_ms": _per_picture(spent, pictures),
            "share": round(spent / total, 4),
        }
        for name, spent in seconds.items()
        if spent > _LEAST_SHARE * total
    ]


def _per_picture(seconds: float, pictures: int) -> float | None:
    return round(1000 * seconds / pictures, 2) if pictures else None
