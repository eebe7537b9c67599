"""`labelwire models export-data`: the way from the topics back to training."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from worker import bootstrap, settings
from worker.adapters.blob.store import UriStore
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.record_fetcher import RecordFetcher
from worker.cli import missing_package
from worker.domain.errors import LabelwireError
from worker.domain.records import Record
from worker.reporting.formats import printable, quantity
from worker.reporting.progress import counted, reaching
from worker.training.consent import DEFAULT_HEADER, Consent
from worker.training.counts import TrainingCounts
from worker.training.export import ExportOrder, TrainingExport
from worker.training.figures import TrainingFigures
from worker.training.manifest import TrainingKind, TrainingManifest
from worker.training.records import JobLookup, JobPictures, TrainingRecords
from worker.training.result_files import ResultFiles
from worker.training.split import Split, SplitBy, Splitter

_LIMIT = 1000


def export_data(  # noqa: PLR0913 - each option is a parameter
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write to: new or empty, unless --resume is given.")
    ],
    *,
    results: Annotated[bool, typer.Option("--results", help="Export results: pictures and lines to train on.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Export doubtful lines of results, for review.")] = False,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Export pictures of dead letters, for review.")
    ] = False,
    consent_header: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Only records with this header may be kept; it is the producer's.",
            show_default=DEFAULT_HEADER,
        ),
    ] = None,
    consent_granted: Annotated[
        bool, typer.Option("--consent-granted", help="Say that all records may be kept for training.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Read this folder of pictures and of results that `labelwire ocr --json` printed; no Kafka."),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="A line is a label from this confidence on, and doubtful below it.")
    ] = 0.9,
    limit: Annotated[
        int, typer.Option(min=1, help="At most this many records of each kind, spread over time, keys and confidence.")
    ] = _LIMIT,
    split: Annotated[str, typer.Option(help="Percentages for training, validation and test.")] = "80/10/10",
    split_by: Annotated[
        SplitBy, typer.Option(help="What stays in one split: a picture, or all pictures of a record key.")
    ] = SplitBy.CONTENT,
    seed: Annotated[int, typer.Option(help="Decides splits and samples.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the export that this folder holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Export results, doubtful lines and dead letters as training data for PaddleOCR and docTR.

    Pictures are customers' data: a record is only written if its consent header, or --consent-granted, allows it.
    """
    asked = {TrainingKind.RESULTS: results, TrainingKind.LINES: lines, TrainingKind.DEAD_LETTERS: dead_letters}
    kinds = [kind for kind, is_asked in asked.items() if is_asked]
    if not kinds:
        raise LabelwireError("Nothing is named to export: give --results, --lines or --dead-letters, or several.")
    consent = Consent.parse(consent_header, granted=consent_granted)
    if data is not None and dead_letters:
        raise LabelwireError("--data is a folder of results, which holds no dead letters: leave out one of the two.")
    if data is not None and not consent_granted:
        raise LabelwireError(
            "The files of --data have no headers to carry a consent: give --consent-granted if they may be kept."
        )
    chosen = settings.load()
    splitter = Splitter.parse(split, seed, split_by)
    order = ExportOrder(kinds, consent, splitter, min_confidence, limit, bootstrap.image_limits(chosen))
    write_lists = _lists_writer()
    with TrainingManifest.opened(folder, order.saved, resume=resume) as manifest, ExitStack() as resources:
        records = _of_files(data, resources, chosen) if data else _of_topics(chosen, kinds, resources)
        counts = TrainingExport(order, records, manifest).run(counted)
        figures = write_lists(manifest) if manifest.records else None
    raise typer.Exit(_summarize(counts, figures, folder, order, as_json=as_json))


def _lists_writer() -> Callable[[TrainingManifest], TrainingFigures]:
    """Return what writes the lists. Raises LabelwireError before anything is written if its package is missing."""
    try:
        from worker.training.lists import write_lists  # noqa: PLC0415 - a pod in production has no jinja2
    except ModuleNotFoundError as error:
        raise LabelwireError(missing_package(error.name or "")) from error
    return write_lists


def _of_topics(chosen: settings.Settings, kinds: list[TrainingKind], resources: ExitStack) -> TrainingRecords:
    """Return the records of the settings' topics, up to where they end now."""
    kafka, topics = chosen.kafka, chosen.topics
    fetcher = resources.enter_context(RecordFetcher(kafka.bootstrap_servers, kafka.client_options()))
    readers: dict[str, BoundedReader] = {}
    wanted = {
        topics.dead_letters: TrainingKind.DEAD_LETTERS in kinds,
        topics.results: kinds != [TrainingKind.DEAD_LETTERS],
    }
    for topic, is_wanted in wanted.items():
        if is_wanted:
            readers[topic] = resources.enter_context(
                BoundedReader(kafka.bootstrap_servers, [topic], kafka.client_options())
            )
    return TrainingRecords(
        results=_read(readers.get(topics.results), f"Reading {topics.results}"),
        letters=_read(readers.get(topics.dead_letters), f"Reading {topics.dead_letters}"),
        fetch=fetcher.fetch,
        job_of=JobLookup(fetcher.fetch).of,
        picture_of=_pictures(chosen, resources).of,
    )


def _of_files(data: Path, resources: ExitStack, chosen: settings.Settings) -> TrainingRecords:
    files = ResultFiles.read(data)
    pictures = _pictures(chosen, resources)
    return TrainingRecords(files.results.values(), (), files.fetch, files.job_of, pictures.of)


def _pictures(chosen: settings.Settings, resources: ExitStack) -> JobPictures:
    store = UriStore(chosen.blob)
    runner = resources.enter_context(asyncio.Runner())
    resources.callback(lambda: runner.run(store.close()))
    return JobPictures(store, runner)


def _read(reader: BoundedReader | None, what: str) -> Iterator[Record]:
    if reader is None:
        return
    with reaching(what, reader.total) as reached:
        for record in reader:
            reached(reader.passed)
            yield record


def _summarize(
    counts: TrainingCounts, figures: TrainingFigures | None, folder: Path, order: ExportOrder, *, as_json: bool
) -> int:
    """Print what was exported and what was not, and return the exit code: 1 if there is nothing."""
    document = counts.document()
    if as_json:
        print(json.dumps({"folder": str(folder), **_totals(figures), "kinds": document}, indent=2))
    else:
        for kind in order.kinds:
            print(_sentence(kind, document[kind.value]))
    for sentence in counts.sentences:
        print(printable(sentence), file=sys.stderr)
    if figures is None:
        print("No record may be exported, so nothing was written: the counts above say why.", file=sys.stderr)
        return 1
    if not as_json:
        print(f"The export is in {folder}; its README.md has the commands from here to a model.")
    if figures.pictures.total() and not figures.pictures[Split.VALIDATION]:
        print("No picture is in the split for validation, and training needs some: export more.", file=sys.stderr)
    return 0


def _totals(figures: TrainingFigures | None) -> dict[str, object]:
    if figures is None:
        return {"pictures": {}, "lines": {}}
    return {
        "pictures": {split.value: figures.pictures[split] for split in Split},
        "lines": {split.value: figures.lines[split] for split in Split},
        "review_lines": figures.review_lines,
        "review_pictures": figures.review_pictures,
    }


def _sentence(kind: TrainingKind, counted_records: dict[str, object]) -> str:
    reasons = counted_records["skipped"]
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) if isinstance(reasons, dict) else ""
    before = f", {counted_records['present']} were there already" if counted_records["present"] else ""
    left_out = f"; left out: {said}" if said else ""
    return f"{kind.value}: {quantity(int(str(counted_records['written'])), 'record')} written{before}{left_out}."
