"""`labelwire submit`."""

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from worker import settings
from worker.adapters.kafka.tools import submit as write
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, OutgoingRecord

app = typer.Typer(add_completion=False)


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Pictures to read.")],
    topic: Annotated[str | None, typer.Option(help="Topic to write to; without it that of the settings.")] = None,
) -> None:
    """Send pictures as jobs, each with its file name as job id and key."""
    chosen = settings.load()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("submitting", total=len(files))
        count = write(
            chosen.kafka.bootstrap_servers,
            _records(files, topic or chosen.topics.jobs),
            chosen.kafka.client_options(),
            on_delivered=lambda: bar.advance(task),
        )
    print(f"{count} jobs are in {topic or chosen.topics.jobs}.")


def _records(files: list[Path], topic: str) -> Iterator[OutgoingRecord]:
    for file in files:
        content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = ((CONTENT_TYPE_HEADER, content_type.encode()), (JOB_ID_HEADER, file.name.encode()))
        yield OutgoingRecord(topic, file.name.encode(), file.read_bytes(), headers)
