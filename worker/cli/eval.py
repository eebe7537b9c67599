"""`labelwire eval`: how well the worker reads, compared with RapidOCR."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.adapters.triton.client import TritonBackend
from worker.cli.picture_options import ALL, DEGRADATIONS, parse_degradations, parse_size
from worker.domain.errors import SettingsError
from worker.lab.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.evaluation.embedded import LABELS, EvaluationSet, Labels, drawn, evaluate, evaluate_offline, with_mosaic
from worker.lab.evaluation.offline import deliver_offline
from worker.lab.evaluation.quality.readings import SampleReading, load_readings, read_samples
from worker.lab.evaluation.quality.report import write_report as write_quality_report
from worker.lab.evaluation.quality.samples import plan
from worker.lab.evaluation.report import write_report
from worker.lab.evaluation.run import Evaluation
from worker.lab.evaluation.served import describe_served, manifests_of
from worker.lab.evaluation.systems import SystemRun
from worker.pipeline.options import QualityMode
from worker.ports import InferenceBackend
from worker.reporting.progress import counted

app = typer.Typer(add_completion=False)


@app.command(name="eval")
def evaluation(  # noqa: PLR0913 - a parameter an option
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with pictures and truth.jsonl; without it, labels are drawn.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help=f"Use only the first pictures, or draw so many labels ({LABELS}).")
    ] = None,
    degrade: Annotated[
        str, typer.Option(metavar="KIND", help=f"Degradation of drawn labels, all for each in turn: {DEGRADATIONS}.")
    ] = ALL,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Draw labels of the held-out layouts, which nothing is tuned on.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of drawn labels; the same seed gives the same labels.")] = 20,
    mosaic: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Also read a mosaic of the pictures, of this size in pixels."),
    ] = None,
    baseline: Annotated[
        bool | None,
        typer.Option("--baseline/--no-baseline", help="Score RapidOCR as well; by default only with --data."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Read with this running Triton (gRPC, host:port): no Kafka, no RapidOCR.")
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="Read in this process with this repository of the onnx profile: no Kafka, no Triton."),
    ] = None,
    alphabet: Annotated[
        str,
        typer.Option(help="Alphabet of the models to build: full, latin, or a file. Not with --url or --repository."),
    ] = "full",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the worker, NAME=VALUE; may be repeated.")
    ] = None,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="Calibrate the quality score instead. With --url, read COUNT labels (1) of each degradation and "
            "strength; without it, fit the readings of the last run again.",
        ),
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build"),
) -> None:
    """Score the worker and RapidOCR on the same pictures, compared with their true text."""
    if quality:
        typer.echo(f"The report is {_calibrate(url, count or 1, output)}")
        return
    configuration = WorkerConfiguration(alphabet=alphabet, overrides=parse_overrides(setting or []))
    chosen = settings.load({**os.environ, **configuration.overrides})
    server = _server(url, repository, chosen)
    folder = output / "eval"
    size = None if mosaic is None else parse_size(mosaic)
    labels = Labels(count or LABELS, seed, parse_degradations(degrade), held_out=held_out)
    pictures = _pictures(data, count, labels, folder, size)
    if server is not None:
        judged = asyncio.run(_offline(pictures, configuration, chosen, server))
    else:
        judged = evaluate(pictures, configuration, folder, baseline=data is not None if baseline is None else baseline)
    typer.echo(f"The report is {write_report(judged, output)}")


def _pictures(
    data: Path | None, count: int | None, labels: Labels, folder: Path, size: tuple[int, int] | None
) -> EvaluationSet:
    source = data or folder / "labels"
    dataset = load(source).first(count) if data else drawn(labels, source)
    return with_mosaic(dataset, source, folder / "mosaic", size) if size else EvaluationSet(dataset)


def _server(url: str | None, repository: Path | None, chosen: settings.Settings) -> InferenceBackend | None:
    """Return what reads without Kafka, None if the embedded stack shall. Raises SettingsError if both are given."""
    if url is not None and repository is not None:
        raise SettingsError(f"--url {url} and --repository {repository} exclude each other: give one of them.")
    if repository is not None:
        from worker.lab.evaluation.in_process import InProcessBackend  # noqa: PLC0415  needs what builds models

        return InProcessBackend(repository)
    if url is None:
        return None
    return bootstrap.triton_backend(chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": url})}))


async def _offline(
    pictures: EvaluationSet, configuration: WorkerConfiguration, chosen: settings.Settings, server: InferenceBackend
) -> Evaluation:
    async with bootstrap.open_model_client(chosen, server) as reader:
        way = "by Triton alone" if isinstance(server, TritonBackend) else "by ONNX Runtime in this process"
        description = describe_served(configuration, await manifests_of(server, chosen.triton.model_set), way)

        async def read(dataset: Dataset, on_picture: Callable[[], None]) -> SystemRun:
            return await deliver_offline(dataset, reader, on_picture, chosen.runtime.attempt_seconds)

        return await evaluate_offline(pictures, description, read)


def _calibrate(url: str | None, labels_each: int, output: Path) -> Path:
    kept = output / "quality" / "readings.jsonl"
    chosen = settings.load()
    readings = asyncio.run(_read_spoilt(chosen, url, labels_each, kept)) if url else load_readings(kept)
    return write_quality_report(readings, chosen.quality.floor, output)


async def _read_spoilt(chosen: settings.Settings, url: str, labels_each: int, path: Path) -> list[SampleReading]:
    sections = {
        "triton": chosen.triton.model_copy(update={"url": url}),
        "quality": chosen.quality.model_copy(update={"mode": QualityMode.FLAG}),
        # Every label as a whole, so that all are measured alike.
        "pipeline": chosen.pipeline.model_copy(update={"tiled_from_pixels": chosen.limits.max_image_pixels}),
    }
    samples = list(plan(labels_each))
    with counted("Labels read", len(samples)) as advance:
        async with bootstrap.open_model_client(chosen.model_copy(update=sections)) as reader:
            return await read_samples(samples, reader, path, advance)
