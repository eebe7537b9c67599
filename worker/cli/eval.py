"""`labelwire eval`: how well the worker reads, beside RapidOCR."""

from pathlib import Path
from typing import Annotated

import typer

from worker.evaluation.configuration import WorkerConfiguration, parse_overrides
from worker.evaluation.report import write_report
from worker.laboratory.evaluation import evaluate
from worker.laboratory.stack import pictures

app = typer.Typer(add_completion=False)


@app.command(name="eval")
def evaluation(
    *,
    data: Annotated[
        Path | None, typer.Option(help="A folder with pictures and truth.jsonl; else labels are drawn.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only the first pictures.")] = None,
    alphabet: Annotated[str, typer.Option(help="full, latin, or a file with the characters to keep.")] = "full",
    setting: Annotated[list[str] | None, typer.Option("--set", help="A setting of the worker: NAME=VALUE.")] = None,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build"),
) -> None:
    """Score the worker and RapidOCR on the same pictures against their truth."""
    configuration = WorkerConfiguration(alphabet=alphabet, overrides=parse_overrides(setting or []))
    folder = output / "eval"
    page = write_report(evaluate(pictures(data, count, folder), configuration, folder), output)
    typer.echo(f"The report is {page}")
