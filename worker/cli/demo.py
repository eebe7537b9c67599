"""`labelwire demo`: labels in, text out, on a real broker and a real Triton."""

import json
from pathlib import Path
from typing import Annotated

import typer

from worker.lab.demo.embedded import run_embedded_demo
from worker.lab.demo.report import figures, write_report

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with pictures; without it, synthetic labels are drawn.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Number of pictures; 24 if labels are drawn.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build/demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures of the report as JSON.")] = False,
) -> None:
    """Start Kafka, Triton and a worker, read labels, and write a report with pictures and text."""
    run = run_embedded_demo(data, count, output)
    page = write_report(run, output)
    typer.echo(json.dumps(figures(run), indent=2) if as_json else f"The report is {page}")
    raise typer.Exit(0 if run.succeeded else 1)
