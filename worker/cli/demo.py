"""`labelwire demo`: labels in, text out, on a real broker and a real Triton."""

import json
from pathlib import Path
from typing import Annotated

import typer

from worker.lab.demo.embedded import demonstrate
from worker.lab.demo.report import figures, write_report

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    data: Annotated[Path | None, typer.Option(help="A folder of pictures; without it labels are drawn.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many pictures; 24 labels if they are drawn.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build/demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's figures instead of its path.")] = False,
) -> None:
    """Start Kafka and Triton, read labels through them with a worker, and write a report to look at."""
    run = demonstrate(data, count, output)
    page = write_report(run, output)
    typer.echo(json.dumps(figures(run), indent=2) if as_json else f"The report is {page}")
    raise typer.Exit(0 if run.succeeded else 1)
