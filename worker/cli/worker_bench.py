"""`labelwire worker-bench`: what a worker costs by itself, and how long a job takes."""

from pathlib import Path
from typing import Annotated

import typer

from worker.lab.bench.ceiling.embedded import BACKLOGS, CeilingPlan
from worker.lab.bench.ceiling.embedded import measure as measure_ceiling
from worker.lab.bench.ceiling.report import write_report as write_ceiling
from worker.lab.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.lab.stack import pictures

app = typer.Typer(no_args_is_help=True, add_completion=False)

Data = Annotated[Path | None, typer.Option(help="Folder with pictures; without it, synthetic labels are drawn.")]
Count = Annotated[int | None, typer.Option(min=1, help="Use only the first COUNT pictures.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="Setting of the worker, NAME=VALUE; may be repeated.")]
Output = Annotated[Path, typer.Option(help="Folder for the report.")]


@app.callback()
def _group() -> None:
    """Measure one worker: its own cost, the time of a job, and where both go."""


@app.command()
def ceiling(
    *,
    data: Data = None,
    count: Count = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the shortest backlog.")] = 3,
    backlog: Annotated[
        list[int] | None,
        typer.Option(min=1, help=f"Jobs in a backlog; may be repeated ({', '.join(map(str, BACKLOGS))} if not given)."),
    ] = None,
    setting: Setting = None,
    output: Output = Path("build"),
) -> None:
    """Measure the worker's own CPU and memory, against a recording of the models in another process.

    The pictures of --data come first, then synthetic labels, and photos of 12 megapixels of them.
    """
    folder = output / "bench"
    dataset = None if data is None else pictures(data, count, folder)
    plan = CeilingPlan(_configuration(setting), dataset, rounds, tuple(backlog or BACKLOGS))
    typer.echo(f"The report is {write_ceiling(measure_ceiling(plan, folder), output)}")


def _configuration(setting: list[str] | None) -> WorkerConfiguration:
    return WorkerConfiguration(overrides=parse_overrides(setting or []))
