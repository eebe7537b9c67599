"""`labelwire doctor`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import bootstrap, settings
from worker.doctor.examine import Examination, examine
from worker.doctor.findings import ExaminedModel
from worker.reporting.explain import explain

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    *,
    url: Annotated[str | None, typer.Option(help="Triton's gRPC address, host:port.", show_default="settings")] = None,
) -> None:
    """Examine Triton's models: what each should be and is, where the time goes; exit code 1 on a broken promise."""
    chosen = settings.load()
    if url is not None:
        chosen = chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": url})})
    found = asyncio.run(_examine(chosen))
    _show(Console(), found)
    raise typer.Exit(0 if found.is_healthy else 1)


async def _examine(chosen: settings.Settings) -> Examination:
    backend = bootstrap.triton_backend(chosen)
    try:
        async with bootstrap.open_model_client(chosen, backend) as reader:
            return await examine(backend, reader, chosen.triton)
    finally:
        await backend.close()


def _show(console: Console, found: Examination) -> None:
    if found.models:
        console.print(_table(found), Text())
    if found.result is not None and found.seconds is not None:
        console.print(explain(f"golden page, alone: {found.seconds * 1000:.0f} ms", found.result, found.searches))
        console.print()
    for number, finding in enumerate(found.findings, start=1):
        weight = (
            Text("broken promise", style="bold red") if finding.is_broken else Text(f"{finding.cost:.0%} of the time")
        )
        console.print(Text.assemble(f"{number}. ", weight, f": {finding.what}."))
        console.print(Text(f"   → {finding.remedy}."))
    if not found.findings:
        console.print(Text("Nothing was found.", style="green"))


def _table(found: Examination) -> Table:
    whole = sum(model.times.copied + model.times.computed for model in found.models if not model.serving.members)
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("model", "backend", "device", "precision"):
        table.add_column(column)
    for column in ("instances", "largest batch", "items a batch", "ms waiting", "ms copying", "ms computing", "of all"):
        table.add_column(column, justify="right")
    for model in found.models:
        table.add_row(*_row(model, whole))
    return table


def _row(model: ExaminedModel, whole_seconds: float) -> tuple[str, ...]:
    serving, times = model.serving, model.times
    if serving.members:
        return (
            serving.model,
            " → ".join(serving.members),
            "",
            model.manifest.precision,
            "",
            str(serving.max_batch_size),
        )
    return (
        serving.model,
        serving.backend,
        ", ".join(sorted(serving.devices)),
        model.manifest.precision,
        str(serving.instances),
        str(serving.max_batch_size),
        f"{times.items / times.executions:.1f}" if times.executions else "",
        f"{times.queued / times.requests * 1000:.1f}" if times.requests else "",
        f"{times.copied / times.executions * 1000:.1f}" if times.executions else "",
        f"{times.computed / times.executions * 1000:.1f}" if times.executions else "",
        f"{(times.copied + times.computed) / whole_seconds:.0%}" if whole_seconds else "",
    )
