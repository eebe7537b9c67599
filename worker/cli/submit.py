"""`labelwire submit`."""

import itertools
import json
import mimetypes
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from worker import settings
from worker.adapters.kafka.offline.submit import submit as write
from worker.domain.content import JSON_TYPE
from worker.domain.job import MAX_JOB_ID_CHARACTERS
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, OutgoingRecord
from worker.domain.uri import PictureUri

app = typer.Typer(add_completion=False)


@app.command()
def submit(
    files: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="Pictures to read.")] = None,
    uri: Annotated[
        list[str] | None, typer.Option(help="URI of a picture for the workers to fetch; may be repeated.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Topic to write to; without it, the job topic of the settings.")
    ] = None,
) -> None:
    """Send pictures as jobs; the file name, or the URI without its query, is the job id and the key."""
    chosen = settings.load()
    uris = [PictureUri.parse(text) for text in uri or ()]
    if not files and not uris:
        raise typer.BadParameter("Give files, or --uri.")
    target = topic or chosen.topics.jobs
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("submitting", total=len(files or ()) + len(uris))
        count = write(
            chosen.kafka.bootstrap_servers,
            itertools.chain(_of_files(files or (), target), _of_uris(uris, target)),
            chosen.kafka.client_options(),
            on_delivered=lambda: bar.advance(task),
        )
    print(f"{count} {'job is' if count == 1 else 'jobs are'} in {target}.")


def _of_uris(uris: Iterable[PictureUri], topic: str) -> Iterator[OutgoingRecord]:
    for uri in uris:
        job_id = uri.canonical[-MAX_JOB_ID_CHARACTERS:]
        value = json.dumps({"job_id": job_id, "image_uri": uri.original}).encode()
        yield OutgoingRecord(topic, job_id.encode(), value, ((CONTENT_TYPE_HEADER, JSON_TYPE.encode()),))


def _of_files(files: Iterable[Path], topic: str) -> Iterator[OutgoingRecord]:
    for file in files:
        content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = ((CONTENT_TYPE_HEADER, content_type.encode()), (JOB_ID_HEADER, file.name.encode()))
        yield OutgoingRecord(topic, file.name.encode(), file.read_bytes(), headers)
