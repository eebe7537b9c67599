"""`labelwire bench`: throughput of the worker, compared with a plain consumer around RapidOCR."""

from pathlib import Path
from typing import Annotated

import typer

from worker.lab.bench.embedded import BenchPlan, measure
from worker.lab.bench.large_embedded import LargePlan
from worker.lab.bench.large_embedded import measure as measure_large
from worker.lab.bench.large_report import write_report as write_large
from worker.lab.bench.open_loop_embedded import OpenLoopPlan
from worker.lab.bench.open_loop_embedded import measure as measure_open_loop
from worker.lab.bench.open_loop_report import write_report as write_open_loop
from worker.lab.bench.report import write_report
from worker.lab.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.lab.stack import pictures

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with pictures; without it, synthetic labels are drawn.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Use only the first COUNT pictures.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per system.")] = 3,
    repeat: Annotated[
        int, typer.Option(min=1, help="Copies of each picture in the backlog of the worker and of the bare models.")
    ] = 1,
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
        measured = measure_open_loop(OpenLoopPlan(configuration, rounds, seconds), folder)
        typer.echo(f"The report is {write_open_loop(measured, output)}")
        return
    if large:
        typer.echo(
            f"The report is {write_large(measure_large(LargePlan(configuration, rounds), data, folder), output)}"
        )
        return
    plan = BenchPlan(pictures(data, count, folder), configuration, rounds, repeat)
    page = write_report(measure(plan, folder), output)
    typer.echo(f"The report is {page}")
