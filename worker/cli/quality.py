"""`python -m worker.cli.quality`: calibrates the quality gate. For who changes the measures or the models."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.domain.errors import LabelwireError
from worker.evaluation.quality_readings import SampleReading, load_readings, read_samples
from worker.evaluation.quality_report import write_report
from worker.evaluation.quality_samples import plan
from worker.reporting.progress import counted

app = typer.Typer(add_completion=False)


@app.command()
def quality(
    *,
    url: Annotated[
        str | None, typer.Option(help="The Triton that reads (gRPC, host:port); else what was read before is fitted.")
    ] = None,
    labels: Annotated[int, typer.Option(min=1, help="Labels for each degradation and amount, of both series.")] = 1,
    output: Annotated[Path, typer.Option(help="Where the report and the readings go.")] = Path("build"),
) -> None:
    """Read degraded labels, fit the score's curves, and report how well the score foretells what is read."""
    kept = output / "quality" / "readings.jsonl"
    readings = asyncio.run(_read(url, labels, kept)) if url else load_readings(kept)
    floor = settings.load().quality.floor
    typer.echo(f"The report is {write_report(readings, floor, output)}")


async def _read(url: str, labels: int, path: Path) -> list[SampleReading]:
    chosen = settings.load()
    sections = {
        "triton": chosen.triton.model_copy(update={"url": url}),
        "quality": chosen.quality.model_copy(update={"mode": "flag"}),
        # Every label as a whole, so that all are measured alike.
        "pipeline": chosen.pipeline.model_copy(update={"tiled_from_pixels": chosen.limits.max_image_pixels}),
    }
    chosen = chosen.model_copy(update=sections)
    samples = list(plan(labels))
    with counted("Labels read", len(samples)) as advance:
        async with bootstrap.opened_reader(chosen) as reader:
            return await read_samples(samples, reader, path, advance)


def main() -> None:
    """Run the command; an error is one sentence."""
    try:
        app()
    except LabelwireError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
