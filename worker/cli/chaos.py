"""`labelwire chaos`: load under injected faults, then the audit."""

import json
import secrets
from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.lab.chaos.embedded import run_embedded_chaos
from worker.lab.chaos.report import figures, sentences, write_report
from worker.lab.chaos.run import ChaosPlan
from worker.lab.chaos.schedule import FaultKind

app = typer.Typer(add_completion=False)


@app.command()
def chaos(
    *,
    duration: Annotated[float, typer.Option(min=10, help="Seconds of load and faults.")] = 120,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the faults; the same seed gives the same faults.")
    ] = None,
    delivery: Annotated[
        Literal["at-least-once", "exactly-once"], typer.Option(help="Delivery guarantee of the workers.")
    ] = "at-least-once",
    workers: Annotated[int, typer.Option(min=1, help="Number of workers; a worker that ends is started again.")] = 2,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Jobs per second; without it, half of what the workers can do.")
    ] = None,
    only: Annotated[list[FaultKind] | None, typer.Option(help="Use only this kind of fault; may be repeated.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Kill, stall and disconnect workers, Triton and Kafka under load, then check that no job was lost."""
    plan = ChaosPlan(
        seed=secrets.randbelow(10**6) if seed is None else seed,
        duration_seconds=duration,
        kinds=tuple(only or FaultKind),
        delivery=delivery,
        workers=workers,
        jobs_per_second=rate,
    )
    typer.echo(f"Seed {plan.seed}; again: {plan.command}", err=True)
    run = run_embedded_chaos(plan, output / "chaos", _say)
    page = write_report(run, output)
    if as_json:
        typer.echo(json.dumps(figures(run), indent=2))
    else:
        for sentence in sentences(run):
            typer.echo(sentence)
        typer.echo(f"The report is {page}")
    raise typer.Exit(1 if run.shortcomings else 0)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)
