"""`labelwire synth`: write seeded synthetic labels with exact truth."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.synth import Degradation, write_dataset

_PLAIN_STEPS = 10

app = typer.Typer(add_completion=False)


@app.command()
def synth(
    *,
    output: Annotated[Path, typer.Option(help="the folder to write images/ and truth.jsonl to")],
    count: Annotated[int, typer.Option(min=1, help="how many labels")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="the series; the same seed gives the same labels")] = 1,
    degrade: Annotated[Literal["none", "mild", "strong"], typer.Option(help="how bad the photographs are")] = "mild",
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object instead of sentences")] = False,
) -> None:
    """Write synthetic shipping labels with exact truth."""
    console = Console(stderr=True)
    with _progress(console) as bar:
        task = bar.add_task("labels", total=count)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done)
            if not console.is_terminal and not as_json and _is_step(done, total):
                typer.echo(f"{done} of {total} labels", err=True)

        truth = write_dataset(output, count, seed, degradation=Degradation(degrade), progress=report)
    if as_json:
        typer.echo(json.dumps({"labels": count, "seed": seed, "degrade": degrade, "truth": str(truth)}))
    else:
        typer.echo(f"{count} labels of seed {seed} are in {output}; their truth is {truth}.")


def _is_step(done: int, total: int) -> bool:
    """Return whether this label completes one more tenth of the work."""
    return done * _PLAIN_STEPS // total > (done - 1) * _PLAIN_STEPS // total


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
