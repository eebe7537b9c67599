"""`labelwire synth`: write seeded synthetic labels, or huge pictures made of small ones, with exact truth."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.cli.picture_options import DEGRADATIONS, parse_degradations, parse_size
from worker.domain.errors import SettingsError
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import write_dataset
from worker.lab.synth.held_out import HELD_OUT
from worker.lab.synth.layouts import LAYOUTS
from worker.lab.synth.mosaic import write_mosaic, write_sparse

_PLAIN_STEPS = 10

app = typer.Typer(add_completion=False)


@app.command()
def synth(
    *,
    output: Annotated[Path, typer.Option(help="Folder to write images/ and truth.jsonl to.")],
    count: Annotated[int, typer.Option(min=1, help="Number of labels.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same seed gives the same labels.")] = 1,
    degrade: Annotated[
        str, typer.Option(metavar="KIND", help=f"Degradation of the labels, all for each in turn: {DEGRADATIONS}.")
    ] = Degradation.MILD.value,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Draw the held-out layouts, which nothing is tuned on.")
    ] = False,
    mosaic: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Write one huge picture instead, made of the pictures in --from."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with pictures and truth.jsonl, for --mosaic.")
    ] = None,
    pieces: Annotated[
        int | None, typer.Option(min=1, help="Number of pieces of text on an empty ground, instead of a full mosaic.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a sentence.")] = False,
) -> None:
    """Draw synthetic shipping labels with their true text, or a mosaic of labeled pictures."""
    if mosaic is not None:
        size = f"{mosaic} pixels"
        with _reporting("pieces", quiet=as_json) as report:
            truth = _mosaic(output, mosaic, source, pieces, seed, report)
        said: dict[str, Any] = {"mosaic": mosaic, "seed": seed, "truth": str(truth)}
        sentence = f"A picture of {size} is in {output}; its truth is {truth}."
    else:
        kinds = parse_degradations(degrade)
        layouts = HELD_OUT if held_out else LAYOUTS
        with _reporting("labels", quiet=as_json) as report:
            truth = write_dataset(output, count, seed, degradation=kinds, layouts=layouts, progress=report)
        said = {"labels": count, "seed": seed, "degrade": degrade, "truth": str(truth)}
        sentence = f"{count} labels of seed {seed} are in {output}; their truth is {truth}."
    typer.echo(json.dumps(said) if as_json else sentence)


def _mosaic(
    output: Path, mosaic: str, source: Path | None, pieces: int | None, seed: int, report: Callable[[int, int], None]
) -> Path:
    width, height = parse_size(mosaic)
    if source is None:
        raise SettingsError("A mosaic is made of pictures; give --from a folder with pictures and truth.jsonl.")
    if pieces is None:
        return write_mosaic(source, output, width, height, seed, progress=report)
    return write_sparse(source, output, width, height, pieces, seed, progress=report)


@contextmanager
def _reporting(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give what takes the things done and the things to do: a bar on a terminal, a line a tenth elsewhere."""
    console = Console(stderr=True)
    with _progress(console) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and not quiet and _is_step(done, total):
                typer.echo(f"{done} of {total} {what}", err=True)

        yield report


def _is_step(done: int, total: int) -> bool:
    """Return whether this one completes one more tenth of the work."""
    return done * _PLAIN_STEPS // total > (done - 1) * _PLAIN_STEPS // total


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
