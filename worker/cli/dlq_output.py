"""What the commands of `labelwire dlq` print."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from worker.dlq.filters import Filters
from worker.dlq.inspect.export import MANIFEST, ExportResult
from worker.dlq.inspect.listing import COLUMNS, LetterRow
from worker.dlq.inspect.show import format_sections, letter_document
from worker.dlq.inspect.statistics import Statistics, statistics_document
from worker.dlq.inspect.statistics_text import format_statistics
from worker.dlq.topic import LookupResult
from worker.domain.errors import LabelwireError
from worker.reporting.formats import printable, quantity
from worker.reporting.progress import Reach, reaching

_STYLES: Final = ("", "dim", "yellow", "", "dim", "", "", "", "bold")
_WIDTHS: Final = (10, 20, 21, 8, 11, 8, 7, 9, 0)
_MAX_SENTENCES: Final = 10


@contextmanager
def listed(what: str, total: int, topic: str, *, as_json: bool) -> Iterator[tuple[Callable[[LetterRow], None], Reach]]:
    """Yield what prints a row and what shows progress: columns on a terminal, tabs elsewhere."""
    console = Console()
    if as_json or not console.is_terminal:
        with reaching(what, total) as reached:
            yield (_print_json if as_json else _print_plain), reached
        return
    # Rows and bar share a terminal, so both go through one console.
    with reaching(what, total, console) as reached:
        _print_columns(console, COLUMNS, ("dim",) * len(COLUMNS))
        yield lambda row: _print_columns(console, _short(row, topic), _STYLES), reached


def _short(row: LetterRow, topic: str) -> tuple[str, ...]:
    """Return the row's cells without the topic, which is the same for all; `show` understands them so."""
    place, *others = row.cells()
    return (place.removeprefix(f"{topic}/"), *others)


def _print_json(row: LetterRow) -> None:
    print(json.dumps(row.document()), flush=True)


def _print_plain(row: LetterRow) -> None:
    print("\t".join(row.cells()), flush=True)


def _print_columns(console: Console, cells: tuple[str, ...], styles: tuple[str, ...]) -> None:
    padded = [(cell.ljust(width) + "  ", style) for cell, style, width in zip(cells, styles, _WIDTHS, strict=True)]
    console.print(Text.assemble(*padded), soft_wrap=True)


def show_found(found: LookupResult, *, with_values: bool, as_json: bool) -> None:
    """Print one letter."""
    if as_json:
        print(
            json.dumps(
                letter_document(found.letter, with_values=with_values) | {"payload_missing": found.missing}, indent=2
            )
        )
        return
    console = Console()
    for title, pairs in format_sections(found.letter, with_values=with_values):
        console.print(Text(title, style="bold"))
        widest = max(len(name) for name, _ in pairs)
        for name, text in pairs:
            console.print(Text.assemble((f"  {name.ljust(widest)}  ", "dim"), text), soft_wrap=True)
    if found.letter.is_reference and found.job is not None:
        console.print(
            "The payload is still at its source; --save fetches it from there.", soft_wrap=True, highlight=False
        )
    if found.missing is not None:
        console.print(Text(printable(found.missing), style="red"), soft_wrap=True)


def show_statistics(statistics: Statistics, topic: str, *, as_json: bool) -> None:
    """Print what was counted."""
    if as_json:
        print(json.dumps(statistics_document(statistics, topic), indent=2))
        return
    console = Console()
    for line in format_statistics(statistics, topic):
        console.print(line, soft_wrap=True)


def write_page(statistics: Statistics, topic: str, filters: Filters, path: Path) -> Path:
    """Write the page. Raises LabelwireError if a package for it is missing, or the file cannot be written."""
    try:
        from worker.dlq.inspect.report import write_report  # noqa: PLC0415 - a pod in production has no matplotlib
    except ModuleNotFoundError as error:
        raise LabelwireError(
            f"--html needs the package {error.name}, which an installed worker leaves out: "
            "run it in a checkout after make setup, or use --json."
        ) from error
    try:
        return write_report(statistics, topic, filters.in_words(), path)
    except OSError as error:
        raise LabelwireError(f"{path} cannot be written: {error.strerror or error}.") from error


def summarize(exported: ExportResult, folder: Path, topic: str, *, as_json: bool) -> int:
    """Print how many letters were exported and return the exit code: 1 if a payload is missing."""
    if not exported.written and not exported.present:
        raise LabelwireError(f"No dead letter on {topic} matches, so nothing was written.")
    if as_json:
        summary = {"folder": str(folder), "written": exported.written, "present": exported.present}
        print(json.dumps({**summary, "missing_payloads": exported.missing}, indent=2))
    else:
        before = f"; {exported.present} more were there already" if exported.present else ""
        letters = quantity(exported.written, "letter")
        print(f"Exported {letters} to {folder}, listed in {MANIFEST}{before}.")
    for sentence in exported.missing[:_MAX_SENTENCES]:
        print(printable(sentence), file=sys.stderr)
    if len(exported.missing) > _MAX_SENTENCES:
        print(f"{len(exported.missing)} payloads are missing; --json names them all.", file=sys.stderr)
    return 1 if exported.missing else 0
