"""`labelwire bench`: throughput of the worker, compared with a plain consumer around RapidOCR."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from worker.domain.errors import SettingsError
from worker.lab import stack
from worker.lab.bench.embedded import REPEAT, ROUNDS, BenchPlan, measure
from worker.lab.bench.large_embedded import LargePlan
from worker.lab.bench.large_embedded import measure as measure_large
from worker.lab.bench.large_report import write_report as write_large
from worker.lab.bench.open_loop_embedded import OpenLoopPlan
from worker.lab.bench.open_loop_embedded import measure as measure_open_loop
from worker.lab.bench.open_loop_report import write_report as write_open_loop
from worker.lab.bench.report import write_report
from worker.lab.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.lab.evaluation.dataset import Dataset

_ROUNDS_OF_OTHER_MODES = 3

app = typer.Typer(add_completion=False)


class DrawnPictures(StrEnum):
    """What is drawn where no folder is given."""

    LABELS = "labels"
    PHOTOS = "photos"


@app.command()
def bench(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with pictures; without it, synthetic labels are drawn.")
    ] = None,
    on: Annotated[
        DrawnPictures | None,
        typer.Option(
            "--on", help="Pictures to draw: labels of about 2 megapixels (default), or photos of 12 megapixels of them."
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Use only the first COUNT pictures.")] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help=f"Rounds per system; by default {ROUNDS}, in other modes {_ROUNDS_OF_OTHER_MODES}."),
    ] = None,
    repeat: Annotated[
        int, typer.Option(min=1, help="Copies of each picture in the backlog of the worker and of the bare models.")
    ] = REPEAT,
    open_loop: Annotated[
        bool,
        typer.Option("--open-loop", help="Measure latency instead: do large and damaged pictures delay small ones?"),
    ] = False,
    seconds: Annotated[float, typer.Option(min=5, help="Duration of each open-loop run.")] = 60,
    large: Annotated[
        bool,
        typer.Option(
            "--large",
            help="Measure large pictures instead: time, recall and memory, compared with their pieces one by one.",
        ),
    ] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the worker, NAME=VALUE; may be repeated.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build"),
) -> None:
    """Measure throughput against RapidOCR: same broker, same cores, same pictures, interleaved rounds."""
    configuration = WorkerConfiguration(overrides=parse_overrides(setting or []))
    folder = output / "bench"
    if open_loop:
        measured = measure_open_loop(OpenLoopPlan(configuration, rounds or _ROUNDS_OF_OTHER_MODES, seconds), folder)
        typer.echo(f"The report is {write_open_loop(measured, output)}")
        return
    if large:
        large_plan = LargePlan(configuration, rounds or _ROUNDS_OF_OTHER_MODES)
        typer.echo(f"The report is {write_large(measure_large(large_plan, data, folder), output)}")
        return
    plan = BenchPlan(_pictures(data, on, count, folder), configuration, rounds or ROUNDS, repeat)
    page = write_report(measure(plan, folder), output)
    typer.echo(f"The report is {page}")


def _pictures(data: Path | None, on: DrawnPictures | None, count: int | None, folder: Path) -> Dataset:
    if data is not None and on is not None:
        raise SettingsError(f"--data {data} names the pictures, so --on {on} cannot draw others; give one of the two.")
    return stack.photos(count, folder) if on is DrawnPictures.PHOTOS else stack.pictures(data, count, folder)
