"""The report on a profile: `profile.json`, a page, and the flame graph beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.lab.bench.facts import facts
from worker.lab.bench.profile.sampler import SampledStack
from worker.lab.bench.profile.stages import samples_by_function, samples_by_part
from worker.lab.bench.profile.threads import ThreadTimes
from worker.reporting import formats
from worker.reporting.render import render, write

DEFINITIONS: Final = {
    "threads": "CPU time as Linux counts it for each thread. A thread that Python does not know is a library's.",
    "cpu_ms": "CPU milliseconds over the pictures that were answered meanwhile.",
    "parts": "Where the samples of running Python threads were: in the innermost code of the worker's own on the stack,"
    " which has called what runs. Their milliseconds are their share of the CPU time of Python's threads.",
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
    by_python = sum(times.cpu_seconds for number, times in run.threads.items() if number in run.names)
    samples = sum(stack.samples for stack in run.stacks)
    parts, functions = samples_by_part(run.stacks), samples_by_function(run.stacks)
    ms_per_sample = 1000 * by_python / samples / run.pictures if samples and run.pictures else 0.0
    return {
        "pictures": run.pictures,
        "cpu_ms": _per_picture(total, run.pictures),
        "samples": samples,
        "threads": [
            {
                "name": name,
                "cpu_seconds": round(seconds, 2),
                "cpu_ms": _per_picture(seconds, run.pictures),
                "share": round(seconds / total, 4),
            }
            for name, seconds in _by_name(run).items()
            if seconds >= _LEAST_SHARE * total
        ],
        "parts": [{"name": name, **_of_samples(count, samples, ms_per_sample)} for name, count in parts.items()],
        "functions": [
            {"name": name, **_of_samples(count, samples, ms_per_sample)}
            for name, count in list(functions.items())[:_FUNCTIONS]
        ],
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


def _per_picture(seconds: float, pictures: int) -> float | None:
    return round(1000 * seconds / pictures, 2) if pictures else None


def _of_samples(count: int, samples: int, ms_per_sample: float) -> dict[str, float]:
    return {"samples": count, "share": round(count / samples, 4), "cpu_ms": round(count * ms_per_sample, 2)}
