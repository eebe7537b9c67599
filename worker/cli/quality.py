"""`python -m worker.cli.quality`: calibrates the quality gate. For who changes the measures or the models."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.evaluation.quality_readings import SampleReading, read_samples
from worker.evaluation.quality_samples import plan
from worker.reporting.progress import counted

app = typer.Typer(add_completion=False)


@app.command()
def quality(
    *,
    url: Annotated[str, typer.Option(help="The Triton that reads (gRPC, host:port).")],
    labels: Annotated[int, typer.Option(min=1, help="Labels for each degradation and amount, of both series.")] = 1,
    output: Annotated[Path, typer.Option(help="Where the report and the readings go.")] = Path("build"),
) -> None:
    """Read degraded labels, fit the score's curves, and report how well the score foretells what is read."""
    readings = asyncio.run(_read(url, labels, output / "quality" / "readings.jsonl"))
    typer.echo(str(len(readings)))


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


if __name__ == "__main__":
    app()
