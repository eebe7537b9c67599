"""The bench report: `bench.json` with design's keys, and a page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench import summary
from worker.lab.bench.contestants import BROKER, TRITON, ContestantTurn
from worker.lab.bench.facts import facts
from worker.lab.bench.summary import RoundSpread, SystemFigures
from worker.lab.evaluation.configuration import RAPIDOCR, RAPIDOCR_OPENVINO
from worker.reporting import formats, plots
from worker.reporting.render import render, write

TITLES: Final = {
    summary.LABELWIRE: "Labelwire",
    summary.LATIN: "Labelwire, Latin alphabet",
    RAPIDOCR: "RapidOCR",
    RAPIDOCR_OPENVINO: "RapidOCR on OpenVINO",
    summary.BARE: "Bare models",
    summary.BARE_LATIN: "Bare models, Latin alphabet",
}

DEFINITIONS: Final = {
    "images_per_second": "Pictures over seconds from the first job that the broker acknowledged to the last answer; "
    "all jobs are written at once. Median over the rounds.",
    "ratio_spread": "A ratio is computed in each round, whose turns follow one another; the median, the least and the "
    "greatest round.",
    "barcode_recall": "The share of the truth's barcodes that were read. RapidOCR reads none; where the truth has "
    "barcodes, its consumer calls zxing-cpp on the whole picture, as a user would write it.",
    "p50_ms, p95_ms": "Time of single pictures while the backlog lasts, as each system itself measures it: the sum of "
    "a job's stages for the worker, decoding and RapidOCR's call for its consumer, first request to last answer for "
    "the bare models. Systems that read several pictures at once have longer times at a higher throughput.",
    "peak_rss_mb": "Resident memory of a system's processes, its Triton included and the broker left out: the sum of "
    "each process's own peak. Shared pages count in each.",
    "cpu_ms_per_image": "CPU time of each process for a picture. Each model of Triton's Python backend has a process.",
    "harness_cpu_ms_per_image": "CPU time of the bench itself for a picture while the clock runs: writing jobs and "
    "receiving answers, or sending the requests of the bare models. Answers are parsed and scored afterwards.",
    "pipeline_efficiency": "The worker's throughput over that of the bare models: the same requests, replayed at full "
    "load against the same Triton, without Kafka, decoding or geometry.",
    "worker_cpu_ms_per_image": "CPU time of the worker's process for a picture.",
    "worker_cpu_per_image_over_jpeg_decode": "The same, over the CPU time that OpenCV takes to decode the picture "
    "(decode_ms).",
}


@dataclass(frozen=True, slots=True)
class BenchRun:
    """All that a bench measured; `decode_seconds` is the CPU time to decode one of the pictures."""

    turns: Sequence[ContestantTurn]
    decode_seconds: float
    configuration: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _SystemRow:
    name: str
    title: str
    figures: SystemFigures
    share: float

    @property
    def is_own(self) -> bool:
        """Whether it is the worker."""
        return self.name in {summary.LABELWIRE, summary.LATIN}


@dataclass(frozen=True, slots=True)
class _BatchPlot:
    model: str
    facts: str
    plot: Markup


def figures(run: BenchRun) -> dict[str, Any]:
    """Return the content of `bench.json`; what was not measured is None."""
    turns = summary.by_contestant(run.turns)
    systems = {name: summary.system_figures(own) for name, own in turns.items()}
    ratios, own_cpu = summary.ratios(turns), summary.worker_cpu_ms(turns[summary.LABELWIRE])
    full, latin = summary.batches(turns[summary.LABELWIRE]), summary.batches(turns[summary.LATIN])
    return {
        "systems": {name: asdict(one) for name, one in systems.items()},
        **{name: spread.median if spread else None for name, spread in ratios.items()},
        "ratio_spread": {name: asdict(spread) if spread else None for name, spread in ratios.items()},
        "decode_ms": run.decode_seconds * 1000,
        "worker_cpu_ms_per_image": asdict(own_cpu) if own_cpu else None,
        "worker_cpu_per_image_over_jpeg_decode": summary.cpu_over_decode(turns[summary.LABELWIRE], run.decode_seconds),
        "batch_histogram": summary.histogram(full),
        "batch_merging": summary.merging(full),
        "latin_batch_histogram": summary.histogram(latin),
        "latin_batch_merging": summary.merging(latin),
        "configuration": dict(run.configuration),
        "rounds": summary.rounds(run.turns),
        "definitions": DEFINITIONS,
    }


def write_report(run: BenchRun, folder: Path) -> Path:
    """Write `bench.json` and `bench.html`, and return the page."""
    write(folder / "bench.json", json.dumps(figures(run), indent=2) + "\n")
    return write(folder / "bench.html", page(run))


def page(run: BenchRun) -> str:
    """Return the page."""
    measured = figures(run)
    turns = summary.by_contestant(run.turns)
    own_cpu = summary.worker_cpu_ms(turns[summary.LABELWIRE])
    titles = _titles(run.configuration)
    rows = list(_system_rows(turns, titles))
    processes = _process_names(rows)
    return render(
        "bench",
        kind="bench",
        title=_headline(measured, titles[RAPIDOCR]),
        lead=_lead(run),
        measured=measured,
        competitor=titles[RAPIDOCR],
        worker_cpu_ms=own_cpu.median if own_cpu else None,
        ratios=_ratio_rows(summary.ratios(turns), titles),
        rows=rows,
        rounds=plots.rounds(
            {titles[name]: [turn.images_per_second for turn in own] for name, own in turns.items()}, "pictures a second"
        ),
        cpu=plots.stacked(
            {row.title: row.figures.cpu_ms_per_image for row in rows},
            processes,
            "milliseconds of CPU a picture, by process",
        ),
        processes=processes,
        batches=list(_batch_plots(summary.batches(turns[summary.LABELWIRE]))),
        facts=_facts(run),
        configuration=json.dumps(run.configuration, indent=2),
        definitions=DEFINITIONS,
    )


def _headline(measured: Mapping[str, Any], competitor: str) -> str:
    ratio, latin = measured["ratio_vs_rapidocr"], measured["latin_ratio_vs_rapidocr"]
    if ratio is None:
        return "Nothing to compare with"
    if latin is None:
        return f"{formats.times(ratio)} as fast as {competitor}"
    return f"{formats.times(ratio)} as fast as {competitor}, {formats.times(latin)} with the Latin alphabet"


def _lead(run: BenchRun) -> str:
    rounds = len({turn.round for turn in run.turns})
    images = max((turn.images for turn in run.turns), default=0)
    dataset = run.configuration.get("dataset", "")
    return (
        f"{dataset}: a backlog of {images} pictures, {rounds} interleaved rounds, one broker, the same cores. "
        f"Configuration {run.configuration.get('name', '')}."
    )


def _titles(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return how people call each system; the bench knows what the consumers around RapidOCR read."""
    return {**TITLES, **configuration.get("titles", {})}


