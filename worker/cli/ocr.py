"""`labelwire ocr`."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import bootstrap, settings
from worker.domain.result import LabelText
from worker.reporting.explain import explain as explanation
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.reporting.picture import confidence_kind
from worker.reporting.progress import counted

app = typer.Typer(add_completion=False)

_STYLES = {"sure": "green", "doubtful": "yellow", "unsure": "red"}


@app.command()
def ocr(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures to read: image files or PDF.")],
    *,
    url: Annotated[str | None, typer.Option(help="Triton's gRPC address, host:port.", show_default="settings")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON result per line.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Folder for a PNG of each page with boxes and text.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how each page was searched and how long each stage took.")
    ] = False,
) -> None:
    """Read pictures with Triton, without Kafka, and print their text; exit code 1 if one cannot be read."""
    chosen = settings.load()
    if url is not None:
        chosen = chosen.model_copy(update={"triton": chosen.triton.model_copy(update={"url": url})})
    # On a terminal the texts themselves show how far it is.
    show_progress = len(files) > 1 and not sys.stdout.isatty()
    progress = counted("Reading", len(files)) if show_progress else contextlib.nullcontext(lambda: None)
    with progress as advance:
        report = partial(_report, _printer(files, as_json=as_json), advance, explained=explain)
        options = ReadingOptions(timeout_seconds=chosen.runtime.attempt_seconds, draw_into=draw, draw_tiles=explain)
        all_read = asyncio.run(_read(chosen, files, options, report))
    raise typer.Exit(0 if all_read else 1)


async def _read(
    chosen: settings.Settings, files: list[Path], options: ReadingOptions, report: Callable[[FileReading], None]
) -> bool:
    async with bootstrap.open_model_client(chosen) as reader:
        return await read_files(files, reader, report, options)


def _report(
    show: Callable[[Path, LabelText], None], advance: Callable[[], None], reading: FileReading, *, explained: bool
) -> None:
    if reading.result is not None:
        show(reading.path, reading.result)
        if explained:
            # Beside the text, which may go to another program.
            Console(stderr=True).print(explanation(str(reading.path), reading.result, reading.searches))
    for drawing in reading.drawings:
        print(f"The drawing is in {drawing}.", file=sys.stderr)
    if reading.error is not None:
        print(reading.error, file=sys.stderr)
    advance()


def _printer(files: list[Path], *, as_json: bool) -> Callable[[Path, LabelText], None]:
    if as_json:
        return _print_json
    if sys.stdout.isatty():
        return _print_table
    return partial(_print_plain, named=len(files) > 1)


def _print_json(_: Path, result: LabelText) -> None:
    sys.stdout.write(result.to_json().decode() + "\n")
    sys.stdout.flush()


def _print_plain(path: Path, result: LabelText, *, named: bool) -> None:
    if named:
        print(f"==> {path} <==")
    for page in result.pages:
        for line in page.lines:
            print(line.text)


def _print_table(path: Path, result: LabelText) -> None:
    seconds = sum(result.timing_ms.values()) / 1000
    for page in result.pages:
        size = f"{page.width} x {page.height} pixels, {len(page.lines)} lines, {seconds:.2f} s"
        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("", justify="right", style="dim")
        table.add_column("confidence", justify="right")
        table.add_column("text", overflow="fold")
        for line in page.lines:
            style = _STYLES[confidence_kind(line.confidence)]
            table.add_row(str(line.id), Text(f"{line.confidence:.2f}", style=style), Text(line.text))
        Console().print(Text(str(path), style="bold"), Text(size, style="dim"), table, Text(), sep="\n")
