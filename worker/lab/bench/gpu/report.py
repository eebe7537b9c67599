"""The report of a bench on a GPU: `gpu-bench.json`, and a page.

Every figure of a precision is the median over its rounds; `low` and `high` are the smallest and the greatest round.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from markupsafe import Markup

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench import summary
from worker.lab.bench.gpu.measure import Floor, GpuBenchRun, GpuTurn, PrecisionResult, Texts
from worker.lab.bench.open_loop import percentile
from worker.reporting import formats, plots
from worker.reporting.render import render, write

REPORT_NAME: Final = "gpu-bench"
_RANKS: Final = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
_RECOGNIZER: Final = "text_recognizer"
DEFINITIONS: Final = {
    "labels a second": "Labels over seconds at full load, from the encoded picture to its fields, without Kafka.",
    "models alone": "The pipeline's requests again, from one process that neither decodes nor crops: what the server "
    "can do. If it is far above the labels a second, the processor limits those, and more workers would read more.",
    "latency in the open loop": "Labels come at the floor's rate, whether or not those before them are done; from the "
    "time at which a label was due to its text. Not measured if full load is under that rate: the queue would grow "
    "without end.",
    "latency alone": "One label at a time.",
    "the floor": "Met if full load reaches its rate and the p95 in the open loop is under its limit.",
    "GPU busy": "Mean share of the time at full load in which something ran on the GPU, as nvidia-smi says it. It does "
    "not say how much of the GPU that was.",
    "GPU memory": "What the GPU's used memory grew by from before the precision's server started, through its warm-up "
    "and its turns.",
    "cores": "CPU cores that decoding, cropping and the server used together at full load.",
    "texts as in FP32": "The share of the pictures of which all lines read as FP32 reads them.",
}


def figures(run: GpuBenchRun) -> dict[str, Any]:
    """Return the content of `gpu-bench.json`; what was not measured is None."""
    measured = [_figures(result, run.floor) for result in run.results]
    first = run.results[0]
    for result, row in zip(run.results, measured, strict=True):
        for name in ("labels_per_second", "models_per_second"):
            row[f"{name}_over_fp32"] = _quotient(_middle(row, name), _middle(measured[0], name))
        row["texts_as_fp32"] = _share_alike(result.texts, first.texts)
    return {
        "floor": asdict(run.floor),
        "floor_met": meets_floor(run),
        "way": run.way,
        "notes": list(run.notes),
        "precisions": dict(zip((result.precision for result in run.results), measured, strict=True)),
        "configuration": dict(run.configuration),
        "definitions": DEFINITIONS,
    }


def meets_floor(run: GpuBenchRun) -> bool:
    """Return whether at least one precision reaches the floor."""
    return any(_verdict(result, run.floor).is_met for result in run.results)


def write_report(run: GpuBenchRun, folder: Path) -> Path:
    """Write `gpu-bench.json` and `gpu-bench.html`, and return the page."""
    measured = figures(run)
    write(folder / f"{REPORT_NAME}.json", json.dumps(measured, indent=2) + "\n")
    return write(folder / f"{REPORT_NAME}.html", _page(run, measured))


@dataclass(frozen=True, slots=True)
class _Verdict:
    is_met: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class _BatchesPlot:
    title: str
    facts: str
    plot: Markup


def _verdict(result: PrecisionResult, floor: Floor) -> _Verdict:
    if result.absent:
        return _Verdict(is_met=False, sentence="not measured")
    rate = median(turn.labels_per_second for turn in result.turns)
    words = f"{rate:.1f} labels a second at full load"
    if rate < floor.labels_per_second:
        return _Verdict(is_met=False, sentence=f"missed: {words}, {floor.labels_per_second:g} are needed")
    loops = [turn.open_ms for turn in result.turns if turn.open_ms]
    if not loops:
        return _Verdict(is_met=False, sentence=f"missed: {words}, but no open loop was run")
    p95 = median(percentile(milliseconds, 0.95) for milliseconds in loops)
    is_met = p95 < floor.p95_ms
    words += f", p95 {p95:.1f} ms at {floor.labels_per_second:g} a second"
    return _Verdict(is_met, f"met: {words}" if is_met else f"missed: {words}, under {floor.p95_ms:g} ms is needed")


def _figures(result: PrecisionResult, floor: Floor) -> dict[str, Any]:
    turns = [] if result.absent else result.turns
    verdict = _verdict(result, floor)
    return {
        "absent": result.absent or None,
        "floor_met": None if result.absent else verdict.is_met,
        "verdict": verdict.sentence,
        "served": dict(result.served),
        "labels_per_second": _spread(turns, lambda turn: turn.labels_per_second),
        "open_loop": {name: _ranked(turns, rank, lambda turn: turn.open_ms) for name, rank in _RANKS.items()},
        "alone": {name: _ranked(turns, rank, lambda turn: turn.alone_ms) for name, rank in _RANKS.items()},
        "gpu_busy_percent": _spread(turns, lambda turn: turn.busy_percent),
        "gpu_memory_mib": result.memory_mib,
        "cores": _spread(turns, lambda turn: turn.cores),
        "models_per_second": _spread(turns, lambda turn: turn.models_per_second),
        "models_gpu_busy_percent": _spread(turns, lambda turn: turn.models_busy_percent),
        "word_f1": result.word_f1,
        "stage_ms": _stages(turns),
        "batch_histogram": summary.histogram(_batches(turns)),
        "batch_merging": summary.merging(_batches(turns)),
        "rounds": [_round(turn) for turn in turns],
    }


def _round(turn: GpuTurn) -> dict[str, Any]:
    return {
        "round": turn.round + 1,
        "labels": turn.labels,
        "seconds": round(turn.seconds, 3),
        "labels_per_second": round(turn.labels_per_second, 3),
        "open_loop_labels": len(turn.open_ms),
        "open_loop": {name: _rank(turn.open_ms, rank) for name, rank in _RANKS.items()},
        "alone_labels": len(turn.alone_ms),
        "alone": {name: _rank(turn.alone_ms, rank) for name, rank in _RANKS.items()},
        "gpu_busy_percent": turn.busy_percent,
        "cores": round(turn.cores, 2),
        "models_per_second": round(turn.models_per_second, 3),
        "models_gpu_busy_percent": turn.models_busy_percent,
    }


def _rank(milliseconds: Sequence[float], rank: float) -> float | None:
    return round(percentile(milliseconds, rank), 2) if milliseconds else None


def _ranked(
    turns: Sequence[GpuTurn], rank: float, milliseconds: Callable[[GpuTurn], Sequence[float]]
) -> dict[str, float] | None:
    return _spread(turns, lambda turn: _rank(milliseconds(turn), rank))


def _spread(turns: Sequence[GpuTurn], figure: Callable[[GpuTurn], float | None]) -> dict[str, float] | None:
    known = [value for value in map(figure, turns) if value is not None]
    if not known:
        return None
    return {"median": round(median(known), 3), "low": round(min(known), 3), "high": round(max(known), 3)}


def _middle(row: Mapping[str, Any], name: str) -> float | None:
    return row[name]["median"] if row[name] else None


def _quotient(above: float | None, below: float | None) -> float | None:
    return round(above / below, 3) if above is not None and below else None


def _share_alike(texts: Texts, others: Texts) -> float | None:
    if not texts or not others:
        return None
    return sum(one == other for one, other in zip(texts, others, strict=True)) / len(texts)


def _stages(turns: Sequence[GpuTurn]) -> dict[str, float]:
    names = {name: None for turn in turns for name in turn.stage_ms}
    return {name: round(median(turn.stage_ms.get(name, 0.0) for turn in turns), 2) for name in names}


def _batches(turns: Sequence[GpuTurn]) -> dict[str, ModelStatistics]:
    total: dict[str, ModelStatistics] = {}
    for turn in turns:
        for model, counted in turn.batches.items():
            total[model] = total.get(model, ModelStatistics()).plus(counted)
    return total


def _page(run: GpuBenchRun, measured: Mapping[str, Any]) -> str:
    shown = {result.precision: [] if result.absent else result.turns for result in run.results}
    configuration = run.configuration
    return render(
        "gpu_bench",
        kind="GPU bench",
        title=_headline(run),
        lead=f"{configuration.get('pictures', 0)} pictures, {_device(configuration)}. {run.way}.",
        measured=measured,
        floor=run.floor,
        throughput=plots.rounds(
            {_upper(name): [turn.labels_per_second for turn in turns] for name, turns in shown.items()},
            "labels a second at full load",
        ),
        latency=plots.distribution(
            {_upper(name): [ms for turn in turns for ms in turn.open_ms] for name, turns in shown.items()},
            f"milliseconds from due to read, at {run.floor.labels_per_second:g} labels a second",
            bins=60,
        ),
        batches=[plot for name, turns in shown.items() for plot in _batch_plots(name, turns)],
        facts=_facts(configuration),
        definitions=DEFINITIONS,
        configuration=json.dumps(configuration, indent=2),
    )


def _headline(run: GpuBenchRun) -> str:
    if not run.configuration.get("gpu"):
        return "A rehearsal without a GPU: it says nothing about one"
    floor = f"the floor of {run.floor.labels_per_second:g} labels a second at a p95 under {run.floor.p95_ms:g} ms"
    reaching = [_upper(result.precision) for result in run.results if _verdict(result, run.floor).is_met]
    if not reaching:
        return f"No precision meets {floor}"
    return f"{' and '.join(reaching)} {'meets' if len(reaching) == 1 else 'meet'} {floor}"


def _device(configuration: Mapping[str, Any]) -> str:
    gpu = configuration.get("gpu") or {}
    return str(gpu.get("name") or configuration.get("machine", {}).get("cpu", formats.DASH))


def _batch_plots(precision: str, turns: Sequence[GpuTurn]) -> Iterator[_BatchesPlot]:
    counts = _batches(turns)
    recognizers = ModelStatistics()
    for model, counted in counts.items():
        if model.startswith(_RECOGNIZER):
            recognizers = recognizers.plus(counted)
    for title, one in (("detector", counts.get("text_detector")), ("recognizers of all widths", recognizers)):
        if one is not None and one.executions:
            items = sum(size * count for size, count in one.batches.items()) / one.executions
            merged = one.requests / one.executions
            words = f"{one.executions} executions, {items:.1f} items and {merged:.1f} requests in each on average"
            yield _BatchesPlot(f"{_upper(precision)}, {title}", words, plots.batches(one.batches, "batch size"))


def _facts(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    gpu, machine = configuration.get("gpu") or {}, configuration.get("machine", {})
    memory, before = (configuration.get(f"gpu_memory_{name}mib") for name in ("", "used_before_"))
    return [
        ("GPU", str(gpu.get("name", "none"))),
        ("Compute capability", str(gpu.get("compute_capability", formats.DASH))),
        ("GPU memory, MiB", f"{formats.whole(memory)}, {formats.whole(before)} of it in use before the bench"),
        ("Driver", str(gpu.get("driver", formats.DASH))),
        *((name, str(version)) for name, version in configuration.get("versions", {}).items()),
        ("Processor", f"{machine.get('cpu', formats.DASH)}, {machine.get('cores', formats.DASH)} cores"),
        ("Under way at full load", formats.quantity(configuration.get("at_once", 0), "label")),
        (
            "Time",
            f"{configuration.get('spent_seconds', formats.DASH)} s of {configuration.get('budget_seconds', 0):.0f} s",
        ),
    ]


def _upper(precision: str) -> str:
    return precision.upper()
