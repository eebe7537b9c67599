"""`labelwire bench`: how fast the worker is, beside what a user would build without it."""

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
    data: Annotated[Path | None, typer.Option(help="A folder of pictures; without it labels are drawn.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only the first pictures.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everybody has a turn.")] = 3,
    repeat: Annotated[
        int, typer.Option(min=1, help="How often each picture is in the worker's and the bare models' backlog.")
    ] = 1,
    open_loop: Annotated[
        bool,
        typer.Option("--open-loop", help="Measure latency instead: do large and broken pictures delay small ones?"),
    ] = False,
    seconds: Annotated[float, typer.Option(min=5, help="How long each run of the open loop lasts.")] = 60,
    large: Annotated[
        bool,
        typer.Option("--large", help="Measure large pictures instead: time, recall and memory beside their pieces."),
    ] = False,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A setting of the worker: NAME=VALUE.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build"),
) -> None:
    """Measure throughput on one broker, the same cores and the same pictures, in interleaved rounds."""
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
