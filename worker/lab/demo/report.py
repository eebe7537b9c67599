"""The demo's report: `report.json` for scripts, `report.html` for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from worker.domain.errors import Stage
from worker.domain.fields import Check, Source
from worker.domain.result import LabelField, LabelText
from worker.lab.demo.run import DemoRun
from worker.lab.evaluation.answers import Answer
from worker.lab.evaluation.dataset import Sample
from worker.lab.evaluation.systems import SystemRun
from worker.lab.evaluation.transcript import corners
from worker.reporting import formats
from worker.reporting.picture import Figure, Outline, confidence_kind, figure
from worker.reporting.render import render, write


@dataclass(frozen=True, slots=True)
class _ShownLine:
    text: str
    confidence: float
    kind: str


@dataclass(frozen=True, slots=True)
class _ShownField:
    """`kind` of a field says how sure it is; `proof` says by what."""

    type: str
    value: str
    proof: str
    kind: str


@dataclass(frozen=True, slots=True)
class _ShownLabel:
    name: str
    facts: str
    figure: Figure
    lines: tuple[_ShownLine, ...] = ()
    fields: tuple[_ShownField, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Bar:
    name: str
    share: float
    amount: str


def figures(run: DemoRun) -> dict[str, Any]:
    """Return the content of `report.json`."""
    delivery = run.delivery
    return {
        "jobs": len(delivery.submitted),
        "results": len(delivery.answers),
        "dead_letters": len(delivery.refusals),
        "lost": len(delivery.lost),
        "duplicates": delivery.duplicates,
        "seconds": round(delivery.seconds, 3),
        "broker": run.broker,
        "triton": run.triton,
        "dataset": run.dataset.name,
        "images_per_second": _rate(delivery),
        "stage_ms": {name: round(value, 2) for name, value in _stage_means(delivery).items()},
    }


def write_report(run: DemoRun, folder: Path) -> Path:
    """Write both files and return the page."""
    write(folder / "report.json", json.dumps(figures(run), indent=2) + "\n")
    return write(folder / "report.html", page(run))


def page(run: DemoRun) -> str:
    """Return the page."""
    summary = figures(run)
    answers = run.delivery.answers.values()
    models = next((answer.result.models for answer in answers if answer.result), {})
    return render(
        "demo",
        kind="demo",
        title=_headline(summary),
        lead="Each picture went into a Kafka topic as a job; a worker took it out, had Triton find and read its lines, "
        "and wrote the result that is shown here.",
        lines=sum(len(answer.transcript.lines) for answer in answers),
        stages=_bars(_stage_means(run.delivery)),
        facts=[
            ("Broker", run.broker),
            ("Inference", run.triton),
            *((name, f"version {used.version}, {used.precision}, {used.digest[:12]}") for name, used in models.items()),
            ("Pictures", run.dataset.name),
            ("Reading took", formats.duration(run.delivery.seconds * 1000)),
        ],
        labels=[_shown(sample, run.delivery) for sample in run.dataset.samples],
        **{key: summary[key] for key in ("jobs", "results", "lost", "duplicates", "dead_letters", "images_per_second")},
    )


def _headline(summary: Mapping[str, Any]) -> str:
    if summary["jobs"] and summary["results"] == summary["jobs"]:
        return f"{summary['jobs']} labels in, {summary['results']} texts out"
    return f"{summary['results']} of {summary['jobs']} labels were read"


def _rate(delivery: SystemRun) -> float | None:
    return round(len(delivery.answers) / delivery.seconds, 3) if delivery.seconds and delivery.answers else None


def _stage_means(delivery: SystemRun) -> dict[str, float]:
    """Return the mean milliseconds of each stage that occurred, in the order of a job's way."""
    order = [stage.value for stage in Stage]
    named = {name for answer in delivery.answers.values() for name in answer.stages}
    return {
        name: fmean(answer.stages.get(name, 0.0) for answer in delivery.answers.values())
        for name in sorted(named, key=lambda name: (order.index(name) if name in order else len(order), name))
    }


def _bars(means: Mapping[str, float]) -> list[_Bar]:
    longest = max(means.values(), default=0.0) or 1.0
    return [_Bar(name, mean / longest, formats.duration(mean)) for name, mean in means.items()]


def _shown(sample: Sample, delivery: SystemRun) -> _ShownLabel:
    encoded = sample.read_bytes()
    if (answer := delivery.answers.get(sample.name)) is not None:
        return _read_label(sample, answer, encoded)
    if (refusal := delivery.refusals.get(sample.name)) is not None:
        failure = f"Dead letter {refusal.code}: {refusal.message}"
    else:
        failure = "Lost: neither a result nor a dead letter came back."
    return _ShownLabel(sample.name, f"{formats.whole(len(encoded) / 1024)} KiB", figure(encoded), failure=failure)


def _read_label(sample: Sample, answer: Answer, encoded: bytes) -> _ShownLabel:
    lines = tuple(
        _ShownLine(line.text, line.confidence, confidence_kind(line.confidence)) for line in answer.transcript.lines
    )
    shown = len(answer.result.pages[0].lines) if answer.result else len(lines)  # the figure is of the first page
    outlines = [
        Outline(corners(line.polygon), f"{line.text} ({line.confidence:.2f})", confidence_kind(line.confidence))
        for line in answer.transcript.lines[:shown]
    ]
    fields = (field for page in answer.result.pages for field in page.fields) if answer.result else ()
    return _ShownLabel(
        sample.name, _facts(answer), figure(encoded, outlines), lines, tuple(_field(field) for field in fields)
    )


def _field(field: LabelField) -> _ShownField:
    found = {Source.TEXT: "text", Source.BARCODE: "barcode", Source.BOTH: "text and barcode"}[field.source]
    proof = {Check.PASSED: "check passed", Check.FAILED: "check failed", Check.NONE: ""}[field.check]
    doubts = ("repaired" if field.repaired else "", "barcode differs" if field.conflict else "")
    kind = "right" if field.check is Check.PASSED else "missed" if field.check is Check.FAILED else ""
    words = ", ".join(word for word in (found, proof, *doubts) if word)
    return _ShownField(field.type.replace("_", " "), field.value, words, kind)


def _facts(answer: Answer) -> str:
    result: LabelText | None = answer.result
    size = " · ".join(f"{page.width} × {page.height}" for page in result.pages) if result else ""  # noqa: RUF001
    return " · ".join(
        part for part in (size, f"{len(answer.transcript.lines)} lines", formats.duration(answer.milliseconds)) if part
    )
