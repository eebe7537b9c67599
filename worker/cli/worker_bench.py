"""`labelwire worker-bench`: what a worker costs by itself, and how long a job takes."""

from pathlib import Path
from typing import Annotated

import typer

from worker.lab.bench.ceiling.embedded import BACKLOGS, CeilingPlan
from worker.lab.bench.ceiling.embedded import measure as measure_ceiling
from worker.lab.bench.ceiling.report import write_report as write_ceiling
from worker.lab.bench.latency.embedded import BACKLOGS as LATENCY_BACKLOGS
from worker.lab.bench.latency.embedded import LatencyPlan
from worker.lab.bench.latency.embedded import measure as measure_latency
from worker.lab.bench.latency.report import write_report as write_latency
from worker.lab.bench.profile.embedded import ProfilePlan
from worker.lab.bench.profile.embedded import measure as measure_profile
from worker.lab.bench.profile.report import write_report as write_profile
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


@app.command()
def latency(
    *,
    data: Data = None,
    count: Count = None,
    alone: Annotated[int, typer.Option(min=1, help="Jobs that are read one by one in an idle system.")] = 96,
    backlog: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help=f"Jobs in a backlog; may be repeated ({', '.join(map(str, LATENCY_BACKLOGS))} if not given)."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="Duration of the open loop at each load; 0 leaves the open loops out.")
    ] = 60,
    setting: Setting = None,
    output: Output = Path("build"),
) -> None:
    """Measure how long a job takes: alone, behind a backlog, and as jobs come at random at 25 to 90 % of the capacity.

    The capacity is the throughput of the longest backlog.
    """
    folder = output / "bench"
    plan = LatencyPlan(
        dataset=pictures(data, count, folder),
        configuration=_configuration(setting),
        alone=alone,
        backlogs=tuple(backlog or LATENCY_BACKLOGS),
        seconds=seconds,
    )
    typer.echo(f"The report is {write_latency(measure_latency(plan, folder), output)}")


@app.command()
def profile(
    *,
    data: Data = None,
    count: Count = None,
    seconds: Annotated[int, typer.Option(min=1, help="Duration of each of the two samplings.")] = 20,
    setting: Setting = None,
    output: Output = Path("build"),
) -> None:
    """Show where the worker's own CPU goes: by thread, by part of the worker, and as a flame graph.

    The worker runs at full load against a recording of the models. Sampling another process needs root, or a kernel
    that lets this user trace it.
    """
    plan = ProfilePlan(pictures(data, count, output / "bench"), _configuration(setting), seconds)
    typer.echo(f"The report is {write_profile(measure_profile(plan, output / 'bench'), output)}")


def _configuration(setting: list[str] | None) -> WorkerConfiguration:
    return WorkerConfiguration(overrides=parse_overrides(setting or []))
