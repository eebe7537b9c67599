"""`labelwire dlq`: what ended on the dead-letter topic."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.adapters.clock import SystemClock
from worker.cli.dlq_filters import (
    AsJson,
    Codes,
    Fingerprints,
    HeaderValues,
    Keys,
    Limit,
    NewerThan,
    OlderThan,
    Stages,
    TopicName,
    filters_of,
)
from worker.cli.dlq_output import listed, show_found, show_statistics, summarize, write_page
from worker.cli.dlq_replay import replay
from worker.dlq.filters import parse_filters
from worker.dlq.inspect.export import export as write_files
from worker.dlq.inspect.files import save_new
from worker.dlq.inspect.listing import list_rows, select_letters
from worker.dlq.inspect.picture import draw_picture
from worker.dlq.inspect.statistics import ErrorOccurrence, Statistics
from worker.dlq.topic import DeadLetterTopic
from worker.domain.errors import LabelwireError
from worker.reporting.progress import reaching

app = typer.Typer(help="List, show, count, export and replay dead letters.", no_args_is_help=True, add_completion=False)
_READING = "Reading dead letters"


@app.command(name="ls")
def list_letters(
    *,
    codes: Codes = None,
    stages: Stages = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    keys: Keys = None,
    headers: HeaderValues = None,
    fingerprints: Fingerprints = None,
    limit: Limit = None,
    topic: TopicName = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, one per line, newest last."""
    selection = parse_filters(filters_of(codes, stages, older_than, newer_than, keys, headers, fingerprints, limit))
    letters = _topic(topic)
    with letters.reader() as reader, listed(_READING, reader.total, letters.name, as_json=as_json) as (show, reached):
        for row in list_rows(reader, selection, SystemClock().epoch_ms(), reached):
            show(row)


@app.command()
def show(
    letter: Annotated[
        str, typer.Argument(metavar="LETTER", help="Its coordinate (topic/partition/offset), its id, or its job's id.")
    ],
    *,
    with_values: Annotated[bool, typer.Option("--headers", help="Show the producer's key and header values.")] = False,
    save: Annotated[Path | None, typer.Option(help="Save the payload to this new file, byte for byte.")] = None,
    draw: Annotated[Path | None, typer.Option(help="Save the decoded picture to this new PNG file.")] = None,
    topic: TopicName = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter in full, and save its payload or draw its picture."""
    found = _topic(topic).find(letter, with_job=bool(save or draw), progress=partial(reaching, _READING))
    show_found(found, with_values=with_values, as_json=as_json)
    if not (save or draw):
        return
    if found.job is None:
        raise LabelwireError(found.missing or "")
    if save:
        save_new(save, found.job.value or b"")
        print(f"The payload is saved in {save}.", file=sys.stderr)
    if draw:
        save_new(draw, draw_picture(found.letter, found.job, bootstrap.image_limits(settings.load())))
        print(f"The picture is saved in {draw}.", file=sys.stderr)


@app.command()
def stats(  # noqa: PLR0913 - each option is a parameter
    *,
    html: Annotated[Path | None, typer.Option(help="Also write an HTML report with a plot to this file.")] = None,
    codes: Codes = None,
    stages: Stages = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    keys: Keys = None,
    headers: HeaderValues = None,
    fingerprints: Fingerprints = None,
    limit: Limit = None,
    topic: TopicName = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by code, stage and fingerprint, and over time."""
    filters = filters_of(codes, stages, older_than, newer_than, keys, headers, fingerprints, limit)
    selection, letters, statistics = parse_filters(filters), _topic(topic), Statistics()
    with letters.reader() as reader, reaching(_READING, reader.total) as reached:
        for letter in select_letters(reader, selection, SystemClock().epoch_ms(), reached):
            statistics.add(ErrorOccurrence.of(letter))
    show_statistics(statistics, letters.name, as_json=as_json)
    if html is not None:
        print(f"The report is {write_page(statistics, letters.name, filters, html)}", file=sys.stderr)


@app.command()
def export(  # noqa: PLR0913 - as above
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write to: new or empty, unless --resume is given.")
    ],
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the export that this folder holds.")] = False,
    codes: Codes = None,
    stages: Stages = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    keys: Keys = None,
    headers: HeaderValues = None,
    fingerprints: Fingerprints = None,
    limit: Limit = None,
    topic: TopicName = None,
    as_json: AsJson = False,
) -> None:
    """Export dead letters to files: payload, headers and error of each, and a manifest."""
    selection = parse_filters(filters_of(codes, stages, older_than, newer_than, keys, headers, fingerprints, limit))
    letters = _topic(topic)
    with letters.reader() as reader, letters.fetcher() as fetcher, reaching("Exporting", reader.total) as reached:
        chosen = select_letters(reader, selection, SystemClock().epoch_ms(), reached)
        exported = write_files(chosen, folder, fetcher.fetch, resume=resume)
    raise typer.Exit(summarize(exported, folder, letters.name, as_json=as_json))


app.command()(replay)


def _topic(name: str | None) -> DeadLetterTopic:
    chosen = settings.load()
    return DeadLetterTopic(chosen.kafka, name or chosen.topics.dead_letters)
