"""`labelwire eval`: how well the worker reads, beside RapidOCR."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.evaluation.dataset import Dataset
from worker.evaluation.offline import read_offline
from worker.evaluation.report import write_report
from worker.evaluation.run import Evaluation, SystemReading
from worker.laboratory.evaluation import evaluate, pictures_to_judge
from worker.reporting.progress import counted
from worker.synth import Degradation

app = typer.Typer(add_completion=False)


@app.command(name="eval")
def evaluation(
    *,
    data: Annotated[
        Path | None, typer.Option(help="A folder with pictures and truth.jsonl; else labels are drawn.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only the first pictures.")] = None,
    degrade: Annotated[
        Degradation, typer.Option(help="How bad the photographs of drawn labels are.")
    ] = Degradation.MILD,
    seed: Annotated[int, typer.Option(min=0, help="The series of drawn labels.")] = 20,
    url: Annotated[
        str | None, typer.Option(help="Read by this Triton (gRPC, host:port) alone: no Kafka, no RapidOCR.")
    ] = None,
    alphabet: Annotated[str, typer.Option(help="full, latin, or a file with the characters to keep.")] = "full",
    setting: Annotated[list[str] | None, typer.Option("--set", help="A setting of the worker: NAME=VALUE.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build"),
) -> None:
    """Score the worker and RapidOCR on the same pictures against their truth."""
    configuration = WorkerConfiguration(alphabet=alphabet, overrides=parse_overrides(setting or []))
    folder = output / "eval"
    dataset = pictures_to_judge(data, count, folder, degradation=degrade, seed=seed)
    judged = _offline(dataset, configuration, url) if url else evaluate(dataset, configuration, folder)
    page = write_report(judged, output)
    typer.echo(f"The report is {page}")


def _offline(dataset: Dataset, configuration: WorkerConfiguration, url: str) -> Evaluation:
    os.environ.update(configuration.overrides)
    chosen = settings.load()
    chosen = chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": url})})
    own = asyncio.run(_read(dataset, chosen))
    description = configuration.describe() | {"way": "by Triton alone", "models": dict(own.models)}
    return Evaluation(dataset, own, None, description)


async def _read(dataset: Dataset, chosen: settings.Settings) -> SystemReading:
    with counted("Labelwire reads", len(dataset.samples)) as advance:
        async with bootstrap.opened_reader(chosen) as reader:
            return await read_offline(dataset, reader, advance)