def _system_rows(turns: Mapping[str, Sequence[ContestantTurn]], titles: Mapping[str, str]) -> Iterator[_SystemRow]:
    systems = {name: summary.system_figures(own) for name, own in turns.items() if own}
    best = max((one.images_per_second or 0.0 for one in systems.values()), default=0.0) or 1.0
    for name, one in systems.items():
        yield _SystemRow(name, titles[name], one, (one.images_per_second or 0.0) / best)


def _process_names(rows: Sequence[_SystemRow]) -> list[str]:
    """Return the names of all processes: the systems' own, then those of Triton, the broker last."""
    names = {name for row in rows for name in row.figures.cpu_ms_per_image}
    return sorted(names, key=lambda name: (name == BROKER, name.startswith(TRITON), name == TRITON, name))


def _ratio_rows(ratios: Mapping[str, RoundSpread | None], titles: Mapping[str, str]) -> list[tuple[str, RoundSpread]]:
    """Return each ratio that was measured, in words."""
    return [
        (f"{titles[above]} over {titles[below]}", spread)
        for name, (above, below) in summary.RATIOS.items()
        if (spread := ratios[name]) is not None
    ]


def _batch_plots(counts: Mapping[str, ModelStatistics]) -> Iterator[_BatchPlot]:
    for model, merged in summary.merging(counts).items():
        one = counts[model]
        facts = (
            f"{one.executions} executions, {formats.decimals(merged['items_per_execution'], 1)} items and "
            f"{formats.decimals(merged['requests_per_execution'], 1)} requests in each on average"
        )
        yield _BatchPlot(model, facts, plots.batches(one.batches, "batch size"))


def _facts(run: BenchRun) -> list[tuple[str, str]]:
    return [
        *facts(run.configuration),
        ("RapidOCR", str(run.configuration.get("rapidocr", formats.DASH))),
        ("Decoding a picture", f"{formats.duration(run.decode_seconds * 1000)} of CPU time"),
    ]
